"""Targets of the coloured frames: encoded segments of a video, or a folder of PNG files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from ca_film.errors import FilmError
from ca_film.options import StreamChoice
from ca_film.output.encoding import Encoding, fill_frame, open_encoder
from ca_film.output.mux import Joined, join
from ca_film.output.rendering import Renderer
from ca_film.output.segments import SegmentStore, SegmentWriter
from ca_film.output.timing import check_timing
from ca_film.output.work import WorkFolder
from ca_film.source.film import ColoredFrame, Film
from ca_film.source.images import write_png
from ca_film.source.survey import Survey

__all__ = ["FolderTarget", "Target", "VideoTarget"]


class Target(Protocol):
    """A place for coloured frames that is filled segment by segment."""

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""

    def begin(self, segment: range) -> None:
        """Start a segment."""

    def add(self, colored: ColoredFrame) -> None:
        """Add the next frame of the segment."""

    def finish(self) -> None:
        """Complete the segment: it will survive whatever happens later."""

    def abandon(self) -> None:
        """Drop an incomplete segment."""

    def publish(self, out: Path, survey: Survey, segments: Sequence[range]) -> Joined:
        """Put everything under its final name."""


class VideoTarget:
    """Segments encoded one by one and joined at the end.

    Args:
        film: the film.
        renderer: makes its chroma.
        encoding: how it is stored.
        work: for unfinished work.
        choice: which streams of the source are copied.
    """

    def __init__(
        self, film: Film, renderer: Renderer, encoding: Encoding, work: WorkFolder, choice: StreamChoice
    ) -> None:
        self._film, self._renderer, self._encoding, self._choice = film, renderer, encoding, choice
        self._work = work
        self._store = SegmentStore(work)
        self._writer: SegmentWriter | None = None

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""
        return self._store.has(segment)

    def begin(self, segment: range) -> None:
        """Open a fresh encoder."""
        self._writer = self._store.writer(segment, open_encoder(self._encoding, self._film.format))

    def add(self, colored: ColoredFrame) -> None:
        """Make chroma, join it with the frame's luma, encode."""
        assert self._writer is not None
        chroma = self._renderer.chroma(colored, self._encoding)
        self._writer.write(fill_frame(colored.frame, chroma, self._encoding, self._film.format))

    def finish(self) -> None:
        """Close the segment's file."""
        assert self._writer is not None
        self._writer.finish()
        self._writer = None

    def abandon(self) -> None:
        """Remove the segment's file."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def publish(self, out: Path, survey: Survey, segments: Sequence[range]) -> Joined:
        """Join, read back, and only then rename."""
        growing = self._work.joined_file()
        joined = join(growing, self._film, self._encoding, self._store, segments, survey, self._choice)
        joined.notes += check_timing(growing, self._film.format, survey.timestamps)
        growing.replace(out)
        return joined


class FolderTarget:
    """PNG files named as the film's frames.

    Args:
        film: the film.
        renderer: makes its colours.
        work: for unfinished work.
        depth: 8 or 16 bits.
    """

    def __init__(self, film: Film, renderer: Renderer, work: WorkFolder, depth: int = 8) -> None:
        self._film, self._renderer, self._depth = film, renderer, depth
        self._work = work
        self._folder = work.subfolder("frames")
        self._segment: range | None = None

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""
        return self._work.has("done", segment)

    def begin(self, segment: range) -> None:
        """Start a segment."""
        self._segment = segment

    def add(self, colored: ColoredFrame) -> None:
        """Write one PNG file."""
        rgb = self._renderer.rgb(colored, self._depth)
        write_png(rgb, self._folder / self._name(colored.frame.index))

    def finish(self) -> None:
        """Leave a mark that this segment is complete."""
        assert self._segment is not None
        self._work.file("done", self._segment).touch()

    def abandon(self) -> None:
        """Nothing to do: files of an incomplete segment are written again."""

    def publish(self, out: Path, survey: Survey, segments: Sequence[range]) -> Joined:
        """Move the files into the output folder; other files there stay as they are."""
        names = [self._name(index) for index in range(len(survey))]
        missing = [name for name in names if not (self._folder / name).is_file()]
        if missing:
            raise FilmError(f"kept work lacks {missing[0]} of {len(segments)} segments; use --restart")
        out.mkdir(parents=True, exist_ok=True)
        for name in names:
            (self._folder / name).replace(out / name)
        return Joined(frames=len(names))

    def _name(self, index: int) -> str:
        return f"{self._film.frame_name(index)}.png"
