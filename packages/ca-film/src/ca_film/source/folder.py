"""A folder of frames as a film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import torch
from ca_data import LIGHTNESS_SCALE, FrameFolder, YuvCoding, lab_to_rgb, luma_to_codes, rgb_to_lab
from jaxtyping import Float
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.source.film import FilmFormat, Frame

__all__ = ["FolderFilm"]


class FolderFilm:
    """A folder of numbered images, in the natural order of their names.

    Args:
        path: the folder.
        rate: frames per second, which a folder does not say; it matters only when a video is written.

    Raises:
        FilmError: if the folder holds no frames, or frames of different sizes.
    """

    def __init__(self, path: Path, rate: Fraction = Fraction(24)) -> None:
        self.path = path
        # A file reads or it does not: there is nothing to be careful about, and nothing to survive.
        self.careful = False
        self.notes: list[str] = []
        self.problems: list[str] = []
        try:
            self._folder = FrameFolder(path)
            self._folder.check_sizes()
            _check_names(self._folder.files)
        except ValueError as error:
            raise FilmError(str(error)) from error
        self.format = FilmFormat(self._folder.size, YuvCoding(), time_base=1 / rate, rate=rate)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Read the frames in order.

        Raises:
            FilmError: if a file cannot be read.
        """
        for index in range(start, len(self._folder)):
            try:
                rgb = self._folder.read([index])[0]
            except ValueError as error:
                raise FilmError(str(error)) from error
            lightness = rgb_to_lab(rgb)[:1]
            # A grey's three sRGB values are equal, and are its luma.
            grey = lab_to_rgb(torch.cat((lightness, torch.zeros_like(lightness).expand(2, -1, -1))))[1]
            luma = luma_to_codes(grey, self.format.coding).to(torch.uint8).numpy()
            yield Frame(index, luma, timestamp=index, duration=1, rgb=rgb)

    def lightness(self, frame: Frame) -> Float[Tensor, "1 h w"]:
        """L of the frame itself, so that colour frames keep theirs."""
        if frame.rgb is None:
            raise ValueError("frame must come from this film, got one without rgb; pass what frames() gave")
        return rgb_to_lab(frame.rgb)[:1] / LIGHTNESS_SCALE - 1.0

    def frame_name(self, index: int) -> str:
        """The file's own name."""
        return self._folder.files[index].stem


def _check_names(files: Sequence[Path]) -> None:
    """Two frames whose names differ in the ending alone would be one in the output."""
    seen: dict[str, Path] = {}
    for file in files:
        other = seen.setdefault(file.stem, file)
        if other is not file:
            raise ValueError(
                f"frame folder {file.parent} holds {other.name} and {file.name}, which would be one frame in the "
                "output; remove one, or rename it"
            )
