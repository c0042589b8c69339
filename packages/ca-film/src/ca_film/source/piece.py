"""A piece of a film as a film of its own: for a test before the whole is coloured."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

from ca_data import SeekingReader, VideoError
from jaxtyping import Float
from torch import Tensor

from ca_film.errors import FilmError
from ca_film.options import Place, StillBinding
from ca_film.source.film import Film, FilmFormat, Frame
from ca_film.source.folder import FolderFilm
from ca_film.source.references import Reference

__all__ = ["PieceFilm"]


class PieceFilm:
    """The frames of a film from one place to another, counted from 0, the first of them at time 0.

    Args:
        film: the whole film.
        start: its first frame, by number or time; a time between two frames means the later one.
        end: the frame that it ends before; None for the film's end.

    Raises:
        FilmError: if a place lies outside of the film, nothing lies between the two, or a video has no timestamps.
    """

    def __init__(self, film: Film, start: Place = 0, end: Place | None = None) -> None:
        self._film = film
        stamps = _timestamps(film)
        first = _index(stamps, start, film.format.time_base, "`start`")
        last = len(stamps) if end is None else _index(stamps, end, film.format.time_base, "`end`")
        if first >= len(stamps) or last > len(stamps):
            name, place = ("`start`", start) if first >= len(stamps) else ("`end`", end)
            raise FilmError(
                f"{name} {_said(place)} lies behind the film's end, which has {len(stamps)} frames in "
                f"{float((stamps[-1] - stamps[0]) * film.format.time_base):.2f} s; choose an earlier place"
            )
        if last <= first:
            raise FilmError(
                f"`end` {_said(end)} is frame {last}, not after `start`, frame {first}; give a later `end`"
            )
        self.numbers = range(first, last)
        """Numbers of the frames in the whole film."""
        self._zero, tick = stamps[first], film.format.time_base
        self._begins = float((stamps[first] - stamps[0]) * tick)
        self.window: tuple[Fraction, Fraction | None] | None = (
            stamps[first] * tick,
            stamps[last] * tick if last < len(stamps) else None,
        )

    @property
    def path(self) -> Path:
        """Where the whole film lies."""
        return self._film.path

    @property
    def format(self) -> FilmFormat:
        """What every frame has in common."""
        return self._film.format

    @property
    def notes(self) -> list[str]:
        """What the user should know about how it is read."""
        return [
            f"this is a piece, frames {self.numbers.start} to {self.numbers.stop - 1} of the film, from "
            f"{self._begins:.2f} s on; elsewhere in these notes frames count from its first one",
            *self._film.notes,
        ]

    @property
    def problems(self) -> list[str]:
        """What the last iteration could not decode."""
        return self._film.problems

    @property
    def careful(self) -> bool:
        """Whether to decode packet by packet."""
        return self._film.careful

    @careful.setter
    def careful(self, value: bool) -> None:
        self._film.careful = value

    def frames(self, start: int = 0) -> Iterator[Frame]:
        """The frames in order, from one on."""
        first = self.numbers.start
        for frame in self._film.frames(first + start):
            if frame.index >= self.numbers.stop:
                return
            yield replace(frame, index=frame.index - first, timestamp=frame.timestamp - self._zero)

    def seek_by(self, checks: Sequence[tuple[int, int]]) -> None:
        """Nothing to do: a piece is short, and decoded as its film is."""

    def lightness(self, frame: Frame) -> Float[Tensor, "1 h w"]:
        """Input of the network."""
        return self._film.lightness(frame)

    def frame_name(self, index: int) -> str:
        """File name, without suffix, that the frame has in the whole film."""
        return self._film.frame_name(self.numbers.start + index)

    def local(self, frame: int) -> int | None:
        """The piece's own number of a frame of the whole film; None outside of it."""
        return frame - self.numbers.start if frame in self.numbers else None

    def local_reference(self, reference: Reference) -> Reference:
        """A reference whose numbers count in the piece; one of a frame outside is a reference like any other.

        Raises:
            FilmError: if it is bound to shots, whose numbers the whole film gives.
        """
        frame = None if reference.frame is None else self.local(reference.frame)
        return replace(reference, frame=frame, binding=self._local_binding(reference.binding))

    def _local_binding(self, binding: StillBinding | None) -> StillBinding | None:
        if binding is None:
            return None
        if binding.shots:
            raise FilmError(
                f"still {binding.still} is bound to shots, whose numbers only the whole film gives; bind it to frames, "
                "or leave `start` and `end` out"
            )
        first, length = self.numbers.start, len(self.numbers)
        frames = [range(max(0, one.start - first), min(length, one.stop - first)) for one in binding.frames]
        inside = [one for one in frames if one]
        if binding.frames and not inside:
            # It counts nowhere in the piece: behind its end.
            inside = [range(length, length + 1)]
        frame = None if binding.frame is None else self.local(binding.frame)
        return StillBinding(binding.still, frames=inside, frame=frame)


def _timestamps(film: Film) -> list[int]:
    """Of every frame, in the film's time base."""
    if isinstance(film, FolderFilm):
        return list(range(len(film)))
    try:
        reader = SeekingReader(film.path)
    except VideoError as error:
        raise FilmError(str(error)) from error
    if reader.counts:
        raise FilmError(
            f"film {film.path} has frames without timestamps of their own, so that `start` and `end` find no place in "
            "it; remux it to MKV or MP4"
        )
    return reader.timestamps


def _index(stamps: list[int], place: Place, tick: Fraction, name: str) -> int:
    if place < 0:
        raise FilmError(f"{name} must be 0 or more, got {_said(place)}; the film begins at 0")
    if isinstance(place, int):
        return place
    return bisect_left(stamps, stamps[0] + place / tick)


def _said(place: Place | None) -> str:
    return f"{float(place):g}s" if isinstance(place, Fraction) else str(place)
