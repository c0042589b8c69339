"""Transfer curves and primaries of films, as far as putting colour into them needs.

Light is relative: 1 is diffuse white.  In HDR that is 203 cd/m2 (ITU-R BT.2408), so that a film graded for
HDR shows the network the same mid greys as one graded for SDR.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["primaries_matrix", "to_film_code", "to_relative_light"]

_LINEAR, _PQ, _HLG = 8, 16, 18
_WHITE_NITS = 203.0
# Scene light of 75% HLG signal, where BT.2408 puts diffuse white.
_HLG_WHITE = 0.2649
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
_HLG_A, _HLG_B, _HLG_C = 0.17883277, 0.28466892, 0.55991073

# Chromaticities (x, y) of red, green, blue and white by H.273 primaries number.
_D65 = (0.3127, 0.3290)
_SMPTE_C = ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070), _D65)
_CHROMATICITIES = {
    1: ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060), _D65),
    5: ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060), _D65),
    6: _SMPTE_C,
    7: _SMPTE_C,
    9: ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046), _D65),
    12: ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060), _D65),
}


def to_relative_light(code: Float[Tensor, "*shape"], transfer: int) -> Float[Tensor, "*shape"]:
    """Non-linear code values to light relative to diffuse white.

    Args:
        code: any shape, 0 at black and 1 at the signal's peak.
        transfer: H.273 number; whatever is not linear, PQ or HLG is display-referred SDR, read as sRGB.

    Returns:
        The same shape, 1 at diffuse white.

    Example:
        >>> to_relative_light(torch.tensor([0.0, 1.0]), 1).tolist()
        [0.0, 1.0]
    """
    if transfer == _LINEAR:
        return code
    if transfer == _PQ:
        root = code.clamp(0.0, 1.0) ** (1.0 / _M2)
        light = ((root - _C1).clamp(min=0.0) / (_C2 - _C3 * root)) ** (1.0 / _M1)
        return light * (10000.0 / _WHITE_NITS)
    if transfer == _HLG:
        low = code * code / 3.0
        high = (torch.exp((code - _HLG_C) / _HLG_A) + _HLG_B) / 12.0
        return torch.where(code <= 0.5, low, high) / _HLG_WHITE
    curve = ((code.clamp(min=0.04045) + 0.055) / 1.055) ** 2.4
    return torch.where(code > 0.04045, curve, code / 12.92)


def to_film_code(light: Float[Tensor, "*shape"], transfer: int) -> Float[Tensor, "*shape"]:
    """The inverse of `to_relative_light`; light below 0 (out of gamut) is 0.

    Args:
        light: any shape, 1 at diffuse white.
        transfer: H.273 number.

    Returns:
        The same shape, code values.

    Example:
        >>> to_film_code(to_relative_light(torch.tensor([0.25, 0.75]), 16), 16).round(decimals=4).tolist()
        [0.25, 0.75]
    """
    light = light.clamp(min=0.0)
    if transfer == _LINEAR:
        return light
    if transfer == _PQ:
        power = (light * (_WHITE_NITS / 10000.0)) ** _M1
        return ((_C1 + _C2 * power) / (1.0 + _C3 * power)) ** _M2
    if transfer == _HLG:
        scene = light * _HLG_WHITE
        high = _HLG_A * torch.log((12.0 * scene - _HLG_B).clamp(min=1e-6)) + _HLG_C
        return torch.where(scene <= 1.0 / 12.0, torch.sqrt(3.0 * scene), high)
    curve = 1.055 * light.clamp(min=0.0031308) ** (1.0 / 2.4) - 0.055
    return torch.where(light > 0.0031308, curve, light * 12.92)


@lru_cache(maxsize=8)
def primaries_matrix(primaries: int) -> tuple[tuple[float, ...], ...]:
    """Matrix from linear light in BT.709 primaries to a film's primaries; unknown ones are taken as BT.709.

    Args:
        primaries: H.273 number.

    Returns:
        Three rows of three.

    Example:
        >>> [round(value, 4) for value in primaries_matrix(9)[0]]
        [0.6274, 0.3293, 0.0433]
    """
    film = _to_xyz(_CHROMATICITIES.get(primaries, _CHROMATICITIES[1]))
    rows = np.linalg.inv(film) @ _to_xyz(_CHROMATICITIES[1])
    return tuple(tuple(float(value) for value in row) for row in rows)


def _to_xyz(chromaticities: tuple[tuple[float, float], ...]) -> Float[np.ndarray, "3 3"]:
    columns = np.array([(x / y, 1.0, (1.0 - x - y) / y) for x, y in chromaticities]).T
    return columns[:, :3] * np.linalg.solve(columns[:, :3], columns[:, 3])
