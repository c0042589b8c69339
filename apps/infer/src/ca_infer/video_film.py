"""A video file as a film."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
import torch
from ca_data import FilmFrame, VideoError, VideoReader, luma_to_lightness, plane
from jaxtyping import Float
from torch import Tensor

from ca_infer.errors import InferError
from ca_infer.film import FilmFormat, Picture, Survey, Watch
from ca_infer.shots import CutFinder

__all__ = ["VideoFilm"]

_MOST_PROBLEMS = 100


class VideoFilm:
    """The first real video stream of a file.

    Args:
        path: the file.

    Raises:
        InferError: if the file is missing, is no video, has no video stream, or not one picture decodes.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.notes: list[str] = []
        self._reader = VideoReader(path, strict=False)
        info = self._reader.info
        self.codec = info.codec
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
        )

    def survey(self, *, find_cuts: bool = True, watch: Watch | None = None) -> Survey:
        """Decode the whole film once: timestamps, what does not decode, and the cuts."""
        survey = self._survey(find_cuts, watch)
        if survey.problems and not self._reader.careful:
            self._reader.careful = True
            survey = self._survey(find_cuts, watch)
        return survey

    def follow(self, survey: Survey) -> None:
        """Decode damaged films the careful way, as the survey did."""
        self._reader.careful = bool(survey.problems)

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        """Decode in order, from the file's beginning: after seeking the pictures need not be the same."""
        for frame in self._frames():
            if frame.index >= start:
                yield Picture(frame.index, plane(frame.decoded, 0), frame=frame.decoded)

    def lightness(self, picture: Picture) -> Float[Tensor, "1 h w"]:
        """Lightness of the grey that each luma code stands for."""
        return luma_to_lightness(torch.from_numpy(picture.luma.astype(np.int32))[None], self.format.coding)

    def picture_name(self, index: int) -> str:
        """`frame_000040`, which names the frame when it comes back as a reference."""
        return f"frame_{index:06d}"

    def _survey(self, find_cuts: bool, watch: Watch | None) -> Survey:
        survey = Survey([], [], notes=list(self.notes))
        finder = CutFinder(self.format.rate) if find_cuts else None
        watches = [one.add for one in (finder, watch) if one]
        if watch:
            watch.restart()
        for frame in self._frames():
            survey.timestamps.append(frame.pts)
            survey.durations.append(int(frame.decoded.duration or 0))
            for add in watches:
                add(plane(frame.decoded, 0), self.format.coding)
        survey.problems = _shortened(self._reader.damage)
        if finder:
            survey.cuts = finder.finish()
            survey.notes += finder.notes
        moved = _make_increasing(survey.timestamps)
        if moved:
            survey.notes.append(f"{moved} timestamps did not increase and were moved on by a tick")
        return survey

    def _frames(self) -> Iterator[FilmFrame]:
        try:
            yield from self._reader
        except VideoError as error:
            raise InferError(str(error)) from error


def _make_increasing(timestamps: list[int]) -> int:
    moved = 0
    for position in range(1, len(timestamps)):
        if timestamps[position] <= timestamps[position - 1]:
            timestamps[position] = timestamps[position - 1] + 1
            moved += 1
    return moved


def _shortened(problems: list[str]) -> list[str]:
    """A film damaged from end to end should not fill the screen with complaints."""
    if len(problems) <= _MOST_PROBLEMS:
        return list(problems)
    return [*problems[:_MOST_PROBLEMS], f"and {len(problems) - _MOST_PROBLEMS} more"]
