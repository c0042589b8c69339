"""Lightness of a film's frames as the network sees it."""

from __future__ import annotations

from ca_data import resize
from jaxtyping import Float
from torch import Tensor

from ca_film.source.film import Film, Frame
from ca_film.source.geometry import turn

__all__ = ["network_lightness"]


def network_lightness(film: Film, frame: Frame, size: tuple[int, int]) -> Float[Tensor, "1 h w"]:
    """Lightness of a frame as the network sees it: upright, small, in [-1, 1].

    Args:
        film: the film.
        frame: one of its frames.
        size: height and width at which the network sees the film.

    Returns:
        `1 h w`.
    """
    upright = turn(film.lightness(frame), film.format.rotation)
    return resize(upright, size).clamp(-1.0, 1.0)
