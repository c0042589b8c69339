"""Targets of the coloured frames: encoded segments of a video, or a folder of PNG files."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from ca_film.errors import FilmError
from ca_film.options import StreamChoice
from ca_film.output.encoding import Encoding, fill_frame, open_encoder
from ca_film.output.mux import Joined, join, rehearse
from ca_film.output.rendering import Renderer
from ca_film.output.renewal import split_around, stored_headers, take_over, touched
from ca_film.output.segments import SegmentStore, SegmentWriter
from ca_film.output.timing import check_timing
from ca_film.output.work import WorkFolder
from ca_film.source.film import ColoredFrame, Film
from ca_film.source.images import png_bytes, tiff_bytes
from ca_film.source.survey import Survey

__all__ = ["PICTURE_SUFFIXES", "FolderTarget", "PictureTarget", "Target", "VideoTarget"]

PICTURE_SUFFIXES = {".png": "png", ".tif": "tiff", ".tiff": "tiff"}
"""Endings of one picture that is written, and what is written."""


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
        self._refused: set[int] = set()
        self._headers: tuple[str, bytes] = ("", b"")
        self._film, self.renderer, self._encoding, self._choice = film, renderer, encoding, choice
        self._work = work
        self._store = SegmentStore(work)
        self._writer: SegmentWriter | None = None

    def rehearse(self) -> list[str]:
        """Try before the work what will be done after it; notes of what the container does not take."""
        tried = rehearse(self._work.output_file("rehearsal"), self._film, self._encoding, self._choice)
        self._refused, self._headers = tried.refused, tried.headers
        return tried.notes

    def take_over(
        self, earlier: Path, survey: Survey, segments: Sequence[range], again: range
    ) -> tuple[list[range], range]:
        """Take everything but a range from an earlier output.

        Args:
            earlier: the output.
            survey: of the film.
            segments: all of it.
            again: the range.

        Returns:
            The segments as they are to be worked on, and the frames that are made again: whole segments.

        Raises:
            FilmError: if it was made otherwise than this one would be.
        """
        if stored_headers(earlier) != self._headers:
            raise FilmError(
                f"`again` takes the rest from {earlier}, which was encoded otherwise; give the `codec` and "
                "`pixel_format` that it was made with, or colour the whole film"
            )
        encoder = open_encoder(self._encoding, self._film.format)
        encoder.open(strict=False)
        take_over(
            earlier, self._film.format, self._store, bytes(encoder.extradata or b""), survey, segments, again
        )
        remade = touched(segments, again)
        return list(segments), range(remade[0].start, remade[-1].stop)

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""
        return self._store.has(segment)

    def begin(self, segment: range) -> None:
        """Open a fresh encoder."""
        self._writer = self._store.writer(segment, open_encoder(self._encoding, self._film.format))

    def add(self, colored: ColoredFrame) -> None:
        """Make chroma, join it with the frame's luma, encode."""
        assert self._writer is not None
        chroma = self.renderer.chroma(colored, self._encoding)
        self._writer.write(fill_frame(colored.frame, chroma, self._encoding, self._film.format))

    def finish(self) -> None:
        """Complete the segment: it will survive whatever happens later."""
        assert self._writer is not None
        self._writer.finish()
        self._writer = None

    def abandon(self) -> None:
        """Remove the segment's file."""
        if self._writer is not None:
            self._writer.abandon()
            self._writer = None

    def prepare(self, survey: Survey, segments: Sequence[range]) -> Joined:
        """Join everything in the work folder, and read it back."""
        made = self.made
        joined = join(
            made, self._film, self._encoding, self._store, segments, survey, self._choice, self._refused
        )
        joined.notes += check_timing(made, self._film.format, survey.timestamps)
        return joined

    @property
    def made(self) -> Path:
        """The whole output, as long as it has not got its name."""
        return self._work.output_file("joined")

    def publish(self, out: Path) -> None:
        """Give the output its name."""
        self.made.replace(out)


