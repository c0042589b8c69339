"""Colour conversion between sRGB and CIE-Lab (D65, 2 degree observer), and the units the network sees.

Everything is plain element-wise arithmetic: a matrix product would be rounded to TF32 or bfloat16 where a
training run allows that, and Lab would silently be off by whole units.  docs/color.md holds ranges and units.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

__all__ = [
    "AB_SCALE",
    "LIGHTNESS_SCALE",
    "denormalize_lab",
    "lab_to_rgb",
    "network_to_rgb",
    "normalize_lab",
    "rgb_to_lab",
    "rgb_to_network",
    "to_uint8",
]

LIGHTNESS_SCALE = 50.0
AB_SCALE = 110.0

# Linear sRGB to XYZ with a white point (0.95047, 1, 1.08883): the digits scikit-image uses, because the
# evaluation is defined by it.
_XYZ_FROM_RGB = (
    (0.412453, 0.357580, 0.180423),
    (0.212671, 0.715160, 0.072169),
    (0.019334, 0.119193, 0.950227),
)
_WHITE = (0.95047, 1.0, 1.08883)
_EPSILON = (6.0 / 29.0) ** 3
_SLOPE = (29.0 / 6.0) ** 2 / 3.0
_SHIFT = 16.0 / 116.0
# PyTorch hands fewer elements than 32768 to one thread only.
_PIECE = 32_000


def rgb_to_lab(
    rgb: Float[Tensor, "*batch 3 h w"] | UInt8[Tensor, "*batch 3 h w"],
) -> Float[Tensor, "*batch 3 h w"]:
    """Convert sRGB to CIE-Lab (D65, 2 degrees).

    L = 116 f(Y) - 16, a = 500 (f(X) - f(Y)), b = 200 (f(Y) - f(Z)), with f(x) the cube root above (6/29)^3
    and its tangent below (CIE 15; the same white point and matrix as scikit-image).

    Args:
        rgb: `... 3 h w`, sRGB-encoded: floats in [0, 1], or uint8 in 0..255 (read through a table: faster).

    Returns:
        `... 3 h w`, L in [0, 100], a and b in about [-128, 127]. float64 stays float64, all else is float32.

    Raises:
        ValueError: if the third axis from the end is not 3, or the type is neither floating point nor uint8.

    Example:
        >>> rgb_to_lab(torch.ones(3, 1, 1)).flatten().round(decimals=2).abs().tolist()
        [100.0, 0.0, 0.0]
    """
    _check(rgb, "rgb", allow_uint8=True)
    if rgb.dtype == torch.uint8:
        linear = _linear_table(rgb.device).index_select(0, rgb.flatten().int()).view(rgb.shape)
    else:
        linear = decode_srgb(_at_least_float32(rgb))
    rows = [[value / white for value in row] for row, white in zip(_XYZ_FROM_RGB, _WHITE, strict=True)]
    x, y, z = _compress(_mix(linear, rows)).unbind(-3)
    return torch.stack((116.0 * y - 16.0, 500.0 * (x - y), 200.0 * (y - z)), dim=-3)


def lab_to_rgb(lab: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Convert CIE-Lab (D65, 2 degrees) to sRGB, without clipping.

    The inverse of `rgb_to_lab`. Colours outside the sRGB gamut give values below 0 or above 1, so that a loss
    on them still has a gradient; `to_uint8` clips.

    Args:
        lab: `... 3 h w`, L in [0, 100], a and b in about [-128, 127].

    Returns:
        `... 3 h w` sRGB-encoded, in [0, 1] for colours within the gamut.

    Raises:
        ValueError: if the third axis from the end is not 3 or the type is not floating point.

    Example:
        >>> lab_to_rgb(torch.tensor([100.0, 0.0, 0.0]).view(3, 1, 1)).flatten().round(decimals=3).tolist()
        [1.0, 1.0, 1.0]
    """
    _check(lab, "lab", allow_uint8=False)
    lightness, a, b = _at_least_float32(lab).unbind(-3)
    y = (lightness + 16.0) / 116.0
    xyz = _expand(torch.stack((y + a / 500.0, y, y - b / 200.0), dim=-3))
    return encode_srgb(_mix(xyz, _rgb_from_white_xyz()))


