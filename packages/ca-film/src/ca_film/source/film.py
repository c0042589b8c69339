"""A film: numbered frames in the order shown, whatever they are stored in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np
import torch
from ca_data import YuvCoding, luma_from_codes
from ca_model import RecurrentState
from jaxtyping import Float, Integer, UInt, UInt8
from torch import Tensor

if TYPE_CHECKING:
    import av

__all__ = ["ColoredFrame", "Film", "FilmFormat", "Frame", "grey_image"]

_SILENT = 2
_MATRIX_NUMBERS = {"bt709": 1, "fcc": 4, "bt601": 6, "smpte240m": 7, "bt2020": 9}


@dataclass(frozen=True)
class FilmFormat:
    """Properties that every frame of a film shares.

    Args:
        size: height and width in stored pixels.
        coding: what the code values mean.
        tags: matrix, range, primaries and transfer as the film says them (H.273; 2, for the range 0, is silence).
        pixel_aspect: width of a stored pixel divided by its height.
        rotation: degrees, counter-clockwise, by which a player turns the stored frame.
        interlaced: whether the odd and the even rows were taken at different times.
        time_base: unit of the timestamps in seconds.
        rate: frames per second, on average.
        pixel_format: the decoder's name for the storage (`yuv420p10le`); of a folder of frames `rgb24` or `rgb48le`.
        codec: the decoder's name for the codec; empty for a folder.
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
    codec: str = ""

    @property
    def color_tags(self) -> tuple[int, int, int]:
        """Matrix, primaries and transfer for the output: the film's, but a matrix always.

        A grey film need not say its matrix; once it has chroma, a player that guesses another shows wrong colours.
        """
        matrix = self.tags[0] if self.tags[0] != _SILENT else _MATRIX_NUMBERS[self.coding.matrix]
        return matrix, self.tags[2], self.tags[3]

    @property
    def turns(self) -> int:
        """Quarter turns, counter-clockwise, from the stored frame to the shown one."""
        return round(self.rotation / 90) % 4

    @property
    def shown_size(self) -> tuple[int, int]:
        """Height and width after turning, in stored pixels."""
        height, width = self.size
        return (width, height) if self.turns % 2 else (height, width)

    @property
    def shown_pixel_aspect(self) -> Fraction:
        """Pixel aspect after turning."""
        return 1 / self.pixel_aspect if self.turns % 2 else self.pixel_aspect


@dataclass(eq=False)
class Frame:
    """A frame of a film.

    Args:
        index: its number in the film, from 0.
        luma: `h w` codes of the film's own luma; they go to the output as they are.
        timestamp: when it is shown, in the film's time base.
        duration: for how long, in the same unit; 0 where the film does not say.
        decoded: the decoder's frame, which has flags and side data; None for a frame from a folder.
        rgb: `3 h w` uint8 or uint16 of a frame from a folder, whose lightness goes to the output as it is.
    """

    index: int
    luma: Integer[np.ndarray, "h w"]
    timestamp: int = 0
    duration: int = 0
    decoded: av.VideoFrame | None = None
    rgb: UInt[Tensor, "3 h w"] | None = None


@dataclass(eq=False)
class ColoredFrame:
    """A frame with the network's colours, at the network's size, upright, on the CPU.

    Args:
        frame: the frame.
        lightness: `1 h w` in [-1, 1], its own.
        ab: `2 h w`, ab/110.
        confidence: `1 h w` in [0, 1], how well the references cover each place.
        state: what the network needs to go on after this frame, on the network's device.
        trust: `1 h w` in [0, 1], how well each pixel's track back to the last anchored frame held; None without tracks.
        steady: of a flash, the lightness `1 h w` of the frame before, which the network saw in its place; None else.
    """

    frame: Frame
    lightness: Float[Tensor, "1 h w"]
    ab: Float[Tensor, "2 h w"]
    confidence: Float[Tensor, "1 h w"]
    state: RecurrentState | None = None
    trust: Float[Tensor, "1 h w"] | None = None
    steady: Float[Tensor, "1 h w"] | None = None


class Film(Protocol):
    """A source of frames.

    `careful` asks for slower decoding in which a damaged stretch takes no good frame with it; `problems` has one line
    for each stretch that the last iteration could not decode. `window` is None of a whole film, and of a piece the
    seconds between which it lies in its file, an open end being None.
    """

    careful: bool
    window: tuple[Fraction, Fraction | None] | None

    @property
    def path(self) -> Path:
        """Where it lies."""

    @property
    def format(self) -> FilmFormat:
        """What every frame has in common."""

    @property
    def notes(self) -> list[str]:
        """What the user should know about how it is read."""

    @property
    def problems(self) -> list[str]:
        """What the last iteration could not decode."""

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames in order, from one on."""

    def lightness(self, frame: Frame) -> Float[Tensor, "1 h w"]:
        """Input of the network: L/50 - 1 in [-1, 1], in the film's size and orientation."""

    def frame_name(self, index: int) -> str:
        """File name, without suffix, of a frame written as an image."""


def grey_image(luma: Integer[np.ndarray, "h w"], coding: YuvCoding) -> UInt8[np.ndarray, "h w"]:
    """Luma as an 8-bit grey image.

    Example:
        >>> grey_image(np.array([[16, 235]]), YuvCoding()).tolist()
        [[0, 255]]
    """
    grey = luma_from_codes(torch.from_numpy(luma.astype(np.int32)), coding)
    return (grey * 255.0).round().clamp(0, 255).byte().numpy()
