"""Y'CbCr of films: what the code values of their planes mean, and the matrix to RGB and back."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ca_data.transfer import PRIMARIES, TRANSFERS

__all__ = [
    "YuvCoding",
    "chroma_from_codes",
    "chroma_to_codes",
    "luma_from_codes",
    "luma_to_codes",
    "rgb_to_ycbcr",
    "ycbcr_to_rgb",
]

# Weights of red and blue in luma; green has the rest (ITU-R BT.601, BT.709, BT.2020; SMPTE 240M; FCC 73.682).
_WEIGHTS = {
    "bt601": (0.299, 0.114),
    "bt709": (0.2126, 0.0722),
    "bt2020": (0.2627, 0.0593),
    "smpte240m": (0.212, 0.087),
    "fcc": (0.30, 0.11),
}


@dataclass(frozen=True, kw_only=True)
class YuvCoding:
    """What the code values of a film's planes mean.

    Args:
        matrix: weights of luma: "bt601", "bt709", "bt2020" (non-constant luminance), "smpte240m" or "fcc".
        full_range: True for 0..2^bits - 1, False for 16..235 (chroma 16..240) times 2^(bits - 8).
        bits: bits per sample, 8..16.
        primaries: "bt709" (sRGB's), "bt2020", "bt601-525", "bt601-625" or "p3".
        transfer: "sdr" (shown as sRGB), "pq" (SMPTE ST 2084) or "hlg" (ARIB STD-B67).

    Raises:
        ValueError: if a field is none of these.

    Example:
        >>> YuvCoding(bits=10).matrix
        'bt709'
    """

    matrix: str = "bt709"
    full_range: bool = False
    bits: int = 8
    primaries: str = "bt709"
    transfer: str = "sdr"

    def __post_init__(self) -> None:
        for name, allowed in (("matrix", _WEIGHTS), ("primaries", PRIMARIES), ("transfer", TRANSFERS)):
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} must be one of {', '.join(allowed)}, got {getattr(self, name)!r}")
        if not 8 <= self.bits <= 16:
            raise ValueError(f"bits must lie in 8..16, got {self.bits}")


def luma_from_codes(
    codes: Int[Tensor, "*axes"] | UInt8[Tensor, "*axes"], coding: YuvCoding
) -> Float[Tensor, "*axes"]:
    """Code values of a Y plane to luma: 0 is black, 1 is reference white.

    Args:
        codes: any shape, integers.
        coding: what they mean.

    Returns:
        float32 of the same shape; limited-range codes below black or above white fall outside [0, 1].

    Example:
        >>> luma_from_codes(torch.tensor([16, 235]), YuvCoding()).tolist()
        [0.0, 1.0]
    """
    black, span = _luma_levels(coding)
    return (codes.float() - black) / span


def luma_to_codes(luma: Float[Tensor, "*axes"], coding: YuvCoding) -> Int[Tensor, "*axes"]:
    """Luma to code values, rounded and held within the bits.

    Args:
        luma: any shape, 0 black, 1 white.
        coding: what the codes mean.

    Returns:
        int32 of the same shape.

    Example:
        >>> luma_to_codes(torch.tensor([0.0, 1.0]), YuvCoding(bits=10)).tolist()
        [64, 940]
    """
    black, span = _luma_levels(coding)
    return (luma * span + black).round().clamp(0, 2**coding.bits - 1).int()


def chroma_from_codes(
    codes: Int[Tensor, "*axes"] | UInt8[Tensor, "*axes"], coding: YuvCoding
) -> Float[Tensor, "*axes"]:
    """Code values of a Cb or Cr plane to chroma in [-0.5, 0.5].

    Args:
        codes: any shape, integers.
        coding: what they mean.

    Returns:
        float32 of the same shape.

    Example:
        >>> chroma_from_codes(torch.tensor([16, 128, 240]), YuvCoding()).tolist()
        [-0.5, 0.0, 0.5]
    """
    grey, span = _chroma_levels(coding)
    return (codes.float() - grey) / span


def chroma_to_codes(chroma: Float[Tensor, "*axes"], coding: YuvCoding) -> Int[Tensor, "*axes"]:
    """Chroma in [-0.5, 0.5] to code values, rounded; limited range is held within 16..240 (times 2^(bits - 8)).

    Args:
        chroma: any shape.
        coding: what the codes mean.

    Returns:
        int32 of the same shape.

    Example:
        >>> chroma_to_codes(torch.tensor([-0.5, 0.0, 0.7]), YuvCoding()).tolist()
        [16, 128, 240]
    """
    grey, span = _chroma_levels(coding)
    low, high = (
        (0, 2**coding.bits - 1) if coding.full_range else (round(grey - span / 2), round(grey + span / 2))
    )
    return (chroma * span + grey).round().clamp(low, high).int()


def rgb_to_ycbcr(rgb: Float[Tensor, "*batch 3 h w"], matrix: str = "bt709") -> Float[Tensor, "*batch 3 h w"]:
    """Encoded RGB to Y'CbCr: Y' = Kr R + (1 - Kr - Kb) G + Kb B, Cb = (B - Y') / (2 - 2 Kb), Cr likewise.

    Args:
        rgb: `... 3 h w`, encoded (gamma) values in [0, 1].
        matrix: see `YuvCoding`.

    Returns:
        `... 3 h w`: Y' in [0, 1], Cb and Cr in [-0.5, 0.5].

    Example:
        >>> rgb_to_ycbcr(torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1), "bt601").flatten().round(decimals=4).tolist()
        [0.29899999499320984, -0.16869999468326569, 0.5]
    """
    kr, kb = _WEIGHTS[matrix]
    red, green, blue = rgb.unbind(-3)
    luma = kr * red + (1.0 - kr - kb) * green + kb * blue
    return torch.stack((luma, (blue - luma) / (2.0 - 2.0 * kb), (red - luma) / (2.0 - 2.0 * kr)), dim=-3)


def ycbcr_to_rgb(
    ycbcr: Float[Tensor, "*batch 3 h w"], matrix: str = "bt709"
) -> Float[Tensor, "*batch 3 h w"]:
    """Y'CbCr to encoded RGB: the inverse of `rgb_to_ycbcr`, without clipping.

    Args:
        ycbcr: `... 3 h w`: Y' in [0, 1], Cb and Cr in [-0.5, 0.5].
        matrix: see `YuvCoding`.

    Returns:
        `... 3 h w` encoded RGB.

    Example:
        >>> ycbcr_to_rgb(torch.tensor([0.5, 0.0, 0.0]).view(3, 1, 1)).flatten().tolist()
        [0.5, 0.5, 0.5]
    """
    kr, kb = _WEIGHTS[matrix]
    luma, cb, cr = ycbcr.unbind(-3)
    red, blue = luma + (2.0 - 2.0 * kr) * cr, luma + (2.0 - 2.0 * kb) * cb
    return torch.stack((red, (luma - kr * red - kb * blue) / (1.0 - kr - kb), blue), dim=-3)


def _luma_levels(coding: YuvCoding) -> tuple[float, float]:
    scale = 2 ** (coding.bits - 8)
    return (0.0, 2.0**coding.bits - 1.0) if coding.full_range else (16.0 * scale, 219.0 * scale)


def _chroma_levels(coding: YuvCoding) -> tuple[float, float]:
    grey = 2.0 ** (coding.bits - 1)
    return grey, (2.0**coding.bits - 1.0 if coding.full_range else 224.0 * 2 ** (coding.bits - 8))
