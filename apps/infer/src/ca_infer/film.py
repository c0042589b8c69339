"""A film as the rest of the application sees it: pictures in order, whatever they are stored in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from ca_data import YuvCoding, luma_from_codes
from jaxtyping import Float, Integer, UInt8
from torch import Tensor

if TYPE_CHECKING:
    import av

__all__ = ["Film", "FilmFormat", "Picture", "Survey", "Watch", "grey_picture"]


_SILENT = 2
_MATRIX_NUMBERS = {"bt709": 1, "fcc": 4, "bt601": 6, "smpte240m": 7, "bt2020": 9}


@dataclass(frozen=True)
class FilmFormat:
    """What every picture of a film has in common.

    Args:
        size: height and width in stored pixels.
        coding: what the code values mean.
        tags: matrix, range, primaries and transfer as the film says them (H.273; 2, for the range 0, is silence).
        pixel_aspect: width of a stored pixel divided by its height.
        rotation: degrees, counter-clockwise, by which a player turns the stored picture.
        interlaced: whether the odd and the even rows were taken at different times.
        time_base: unit of the timestamps in seconds.
        rate: pictures per second, on average.
        pixel_format: the decoder's name for the storage (`yuv420p10le`), or `rgb24` for frames in a folder.
    """

    size: tuple[int, int]
    coding: YuvCoding
    tags: tuple[int, int, int, int] = (1, 1, 1, 1)
    pixel_aspect: Fraction = Fraction(1)
    rotation: int = 0
    interlaced: bool = False
    time_base: Fraction = Fraction(1, 24)
    rate: Fraction = Fraction(24)
    pixel_format: str = "rgb24"

    @property
    def color_tags(self) -> tuple[int, int, int]:
        """Matrix, primaries and transfer for the output: the film's, but a matrix always.

        A grey film need not say its matrix; once it has chroma, a player that guesses another shows wrong colours.
        """
        matrix = self.tags[0] if self.tags[0] != _SILENT else _MATRIX_NUMBERS[self.coding.matrix]
        return matrix, self.tags[2], self.tags[3]

    @property
    def shown_size(self) -> tuple[int, int]:
        """Height and width after turning, in stored pixels."""
        height, width = self.size
        return (width, height) if round(self.rotation / 90) % 2 else (height, width)

    @property
    def shown_pixel_aspect(self) -> Fraction:
        """Pixel aspect after turning."""
        return 1 / self.pixel_aspect if round(self.rotation / 90) % 2 else self.pixel_aspect


@dataclass(eq=False)
class Picture:
    """One picture of a film.

    Args:
        index: its number in the film, from 0.
        luma: `h w` codes of the film's own luma; they go to the output as they are.
        frame: the decoded video frame, which carries flags and side data; None for a picture from a folder.
        rgb: `3 h w` uint8 of a picture from a folder, whose lightness goes to the output as it is.
    """

    index: int
    luma: Integer[np.ndarray, "h w"]
    frame: av.VideoFrame | None = None
    rgb: UInt8[Tensor, "3 h w"] | None = None


@dataclass
class Survey:
    """What one pass over a film found, before any work is done.

    Args:
        timestamps: of every picture that decodes, in the film's time base, in the order shown.
        durations: as long, in the same unit; 0 where the film does not say.
        cuts: numbers of the pictures that begin a new shot, 0 not among them.
        problems: one line for every stretch of the film that could not be decoded.
        notes: what else the user should know.
        dates: numbers of the pictures that undated stills turned out to belong to, by the still's digest.
    """

    timestamps: list[int]
    durations: list[int]
    cuts: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dates: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def shots(self) -> list[range]:
        """The shots, as ranges of picture numbers.

        Example:
            >>> Survey([0, 1, 2, 3, 4], [0] * 5, cuts=[2]).shots
            [range(0, 2), range(2, 5)]
        """
        edges = [0, *self.cuts, len(self)]
        return [range(first, last) for first, last in pairwise(edges) if last > first]


def grey_picture(luma: Integer[np.ndarray, "h w"], coding: YuvCoding) -> UInt8[np.ndarray, "h w"]:
    """Luma as an 8-bit grey picture.

    Example:
        >>> grey_picture(np.array([[16, 235]]), YuvCoding()).tolist()
        [[0, 255]]
    """
    grey = luma_from_codes(torch.from_numpy(luma.astype(np.int32)), coding)
    return (grey * 255.0).round().clamp(0, 255).byte().numpy()


class Watch(Protocol):
    """Someone who looks on while a film is surveyed."""

    def restart(self) -> None:
        """The survey begins, or begins anew."""

    def add(self, luma: Integer[np.ndarray, "h w"], coding: YuvCoding) -> None:
        """The next picture."""


class Film(Protocol):
    """Something to colourise."""

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def format(self) -> FilmFormat:
        """What every picture has in common."""

    def survey(self, *, find_cuts: bool = True, watch: Watch | None = None) -> Survey:
        """Look at every picture once; `watch` is shown each, too."""

    def follow(self, survey: Survey) -> None:
        """Give the pictures as that survey found them, also where the film is damaged."""

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        """The pictures in order, from one on."""

    def lightness(self, picture: Picture) -> Float[Tensor, "1 h w"]:
        """What the network is to see: L/50 - 1 in [-1, 1], in the film's size and orientation."""

    def picture_name(self, index: int) -> str:
        """File name, without suffix, of a picture written as a still."""
