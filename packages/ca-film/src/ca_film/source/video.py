"""A video file as a film."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from ca_data import VideoError, VideoReader, luma_to_lightness, plane
from jaxtyping import Float
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.source.film import FilmFormat, Frame

__all__ = ["VideoFilm"]


class VideoFilm:
    """The first real video stream of a file.

    Args:
        path: the file.

    Raises:
        FilmError: if the file is missing, is no video, has no video stream, or not one frame decodes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self.window: tuple[Fraction, Fraction | None] | None = None
        try:
            self._reader = VideoReader(path, strict=False)
        except VideoError as error:
            raise FilmError(str(error)) from error
        info = self._reader.info
        if info.pix_fmt != info.planar_format and info.coding.full_range:
            self.notes.append("RGB film: its luma is made with the BT.709 matrix, since RGB holds none")
        rate = info.rate if info.rate is not None and 0 < info.rate <= 1000 else Fraction(25)
        self.format = FilmFormat(
            size=(info.height, info.width),
            coding=info.coding,
            tags=info.tags,
            pixel_aspect=info.sample_aspect_ratio if info.sample_aspect_ratio > 0 else Fraction(1),
            rotation=info.rotation,
            interlaced=info.interlaced,
            time_base=info.time_base,
            rate=rate,
            pixel_format=info.pix_fmt,
            codec=info.codec,
        )

    @property
    def careful(self) -> bool:
        """Whether to decode packet by packet, so that a damaged one takes no good frame with it."""
        return self._reader.careful

    @careful.setter
    def careful(self, value: bool) -> None:
        self._reader.careful = value

    @property
    def problems(self) -> list[str]:
        """What the last iteration could not decode."""
        return self._reader.damage

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Decode in order, from the file's beginning: after seeking the frames need not be the same.

        Raises:
            FilmError: if nothing decodes.
        """
        try:
            for frame in self._reader:
                if frame.index >= start:
                    decoded, luma = frame.decoded, plane(frame.decoded, 0)
                    yield Frame(frame.index, luma, frame.pts, int(decoded.duration or 0), decoded)
        except VideoError as error:
            raise FilmError(str(error)) from error

    def lightness(self, frame: Frame) -> Float[Tensor, "1 h w"]:
        """Lightness of the grey that each luma code stands for."""
        return luma_to_lightness(torch.from_numpy(frame.luma.astype(np.int32))[None], self.format.coding)

    def frame_name(self, index: int) -> str:
        """`frame_000040`, which names the frame when it comes back as a reference."""
        return f"frame_{index:06d}"
