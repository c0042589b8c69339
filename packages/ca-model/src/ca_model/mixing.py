"""Mixing copies of colour: per pixel, and over the pixels around, in ways by which no new value can arise."""

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Float
from torch import Tensor


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
    b, _, h, w = x.shape
    if weights.shape != (b, 9 * factor**2, h, w):
        raise ValueError(f"weights: expected {(b, 9 * factor**2, h, w)}, got {tuple(weights.shape)}")
    share = rearrange(weights, "b (n f g) h w -> b 1 n f g h w", n=9, f=factor).softmax(dim=2)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    around = torch.stack([padded[..., i : i + h, j : j + w] for i in range(3) for j in range(3)], dim=2)
    mixed = (share * rearrange(around, "b c n h w -> b c n 1 1 h w")).sum(dim=2)
    return rearrange(mixed, "b c f g h w -> b c (h f) (w g)")


def mix(
    x: Float[Tensor, "*axes"], y: Float[Tensor, "*axes"], share: Float[Tensor, "*_axes"]
) -> Float[Tensor, "*axes"]:
    """`torch.lerp` for tensors of several precisions, as they come under autocast."""
    return x + share * (y - x)


def around(error: Float[Tensor, "b 1 h w"], window: int) -> Float[Tensor, "b 1 h w"]:
    """Root mean square over the pixels around, a square of odd side `window`."""
    radius = window // 2
    return F.avg_pool2d(error.square(), window, 1, radius, count_include_pad=False).add(1e-8).sqrt()


def enlarge_copies(
    copies: Float[Tensor, "b k 2 h w"], size: torch.Size | tuple[int, ...]
) -> Float[Tensor, "b k 2 h2 w2"]:
    """Bilinear interpolation of the copies of all heads."""
    return resize(copies.flatten(1, 2), size).unflatten(1, (-1, 2))


def resize(x: Float[Tensor, "b c h w"], size: torch.Size | tuple[int, ...]) -> Float[Tensor, "b c h2 w2"]:
    """Bilinear interpolation to a height and width."""
    return F.interpolate(x, size=tuple(size), mode="bilinear", align_corners=False)
