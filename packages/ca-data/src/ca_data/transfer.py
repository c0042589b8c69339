"""Films whose RGB is not sRGB: other primaries and the two HDR curves.

SDR video is taken to be shown as sRGB is shown, as every player on a desktop does; its camera curve (BT.709's
OETF) plays no part. HDR is placed so that reference white, 203 cd/m2 (ITU-R BT.2408), is sRGB's white.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor

from ca_data.color import decode_srgb, encode_srgb

__all__ = ["PRIMARIES", "TRANSFERS", "film_from_srgb", "srgb_from_film"]

# Chromaticities (x, y) of red, green and blue; white is D65 for all.
PRIMARIES = {
    "bt709": ((0.640, 0.330), (0.300, 0.600), (0.150, 0.060)),
    "bt2020": ((0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    "bt601-525": ((0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    "bt601-625": ((0.640, 0.330), (0.290, 0.600), (0.150, 0.060)),
    "p3": ((0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
}
TRANSFERS = ("sdr", "pq", "hlg")

_WHITE = (0.3127, 0.3290)
_WHITE_LEVEL = 203.0
# SMPTE ST 2084.
_M1, _M2 = 2610.0 / 16384.0, 2523.0 / 4096.0 * 128.0
_C1, _C2, _C3 = 3424.0 / 4096.0, 2413.0 / 4096.0 * 32.0, 2392.0 / 4096.0 * 32.0
# ARIB STD-B67; reference white is the signal 0.75, and 1.2 the system gamma of a 1000 cd/m2 display.
_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_GAMMA = 1.2
_HLG_WHITE = 0.2649625628


def film_from_srgb(
    rgb: Float[Tensor, "*batch 3 h w"], primaries: str = "bt709", transfer: str = "sdr"
) -> Float[Tensor, "*batch 3 h w"]:
    """Convert sRGB to a film's own encoded RGB.

    Args:
        rgb: `... 3 h w` sRGB-encoded; above 1 is brighter than reference white.
        primaries: a key of `PRIMARIES`.
        transfer: one of `TRANSFERS`.

    Returns:
        `... 3 h w` in the film's encoding.

    Example:
        >>> white = film_from_srgb(torch.ones(3, 1, 1), "bt2020", "pq")
        >>> white.flatten().round(decimals=3).tolist()
        [0.5809999704360962, 0.5809999704360962, 0.5809999704360962]
    """
    if primaries == "bt709" and transfer == "sdr":
        return rgb
    linear = _mix(decode_srgb(rgb), _matrix("bt709", primaries))
    return {"pq": _to_pq, "hlg": _to_hlg, "sdr": encode_srgb}[transfer](linear)


def srgb_from_film(
    rgb: Float[Tensor, "*batch 3 h w"], primaries: str = "bt709", transfer: str = "sdr"
) -> Float[Tensor, "*batch 3 h w"]:
    """Convert a film's own encoded RGB to sRGB: the inverse of `film_from_srgb`.

    Args:
        rgb: `... 3 h w` in the film's encoding, in [0, 1].
        primaries: a key of `PRIMARIES`.
        transfer: one of `TRANSFERS`.

    Returns:
        `... 3 h w` sRGB-encoded, without clipping: HDR highlights lie above 1.

    Example:
        >>> srgb_from_film(torch.full((3, 1, 1), 0.5)).flatten().tolist()
        [0.5, 0.5, 0.5]
    """
    if primaries == "bt709" and transfer == "sdr":
        return rgb
    decode = {"pq": _from_pq, "hlg": _from_hlg, "sdr": decode_srgb}[transfer]
    return encode_srgb(_mix(decode(rgb), _matrix(primaries, "bt709")))


def _to_pq(linear: Tensor) -> Tensor:
    power = (linear.clamp(min=0.0) * (_WHITE_LEVEL / 10_000.0)) ** _M1
    return ((_C1 + _C2 * power) / (1.0 + _C3 * power)) ** _M2


def _from_pq(encoded: Tensor) -> Tensor:
    power = encoded.clamp(0.0, 1.0) ** (1.0 / _M2)
    level = ((power - _C1).clamp(min=0.0) / (_C2 - _C3 * power)) ** (1.0 / _M1)
    return level * (10_000.0 / _WHITE_LEVEL)


def _to_hlg(linear: Tensor) -> Tensor:
    scene = linear.clamp(min=0.0) ** (1.0 / _GAMMA) * _HLG_WHITE
    curve = _A * torch.log((12.0 * scene - _B).clamp(min=1e-6)) + _C
    return torch.where(scene <= 1.0 / 12.0, (3.0 * scene) ** 0.5, curve)


def _from_hlg(encoded: Tensor) -> Tensor:
    held = encoded.clamp(0.0, 1.0)
    scene = torch.where(held <= 0.5, held * held / 3.0, (torch.exp((held - _C) / _A) + _B) / 12.0)
    return (scene / _HLG_WHITE) ** _GAMMA


def _mix(channels: Tensor, matrix: Tensor) -> Tensor:
    first, second, third = channels.unbind(-3)
    rows: list[list[float]] = matrix.tolist()
    return torch.stack([first * row[0] + second * row[1] + third * row[2] for row in rows], dim=-3)


@lru_cache(maxsize=16)
def _matrix(source: str, target: str) -> Tensor:
    """Linear RGB of one set of primaries to another's."""
    return torch.linalg.solve(_to_xyz(target), _to_xyz(source))


def _to_xyz(name: str) -> Tensor:
    columns = torch.tensor(
        [(x / y, 1.0, (1.0 - x - y) / y) for x, y in PRIMARIES[name]], dtype=torch.float64
    ).T
    x, y = _WHITE
    white = torch.tensor([x / y, 1.0, (1.0 - x - y) / y], dtype=torch.float64)
    return columns * torch.linalg.solve(columns, white)