class FolderTarget:
    """PNG or TIFF files named as the film's frames.

    Args:
        film: the film.
        renderer: makes its colours.
        work: for unfinished work.
        depth: 8 or 16 bits.
        published: the output folder, where a killed run may have moved frames to already; None if there is none.
        kind: `png` or `tiff`.
    """

    def __init__(
        self,
        film: Film,
        renderer: Renderer,
        work: WorkFolder,
        depth: int = 8,
        published: Path | None = None,
        kind: str = "png",
    ) -> None:
        self._kind = kind
        self._film, self.renderer, self._depth = film, renderer, depth
        self._work, self._published = work, published
        self._folder = work.subfolder("frames")
        self._segment: range | None = None
        self._digests: dict[str, str] = {}

    def rehearse(self) -> list[str]:
        """Image files go everywhere; a note of the depth that these do not keep."""
        bits = self._film.format.coding.bits
        if bits <= self._depth:
            return []
        return [f"frames are written in {self._depth} bits of the film's {bits}; `png_depth` 16 keeps them"]

    def take_over(
        self, earlier: Path, survey: Survey, segments: Sequence[range], again: range
    ) -> tuple[list[range], range]:
        """Take the files of all frames but a range from an earlier output: as the video's, but exactly the range."""
        del survey
        parts = split_around(segments, again)
        for part in (part for part in parts if part.start not in again and not self.has(part)):
            digests = {}
            for index in part:
                name = self._name(index)
                try:
                    content = (earlier / name).read_bytes()
                except OSError as error:
                    raise FilmError(
                        f"`again` takes the rest from {earlier}, which has no {name}; colour the whole film"
                    ) from error
                (self._folder / name).write_bytes(content)
                digests[name] = hashlib.sha256(content).hexdigest()
            self._work.keep_record("done", part, digests)
        return parts, again

    def has(self, segment: range) -> bool:
        """Whether a segment is finished, and its files are still as they were written."""
        digests = self._work.record("done", segment) or {}
        return len(digests) == len(segment) and all(
            self._is(name, digest) for name, digest in digests.items()
        )

    def begin(self, segment: range) -> None:
        """Start a segment."""
        self._segment, self._digests = segment, {}

    def add(self, colored: ColoredFrame) -> None:
        """Write one file."""
        to_bytes = png_bytes if self._kind == "png" else tiff_bytes
        name, content = self._name(colored.frame.index), to_bytes(self.renderer.rgb(colored, self._depth))
        (self._folder / name).write_bytes(content)
        self._digests[name] = hashlib.sha256(content).hexdigest()

    def finish(self) -> None:
        """Leave a record that this segment is complete."""
        assert self._segment is not None
        self._work.keep_record("done", self._segment, self._digests)

    def abandon(self) -> None:
        """Nothing to do: files of an incomplete segment are written again."""

    def prepare(self, survey: Survey, segments: Sequence[range]) -> Joined:
        """Nothing is left to do before the files are moved."""
        del segments
        return Joined(frames=len(survey))

    @property
    def made(self) -> Path:
        """The whole output, as long as it has not got its name."""
        return self._folder

    def publish(self, out: Path) -> None:
        """Give the folder its name; into one that is there, move its files: others there stay as they are."""
        if not out.exists() or not any(out.iterdir()):
            self._folder.replace(out)
            return
        for file in sorted(self._folder.iterdir()):
            file.replace(out / file.name)

    def _is(self, name: str, digest: str) -> bool:
        places = (self._folder, self._published)
        files = [place / name for place in places if place is not None and (place / name).is_file()]
        return bool(files) and hashlib.sha256(files[0].read_bytes()).hexdigest() == digest

    def _name(self, index: int) -> str:
        return f"{self._film.frame_name(index)}.{self._kind}"


class PictureTarget(FolderTarget):
    """One picture: as the folder's, but the file itself gets the output's name."""

    @property
    def made(self) -> Path:
        """The whole output, as long as it has not got its name."""
        return self._folder / self._name(0)

    def publish(self, out: Path) -> None:
        """Give the file its name."""
        self.made.replace(out)


Target = VideoTarget | FolderTarget
"""A place for coloured frames that is filled segment by segment."""
