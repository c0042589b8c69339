"""Looking at a film: single frames in any order, by seeking, a few of them held."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path

from ca_data import FilmFrame, FrameFolder, SeekingReader, VideoError, plane
from jaxtyping import Float
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.session import open_film
from ca_film.source.film import Film, Frame
from ca_film.source.geometry import turn
from ca_film.source.survey import Survey

__all__ = ["Viewer", "upright_lightness"]

_HELD_BYTES = 256 << 20
_NEAR = 48


class Viewer:
    """A film in which any frame is at hand; several threads may ask at a time.

    Args:
        path: a video file or a folder of frames.

    Raises:
        FilmError: if there is nothing to see.
    """

    def __init__(self, path: str | Path) -> None:
        self.film: Film = open_film(path)
        try:
            self._reader = None if Path(path).is_dir() else SeekingReader(path)
        except VideoError as error:
            raise FilmError(str(error)) from error
        self._frames = len(self._reader) if self._reader else len(FrameFolder(path))
        self._held: OrderedDict[int, Frame] = OrderedDict()
        self._bytes = 0
        self._running: tuple[int, Iterator[Frame]] | None = None
        self._lock = threading.Lock()

    def __len__(self) -> int:
        """Number of frames: what the packets say, until a survey says better."""
        return self._frames

    def follow(self, survey: Survey) -> None:
        """Number the frames as a survey did, also where the film is damaged."""
        with self._lock:
            if self._reader is not None:
                self._reader.follow(survey.timestamps, careful=bool(survey.problems))
            self._frames = len(survey)
            self._held.clear()
            self._bytes, self._running = 0, None

    def frame(self, index: int) -> Frame:
        """One frame.

        Raises:
            FilmError: if the film has no such frame, or it does not decode.
        """
        if not 0 <= index < len(self):
            raise FilmError(f"frame must lie in 0..{len(self) - 1}, got {index}; choose another")
        with self._lock:
            if index not in self._held:
                self._decode(index)
            self._held.move_to_end(index)
            return self._held[index]

    def seconds(self, index: int) -> float:
        """When a frame is shown, since the first one; also of films of variable rate."""
        if self._reader is None or self._reader.counts or index >= len(self._reader):
            return float(index / self.film.format.rate)
        return float(
            (self._reader.timestamps[index] - self._reader.timestamps[0]) * self._reader.info.time_base
        )

    def near(self, index: int) -> Frame:
        """The keyframe at or before a frame: cheap, and like it enough for a thumbnail."""
        return self.frame(self._reader.key_before(index) if self._reader else index)

    def _decode(self, index: int) -> None:
        """Go on from where decoding stands if that is near, and seek otherwise."""
        near = len(self) if self._reader is not None and self._reader.counts else _NEAR
        if self._running is None or not 0 <= index - self._running[0] <= near:
            self._running = index, self._from(index)
        following, frames = self._running
        try:
            for frame in frames:
                self._hold(frame)
                following = frame.index + 1
                if following > index:
                    break
        except VideoError as error:
            raise FilmError(str(error)) from error
        self._running = following, frames
        if index not in self._held:
            self._running = None
            raise FilmError(f"frame {index} of {self.film.path.name} does not decode; look at one beside it")

    def _from(self, index: int) -> Iterator[Frame]:
        if self._reader is None:
            return self.film.frames(index)
        return (_as_frame(frame) for frame in self._reader.frames(index))

    def _hold(self, frame: Frame) -> None:
        if frame.index not in self._held:
            self._held[frame.index] = frame
            self._bytes += 2 * frame.luma.nbytes
        while self._bytes > _HELD_BYTES and len(self._held) > 1:
            _, gone = self._held.popitem(last=False)
            self._bytes -= 2 * gone.luma.nbytes


def _as_frame(frame: FilmFrame) -> Frame:
    return Frame(
        frame.index, plane(frame.decoded, 0), frame.pts, int(frame.decoded.duration or 0), frame.decoded
    )


def upright_lightness(film: Film, frame: Frame) -> Float[Tensor, "1 h w"]:
    """Lightness of a frame as a player turns it, L/50 - 1, in stored pixels.

    Args:
        film: the film.
        frame: one of its frames.

    Returns:
        `1 h w`.
    """
    return turn(film.lightness(frame), film.format.rotation)
