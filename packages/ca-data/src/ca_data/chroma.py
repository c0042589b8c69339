"""Bringing chroma of network size to the film's size, with the film's own luma as guide."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from ca_data.resize import resize

__all__ = ["upsample_chroma"]

# Keeps the correlation of a constant chroma at 0 instead of 0 / 0; far below one step of 8 bit.
_TINY = 1e-6


def upsample_chroma(
    chroma: Float[Tensor, "b 2 h w"],
    guide_low: Float[Tensor, "b 1 h w"],
    guide_full: Float[Tensor, "b 1 h2 w2"],
    *,
    radius: int = 1,
    noise: float = 0.1,
) -> Float[Tensor, "b 2 h2 w2"]:
    """Upsample chroma so that its edges fall on the edges of a guide of full resolution.

    q = up(p) + a r^2 (G - up(g)): to the plain resize comes the detail of the guide G that its small version g
    lacks, times the local slope a = cov(g, p) / (var(g) + noise^2) of chroma over guide, in a window of
    2 radius + 1. It is the fast guided filter (He and Sun, 2015) with two departures. It adds detail instead of
    replacing the frame, so that where the guide is flat the result is exactly the plain resize. And the slope
    counts only as far as guide and chroma are correlated, r^2 = cov^2 / (var(g) var(p)): texture and film grain
    that carry no colour leave none. The added detail never leaves the range of the chroma around it.

    Args:
        chroma: `b 2 h w`, a and b or Cb and Cr, of any unit.
        guide_low: `b 1 h w`, lightness in [-1, 1] of the size of `chroma`.
        guide_full: `b 1 h2 w2`, lightness in [-1, 1] of the size wanted.
        radius: of the window, in pixels of `chroma`, >= 1.
        noise: standard deviation of the guide below which its detail hardly counts, in its unit, > 0.

    Returns:
        `b 2 h2 w2`, differentiable in all three.

    Raises:
        ValueError: if shapes or options do not fit.

    Example:
        >>> grey = torch.zeros(1, 1, 4, 6), torch.zeros(1, 1, 8, 12)
        >>> upsample_chroma(torch.full((1, 2, 4, 6), 0.3), *grey).unique().round(decimals=4).tolist()
        [0.30000001192092896]
    """
    _check(chroma, guide_low, guide_full, radius, noise)
    size = (guide_full.shape[-2], guide_full.shape[-1])
    # Working relative to one pixel makes a constant chroma zero, and so exact.
    origin = chroma[..., :1, :1]
    centered = chroma - origin
    plain, coarse = resize(torch.cat((centered, guide_low), dim=1), size).split((2, 1), dim=1)
    slope = F.interpolate(
        _slope(centered, guide_low, radius, noise), size, mode="bilinear", align_corners=False
    )
    guided = plain + slope * (guide_full - coarse)
    extremes = _over_window(torch.cat((centered, -centered), dim=1), 1, torch.maximum)
    high, low = F.interpolate(extremes, size, mode="bilinear", align_corners=False).split((2, 2), dim=1)
    bounded = torch.maximum(torch.minimum(guided, torch.maximum(high, plain)), torch.minimum(-low, plain))
    return bounded + origin


def _slope(chroma: Tensor, guide: Tensor, radius: int, noise: float) -> Tensor:
    """Local regression of chroma on the guide, weighted by r^2, averaged over the windows that hold a pixel."""
    guide = guide - guide.mean(dim=(-2, -1), keepdim=True)
    moments = torch.cat((guide, guide * guide, chroma, chroma * chroma, guide * chroma), dim=1)
    average, square, color, color_square, product = _mean(moments, radius).split((1, 1, 2, 2, 2), dim=1)
    variance = (square - average * average).clamp(min=0.0) + noise * noise
    color_variance = (color_square - color * color).clamp(min=0.0) + _TINY
    covariance = product - average * color
    correlation = (covariance * covariance / (variance * color_variance)).clamp(max=1.0)
    return _mean(covariance / variance * correlation, radius)


def _mean(values: Tensor, radius: int) -> Tensor:
    return _over_window(values, radius, torch.add) / (2 * radius + 1) ** 2


def _over_window(values: Tensor, radius: int, combine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Combine each pixel's square window, the frame's edge repeated; shifted slices beat pooling on the CPU."""
    for axis, padding in ((-1, (radius, radius, 0, 0)), (-2, (0, 0, radius, radius))):
        padded = F.pad(values, padding, mode="replicate")
        length = values.shape[axis]
        values = reduce(combine, [padded.narrow(axis, shift, length) for shift in range(2 * radius + 1)])
    return values


def _check(chroma: Tensor, low: Tensor, full: Tensor, radius: int, noise: float) -> None:
    shapes = f"chroma {tuple(chroma.shape)}, guide_low {tuple(low.shape)}, guide_full {tuple(full.shape)}"
    if (
        not chroma.ndim == low.ndim == full.ndim == 4
        or (chroma.shape[1], low.shape[1], full.shape[1]) != (2, 1, 1)
        or chroma.shape[-2:] != low.shape[-2:]
        or not chroma.shape[0] == low.shape[0] == full.shape[0]
    ):
        raise ValueError(
            f"upsample_chroma expects chroma (b, 2, h, w), guide_low (b, 1, h, w) and guide_full (b, 1, H, W), "
            f"got {shapes}; resize the guide to the chroma's size for guide_low"
        )
    if radius < 1 or not noise > 0.0:
        raise ValueError(f"upsample_chroma needs radius >= 1 and noise > 0, got {radius} and {noise}")
