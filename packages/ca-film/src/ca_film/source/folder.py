"""A folder of frames as a film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from ca_data import LIGHTNESS_SCALE, YuvCoding, lab_to_rgb, luma_to_codes, rgb_to_lab
from jaxtyping import Float, UInt
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.source.film import FilmFormat, Frame
from ca_film.source.scans import FrameHeader, list_frames, numbering_gaps, read_frame, read_header

__all__ = ["FolderFilm"]


class FolderFilm:
    """A folder of numbered images, in the natural order of their names, in the depth of the deepest.

    Frames of more than 8 bits have full-range luma: a grey's code is then its luma, bit by bit.

    Args:
        path: the folder, or one picture.
        rate: frames per second, which a folder does not say; it matters only when a video is written.

    Raises:
        FilmError: if the folder holds no frames, or frames of different sizes.
    """

    def __init__(self, path: Path, rate: Fraction = Fraction(24)) -> None:
        self.path = path
        # A file reads or it does not: there is nothing to be careful about, and nothing to survive.
        self.careful = False
        self.problems: list[str] = []
        try:
            self._files, self.notes = list_frames(path) if path.is_dir() else ([path], [])
            headers = [read_header(file) for file in self._files]
            _check_sizes(self._files, headers)
            _check_names(self._files)
        except (ValueError, OSError) as error:
            raise FilmError(str(error)) from error
        self.notes += [
            *numbering_gaps(self._files),
            *dict.fromkeys(note for one in headers for note in one.notes),
        ]
        self.window: tuple[Fraction, Fraction | None] | None = None
        self._bits = max(header.bits for header in headers)
        deep = self._bits > 8
        self.format = FilmFormat(
            headers[0].size,
            YuvCoding(bits=self._bits, full_range=deep),
            time_base=1 / rate,
            rate=rate,
            pixel_format="rgb48le" if deep else "rgb24",
        )

    def __len__(self) -> int:
        """Number of frames."""
        return len(self._files)

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Read the frames in order.

        Raises:
            FilmError: if a file cannot be read.
        """
        kind = np.uint16 if self._bits > 8 else np.uint8
        for index in range(start, len(self._files)):
            try:
                rgb = read_frame(self._files[index], self._bits)
            except ValueError as error:
                raise FilmError(str(error)) from error
            if tuple(rgb.shape[1:]) != self.format.size:
                raise FilmError(
                    f"frame {self._files[index]} is not of the size that its header says; repair it"
                )
            lightness = _lab(rgb)[:1]
            # A grey's three sRGB values are equal, and are its luma.
            grey = lab_to_rgb(torch.cat((lightness, torch.zeros_like(lightness).expand(2, -1, -1))))[1]
            luma = luma_to_codes(grey, self.format.coding).numpy().astype(kind)
            yield Frame(index, luma, timestamp=index, duration=1, rgb=rgb)

    def lightness(self, frame: Frame) -> Float[Tensor, "1 h w"]:
        """L of the frame itself, so that colour frames keep theirs."""
        if frame.rgb is None:
            raise ValueError("frame must come from this film, got one without rgb; pass what frames() gave")
        return _lab(frame.rgb)[:1] / LIGHTNESS_SCALE - 1.0

    def frame_name(self, index: int) -> str:
        """The file's own name."""
        return self._files[index].stem


def _lab(rgb: UInt[Tensor, "3 h w"]) -> Float[Tensor, "3 h w"]:
    return rgb_to_lab(rgb if rgb.dtype == torch.uint8 else rgb.to(torch.float32) / 65535.0)


def _check_sizes(files: Sequence[Path], headers: Sequence[FrameHeader]) -> None:
    first = headers[0].size
    for file, header in zip(files, headers, strict=True):
        if header.size != first:
            raise ValueError(
                f"frames of {file.parent} differ in size: {files[0].name} is {first[1]}x{first[0]}, "
                f"{file.name} is {header.size[1]}x{header.size[0]}; bring them to one size"
            )


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