def normalize_lab(lab: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Bring Lab to network units: L/50 - 1 and ab/110.

    Args:
        lab: `... 3 h w`, L in [0, 100], a and b in about [-128, 127].

    Returns:
        `... 3 h w`: lightness in [-1, 1], a and b in about [-1.16, 1.16].

    Raises:
        ValueError: if the third axis from the end is not 3 or the type is not floating point.

    Example:
        >>> normalize_lab(torch.tensor([50.0, 110.0, -55.0]).view(3, 1, 1)).flatten().tolist()
        [0.0, 1.0, -0.5]
    """
    _check(lab, "lab", allow_uint8=False)
    return torch.cat((lab[..., :1, :, :] / LIGHTNESS_SCALE - 1.0, lab[..., 1:, :, :] / AB_SCALE), dim=-3)


def denormalize_lab(normalized: Float[Tensor, "*batch 3 h w"]) -> Float[Tensor, "*batch 3 h w"]:
    """Bring network units back to Lab: the inverse of `normalize_lab`.

    Args:
        normalized: `... 3 h w`: lightness in [-1, 1], a and b divided by 110.

    Returns:
        `... 3 h w`, L in [0, 100], a and b in about [-128, 127].

    Raises:
        ValueError: if the third axis from the end is not 3 or the type is not floating point.

    Example:
        >>> denormalize_lab(torch.tensor([0.0, 1.0, -0.5]).view(3, 1, 1)).flatten().tolist()
        [50.0, 110.0, -55.0]
    """
    _check(normalized, "normalized", allow_uint8=False)
    lightness = (normalized[..., :1, :, :] + 1.0) * LIGHTNESS_SCALE
    return torch.cat((lightness, normalized[..., 1:, :, :] * AB_SCALE), dim=-3)


def rgb_to_network(
    rgb: Float[Tensor, "*batch 3 h w"] | UInt8[Tensor, "*batch 3 h w"],
) -> tuple[Float[Tensor, "*batch 1 h w"], Float[Tensor, "*batch 2 h w"]]:
    """Convert sRGB to the pair the network works with.

    Args:
        rgb: `... 3 h w`, floats in [0, 1] or uint8.

    Returns:
        Lightness `... 1 h w` in [-1, 1] and ab/110 `... 2 h w`.

    Raises:
        ValueError: as `rgb_to_lab`.

    Example:
        >>> lightness, ab = rgb_to_network(torch.zeros(2, 3, 4, 5))
        >>> lightness.shape, ab.shape, lightness.max().item()
        (torch.Size([2, 1, 4, 5]), torch.Size([2, 2, 4, 5]), -1.0)
    """
    normalized = normalize_lab(rgb_to_lab(rgb))
    return normalized[..., :1, :, :], normalized[..., 1:, :, :]


def network_to_rgb(
    lightness: Float[Tensor, "*batch 1 h w"], ab: Float[Tensor, "*batch 2 h w"]
) -> Float[Tensor, "*batch 3 h w"]:
    """Join the network's input and output to an sRGB frame, differentiably and without clipping.

    Args:
        lightness: `... 1 h w` in [-1, 1].
        ab: `... 2 h w`, ab/110.

    Returns:
        `... 3 h w` sRGB-encoded; `to_uint8` clips and rounds it.

    Raises:
        ValueError: if the two do not share every axis but the channels.

    Example:
        >>> network_to_rgb(torch.ones(1, 1, 1), torch.zeros(2, 1, 1)).flatten().round(decimals=3).tolist()
        [1.0, 1.0, 1.0]
    """
    if lightness.shape[:-3] != ab.shape[:-3] or lightness.shape[-2:] != ab.shape[-2:]:
        raise ValueError(
            f"lightness and ab must agree in all axes but the channels, "
            f"got {tuple(lightness.shape)} and {tuple(ab.shape)}; resize one to the other first"
        )
    return lab_to_rgb(denormalize_lab(torch.cat((lightness, ab), dim=-3)))


def to_uint8(rgb: Float[Tensor, ...]) -> UInt8[Tensor, ...]:
    """Quantise values in [0, 1] to 8 bit: times 255, clip, round to the nearest (ties to even).

    Args:
        rgb: any shape, in [0, 1]; values outside are clipped. NaN is refused nowhere and becomes 0.

    Returns:
        The same shape as uint8.

    Example:
        >>> to_uint8(torch.tensor([-0.1, 0.5, 2.0])).tolist()
        [0, 128, 255]
    """
    return (rgb.detach() * 255.0).nan_to_num_(nan=0.0).clamp_(0.0, 255.0).round_().to(torch.uint8)


def _check(pixels: Tensor, name: str, *, allow_uint8: bool) -> None:
    if pixels.ndim < 3 or pixels.shape[-3] != 3:
        raise ValueError(
            f"{name} must have shape (..., 3, h, w), got {tuple(pixels.shape)}; move channels before h, w"
        )
    if not (pixels.is_floating_point() or (allow_uint8 and pixels.dtype == torch.uint8)):
        wanted = "a floating-point type or uint8" if allow_uint8 else "a floating-point type"
        raise ValueError(f"{name} must be {wanted}, got {pixels.dtype}; convert it first")


def _at_least_float32(pixels: Tensor) -> Tensor:
    """Half precision cannot hold 8-bit colour through a cube root, so it is computed in float32."""
    return pixels if pixels.dtype == torch.float64 else pixels.float()


def _mix(channels: Tensor, rows: list[list[float]]) -> Tensor:
    """Apply a 3 x 3 matrix over the channels as weighted sums (see the module's first lines for why)."""
    first, second, third = channels.unbind(-3)
    return torch.stack([first * row[0] + second * row[1] + third * row[2] for row in rows], dim=-3)


@lru_cache(maxsize=1)
def _rgb_from_white_xyz() -> list[list[float]]:
    """The inverse matrix, taking XYZ relative to white."""
    inverse = torch.tensor(_XYZ_FROM_RGB, dtype=torch.float64).inverse()
    rows: list[list[float]] = (inverse * torch.tensor(_WHITE, dtype=torch.float64)).tolist()
    return rows


@lru_cache(maxsize=8)
def _linear_table(device: torch.device) -> Tensor:
    levels = torch.arange(256, dtype=torch.float64) / 255.0
    return decode_srgb(levels).float().to(device)


def _power(base: Tensor, exponent: float) -> Tensor:
    """A power whose last bit does not depend on the number of threads.

    PyTorch computes the ends of each thread's share with another routine than the rest. Pieces too small
    to be shared among threads always end at the same places, so that training samples are equal bit for
    bit for any number of workers. Where a gradient is wanted, the plain operator serves.
    """
    if base.requires_grad or base.device.type != "cpu":
        return base**exponent
    flat = base.contiguous().view(-1)
    result = torch.empty_like(flat)
    for piece, out in zip(flat.split(_PIECE), result.split(_PIECE), strict=True):
        torch.pow(piece, exponent, out=out)
    return result.view(base.shape)


def decode_srgb(encoded: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """sRGB's curve to linear light (IEC 61966-2-1), of any shape; negative values follow its line.

    The clamp keeps the power's gradient finite where the power is not used.
    """
    curve = _power((encoded.clamp(min=0.04045) + 0.055) / 1.055, 2.4)
    return torch.where(encoded > 0.04045, curve, encoded / 12.92)


def encode_srgb(linear: Float[Tensor, "*axes"]) -> Float[Tensor, "*axes"]:
    """Linear light to sRGB's curve: the inverse of `decode_srgb`."""
    curve = 1.055 * _power(linear.clamp(min=0.0031308), 1.0 / 2.4) - 0.055
    return torch.where(linear > 0.0031308, curve, linear * 12.92)


def _compress(xyz: Tensor) -> Tensor:
    root = _power(xyz.clamp(min=_EPSILON), 1.0 / 3.0)
    return torch.where(xyz > _EPSILON, root, xyz * _SLOPE + _SHIFT)


def _expand(compressed: Tensor) -> Tensor:
    cube = compressed * compressed * compressed
    return torch.where(compressed > 6.0 / 29.0, cube, (compressed - _SHIFT) / _SLOPE)
