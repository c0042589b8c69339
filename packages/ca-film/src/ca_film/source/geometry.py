"""Size at which the network sees a frame, and turning frames upright."""

from __future__ import annotations

import math
from fractions import Fraction

import torch
from jaxtyping import Float
from torch import Tensor

__all__ = ["network_size", "turn"]

_MULTIPLE = 16
_SMALLEST = 32


def network_size(
    size: tuple[int, int], budget: tuple[int, int], pixel_aspect: Fraction = Fraction(1)
) -> tuple[int, int]:
    """Size at which the network sees a frame.

    `--size` is a budget of pixels, not a shape: the frame keeps the aspect it is shown with (pixel aspect
    included), its area comes close to that of the budget but not above the frame's own, and both sides
    are multiples of 16, the coarsest grid of the network.

    Args:
        size: height and width of the frame in stored pixels.
        budget: height and width of `--size`.
        pixel_aspect: width of one stored pixel divided by its height.

    Returns:
        Height and width, multiples of 16, each >= 32.

    Example:
        >>> network_size((224, 384), (224, 384)), network_size((1080, 1920), (224, 384))
        ((224, 384), (224, 384))
        >>> network_size((320, 432), (224, 384))
        (256, 336)
    """
    height, width = size
    aspect = float(width * pixel_aspect / height)
    area = min(budget[0] * budget[1], height * width)
    ideal = math.sqrt(area / aspect)
    return _to_multiple(ideal), _to_multiple(ideal * aspect)


def _to_multiple(side: float) -> int:
    return max(_SMALLEST, round(side / _MULTIPLE) * _MULTIPLE)


def turn(frame: Float[Tensor, "*batch h w"], degrees: int) -> Float[Tensor, "*batch h2 w2"]:
    """Turn a frame by a multiple of 90 degrees, counter-clockwise.

    Args:
        frame: `... h w`.
        degrees: any multiple of 90; others are rounded to the nearest, since no pixel grid holds them.

    Returns:
        The turned frame.

    Example:
        >>> turn(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 90).tolist()
        [[2.0, 4.0], [1.0, 3.0]]
    """
    return torch.rot90(frame, round(degrees / 90) % 4, dims=(-2, -1))
