"""Mixing copies of colour: per pixel, and over the pixels around, in ways by which no new value can arise."""

from collections.abc import Sequence
from itertools import product

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn


def convex_upsample(
    x: Float[Tensor, "b c h w"], weights: Float[Tensor, "b 9*f*f h w"], factor: int
) -> Float[Tensor, "b c f*h f*w"]:
    """Make each new pixel a convex mixture of the 3 x 3 old pixels around it (Teed and Deng 2020).

    Args:
        x: the map.
        weights: logits of the mixture, for each of the `factor^2` new pixels of an old one; a softmax is
            taken.
        factor: enlargement.

    Raises:
        ValueError: if `weights` has not `9 factor^2` channels.
    """
    b, c, h, w = x.shape
    if weights.shape != (b, 9 * factor**2, h, w):
        raise ValueError(f"weights: expected {(b, 9 * factor**2, h, w)}, got {tuple(weights.shape)}")
    share = planes(weights).view(b, 9, 1, factor**2, h, w).softmax(dim=1)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    mixed = x.new_zeros(b, c, factor**2, h, w)
    for number, (i, j) in enumerate(product(range(3), range(3))):
        mixed.addcmul_(share[:, number], padded[:, :, None, i : i + h, j : j + w])
    return rearrange(mixed, "b c (f g) h w -> b c (h f) (w g)", f=factor)


def planes(x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
    """The same map with each channel by itself in memory, by a transposition of matrices, which is several times as
    fast as a copy of strided channels."""
    if x.is_contiguous() or torch.compiler.is_compiling():
        return x
    b, c, h, w = x.shape
    return torch.stack([one.permute(1, 2, 0).reshape(h * w, c).t().contiguous() for one in x]).view(
        b, c, h, w
    )


def pixel_shuffle(x: Float[Tensor, "b 4*c h w"]) -> Float[Tensor, "b c 2*h 2*w"]:
    """`torch.nn.functional.pixel_shuffle(x, 2)`, each channel by itself in memory."""
    return rearrange(planes(x), "b (c i j) h w -> b c (h i) (w j)", i=2, j=2)


def unshuffled_conv(
    conv: nn.Conv2d, maps: Sequence[Float[Tensor, "b _c h w"]], *, gain: float = 1.0
) -> Float[Tensor, "b o h2 w2"]:
    """`conv(gain * pixel_unshuffle(cat(maps), 2))` in the order in which pixels lie in memory, channels last.

    The weights are put in that order instead, which takes a hundredth of the time.
    """
    x = torch.cat([rearrange(one, "b c h w -> b h w c") for one in maps], dim=-1)
    x = rearrange(x, "b (h i) (w j) c -> b h w (i j c)", i=2, j=2)
    weight = rearrange(conv.weight, "o (c i j) y x -> o (i j c) y x", i=2, j=2)
    return F.conv2d(
        rearrange(x, "b h w c -> b c h w"),
        (weight * gain).contiguous(memory_format=torch.channels_last),
        conv.bias,
        padding=conv.padding,
    )


def mix(
    x: Float[Tensor, "*axes"], y: Float[Tensor, "*axes"], share: Float[Tensor, "*_axes"]
) -> Float[Tensor, "*axes"]:
    """`torch.lerp` for tensors of several precisions, as they come under autocast."""
    return x + share * (y - x)


def around(error: Float[Tensor, "b 1 h w"], window: int) -> Float[Tensor, "b 1 h w"]:
    """Root mean square over the pixels around, a square of odd side `window`."""
    squared = torch.cat([error.square(), torch.ones_like(error)], dim=1)
    total, count = (
        F.pad(squared, (window // 2,) * 4)
        .unfold(-2, window, 1)
        .sum(-1)
        .unfold(-1, window, 1)
        .sum(-1)
        .split(1, dim=1)
    )
    return (total / count).add(1e-8).sqrt()


def enlarge_copies(
    copies: Float[Tensor, "b k 2 h w"], size: torch.Size | tuple[int, ...]
) -> Float[Tensor, "b k 2 h2 w2"]:
    """Bilinear interpolation of the copies of all heads."""
    return resize(copies.flatten(1, 2), size).unflatten(1, (-1, 2))


def resize(x: Float[Tensor, "b c h w"], size: torch.Size | tuple[int, ...]) -> Float[Tensor, "b c h2 w2"]:
    """Bilinear interpolation to a height and width."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
