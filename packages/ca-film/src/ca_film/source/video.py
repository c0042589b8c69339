"""A video file as a film."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from ca_data import FilmFrame, VideoError, VideoReader, luma_to_lightness, plane
from jaxtyping import Float
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.source.film import FilmFormat, Frame, checksum

__all__ = ["VideoFilm"]

# So many frames before the wanted one decoding begins; more where the frames after the nearest keyframe differ.
_BACK = (0, 300)


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
        self._checks: Sequence[tuple[int, int]] = ()
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

    def seek_by(self, checks: Sequence[tuple[int, int]]) -> None:
        """Seek to later frames from now on, where timestamp and checksum of each say that it is the same frame."""
        self._checks = () if self.careful else checks

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """Decode in order, from the file's beginning: after seeking the frames need not be the same.

        With checksums (`seek_by`) decoding begins nearby, and at the beginning where a frame is another one after all.

        Raises:
            FilmError: if nothing decodes.
        """
        reached = start
        for frame in self._sought(start) if self._checks and start else ():
            yield frame
            reached = frame.index + 1
        if self._checks and reached == len(self._checks):
            return
        try:
            for decoded in self._reader:
                if decoded.index >= reached:
                    yield _as_frame(decoded, decoded.index)
        except VideoError as error:
            raise FilmError(str(error)) from error

    def _sought(self, start: int) -> Iterator[Frame]:
        """The frames from one on, found by seeking, for as long as each is the one that belongs there."""
        index = start
        for back in _BACK:
            try:
                for decoded in self._reader.near(self._checks[max(0, start - back)][0]):
                    if index == start and decoded.pts < self._checks[start][0]:
                        continue
                    frame = _as_frame(decoded, index)
                    if index == len(self._checks) or (decoded.pts, checksum(frame)) != tuple(
                        self._checks[index]
                    ):
                        break
                    yield frame
                    index += 1
            except VideoError:
                return
            if index > start:
                return

    def lightness(self, frame: Frame) -> Float[Tensor, "1 h w"]:
        """Lightness of the grey that each luma code stands for."""
        return luma_to_lightness(torch.from_numpy(frame.luma.astype(np.int32))[None], self.format.coding)

    def frame_name(self, index: int) -> str:
        """`frame_000040`, which names the frame when it comes back as a reference."""
        return f"frame_{index:06d}"


def _as_frame(decoded: FilmFrame, index: int) -> Frame:
    duration = int(decoded.decoded.duration or 0)
    return Frame(index, plane(decoded.decoded, 0), decoded.pts, duration, decoded.decoded)
