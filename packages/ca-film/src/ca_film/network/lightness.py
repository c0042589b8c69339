"""Lightness of a film's frames as the network sees it."""

from __future__ import annotations

from collections.abc import Collection

from ca_data import resize
from jaxtyping import Float
from torch import Tensor

from ca_film.source.film import Film, Frame
from ca_film.source.geometry import turn

__all__ = ["SteadyLightness", "network_lightness"]


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


class SteadyLightness:
    """Lightness of a film's frames in which a flash looks like the frame before it, so that it leaves no trace.

    Args:
        film: the film.
        size: height and width at which the network sees the film.
        flashes: numbers of frames that are flashes; before each run of them comes a frame that is none.
    """

    def __init__(self, film: Film, size: tuple[int, int], flashes: Collection[int]) -> None:
        self._film, self._size = film, size
        self._flashes = frozenset(flashes)
        self._before: Float[Tensor, "1 h w"] | None = None

    def first_needed(self, index: int) -> int:
        """The frame from which on frames must be looked at to know how one is to be seen."""
        while index in self._flashes:
            index -= 1
        return index

    def look(self, frame: Frame) -> None:
        """Remember a frame that nothing else is wanted of, should a flash follow it."""
        if frame.index + 1 in self._flashes and frame.index not in self._flashes:
            self._before = network_lightness(self._film, frame, self._size)

    def see(self, frame: Frame) -> tuple[Float[Tensor, "1 h w"], Float[Tensor, "1 h w"] | None]:
        """Lightness of a frame and, of a flash, that in whose place the network is to see it."""
        lightness = network_lightness(self._film, frame, self._size)
        if frame.index not in self._flashes:
            self._before = lightness if frame.index + 1 in self._flashes else None
            return lightness, None
        assert self._before is not None, f"nothing was seen before the flash {frame.index}"
        return lightness, self._before
