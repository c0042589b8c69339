"""Sizes of frames: the one filter that changes them, and how they are written down."""

from __future__ import annotations

import re

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

__all__ = ["parse_size", "resize"]

SMALLEST_SIDE, LARGEST_SIDE = 16, 8192


def resize(
    frames: Float[Tensor, "*batch c h w"] | UInt8[Tensor, "*batch c h w"], size: tuple[int, int]
) -> Float[Tensor, "*batch c h2 w2"] | UInt8[Tensor, "*batch c h2 w2"]:
    """Resize with the antialiased bicubic filter (a = -0.5, support widened when shrinking).

    It is Pillow's BICUBIC: sharp, without the ringing of Lanczos on the hard edges of chroma, equal on every
    device, and differentiable. Pixel centres lie at half integers, so the frame does not shift.

    Args:
        frames: `... c h w`, uint8 or floating point of any range (floats may overshoot a little at edges and
            are not clipped).
        size: new height and width in pixels, each >= 1.

    Returns:
        `... c h2 w2` of the same type; the very same tensor when the size is unchanged.

    Raises:
        ValueError: if the shape, the type or the size does not fit.

    Example:
        >>> resize(torch.full((2, 3, 8, 6), 7, dtype=torch.uint8), (4, 3)).unique().tolist()
        [7]
    """
    if frames.ndim < 3 or not (frames.is_floating_point() or frames.dtype == torch.uint8):
        raise ValueError(
            f"frames must be floating point or uint8 of shape (..., c, h, w), got {frames.dtype} "
            f"{tuple(frames.shape)}; convert them first"
        )
    if len(size) != 2 or min(size) < 1:
        raise ValueError(f"size must be (height, width), both >= 1, got {tuple(size)}; give two such numbers")
    if tuple(frames.shape[-2:]) == tuple(size):
        return frames
    flat = frames.reshape(-1, *frames.shape[-3:])
    # The 8-bit kernel exists on the CPU only; elsewhere the same filter runs in float.
    wide = flat if frames.is_floating_point() or frames.device.type == "cpu" else flat.float()
    resized = F.interpolate(wide, tuple(size), mode="bicubic", antialias=True, align_corners=False)
    if resized.dtype != frames.dtype:
        resized = resized.round().clamp(0.0, 255.0).to(frames.dtype)
    return resized.reshape(*frames.shape[:-2], *size)


def parse_size(text: str) -> tuple[int, int]:
    """Read a size as people write it.

    Args:
        text: `WIDTHxHEIGHT` in pixels, each in 16..8192.

    Returns:
        Height and width, the order of a tensor's axes.

    Raises:
        ValueError: if it reads otherwise or a side is too small or too large.

    Example:
        >>> parse_size("384x224")
        (224, 384)
    """
    match = re.fullmatch(r"(\d{1,5})\s*[x×X]\s*(\d{1,5})", text.strip())
    sides = (int(match[2]), int(match[1])) if match else (0, 0)
    if not (min(sides) >= SMALLEST_SIDE and max(sides) <= LARGEST_SIDE):
        raise ValueError(
            f"size: expected WIDTHxHEIGHT, sides of {SMALLEST_SIDE} to {LARGEST_SIDE} pixels, got {text!r}; "
            "write for example 384x224"
        )
    return sides
