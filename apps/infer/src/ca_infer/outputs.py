"""Where the coloured pictures go: encoded segments of a video, or a folder of PNG files."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import av
import numpy as np
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from ca_infer.encoding import Encoding, fill_frame, open_encoder
from ca_infer.errors import InferError
from ca_infer.film import Film, Picture, Survey
from ca_infer.mux import Joined, StreamChoice, join, verify
from ca_infer.painter import Prediction
from ca_infer.rendering import Renderer
from ca_infer.segments import SegmentStore, SegmentWriter

__all__ = ["FolderOutput", "Output", "VideoOutput", "write_png"]


class Output(Protocol):
    """A place for coloured pictures that is filled segment by segment."""

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""

    def begin(self, segment: range) -> None:
        """Start a segment."""

    def add(self, picture: Picture, prediction: Prediction, low: Float[Tensor, "1 h w"]) -> None:
        """Add the next picture of the segment."""

    def finish(self) -> None:
        """Complete the segment: it will survive whatever happens later."""

    def abandon(self) -> None:
        """Drop an incomplete segment."""

    def publish(self, out: Path, survey: Survey, segments: Sequence[range]) -> Joined:
        """Put everything under its final name."""


class VideoOutput:
    """Segments encoded one by one and joined at the end.

    Args:
        film: the film.
        renderer: makes its chroma.
        encoding: how it is stored.
        folder: for unfinished work.
        choice: which streams of the source come along.
    """

    def __init__(
        self, film: Film, renderer: Renderer, encoding: Encoding, folder: Path, choice: StreamChoice
    ) -> None:
        self._film, self._renderer, self._encoding, self._choice = film, renderer, encoding, choice
        self._folder = folder
        self._store = SegmentStore(folder)
        self._writer: SegmentWriter | None = None

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""
        return self._store.has(segment)

    def begin(self, segment: range) -> None:
        """Open a fresh encoder."""
        self._writer = SegmentWriter(self._store, segment, open_encoder(self._encoding, self._film.format))

    def add(self, picture: Picture, prediction: Prediction, low: Float[Tensor, "1 h w"]) -> None:
        """Make chroma, join it with the picture's luma, encode."""
        assert self._writer is not None
        chroma = self._renderer.chroma(picture, prediction, low, self._encoding)
        self._writer.write(fill_frame(picture, chroma, self._encoding, self._film.format))

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
        growing = self._folder / f"joined{out.suffix.lower()}"
        source = self._film.path if self._film.path.is_file() else None
        joined = join(
            growing,
            source,
            self._film.format,
            self._encoding,
            self._store,
            segments,
            survey.timestamps,
            survey.durations,
            self._choice,
        )
        verify(growing, self._film.format, survey.timestamps, joined)
        growing.replace(out)
        return joined


class FolderOutput:
    """PNG files named as the film's pictures.

    Args:
        film: the film.
        renderer: makes its colours.
        folder: for unfinished work.
        depth: 8 or 16 bits.
    """

    def __init__(self, film: Film, renderer: Renderer, folder: Path, depth: int = 8) -> None:
        self._film, self._renderer, self._depth = film, renderer, depth
        self._folder = folder / "pictures"
        self._folder.mkdir(parents=True, exist_ok=True)
        self._segment: range | None = None

    def has(self, segment: range) -> bool:
        """Whether a segment is finished."""
        return self._mark(segment).is_file()

    def begin(self, segment: range) -> None:
        """Start a segment."""
        self._segment = segment

    def add(self, picture: Picture, prediction: Prediction, low: Float[Tensor, "1 h w"]) -> None:
        """Write one PNG file."""
        rgb = self._renderer.rgb(picture, prediction, low, self._depth)
        write_png(rgb, self._folder / f"{self._film.picture_name(picture.index)}.png")

    def finish(self) -> None:
        """Leave a mark that this segment is complete."""
        assert self._segment is not None
        self._mark(self._segment).touch()

    def abandon(self) -> None:
        """Nothing to do: files of an incomplete segment are written again."""

    def publish(self, out: Path, survey: Survey, segments: Sequence[range]) -> Joined:
        """Move the files into the output folder; other files there stay as they are."""
        names = [f"{self._film.picture_name(index)}.png" for index in range(len(survey))]
        missing = [name for name in names if not (self._folder / name).is_file()]
        if missing:
            raise InferError(f"kept work lacks {missing[0]} of {len(segments)} segments; use --restart")
        out.mkdir(parents=True, exist_ok=True)
        for name in names:
            (self._folder / name).replace(out / name)
        return Joined(pictures=len(names))

    def _mark(self, segment: range) -> Path:
        return self._folder.parent / f"{segment.start:08d}-{segment.stop:08d}.done"


def write_png(rgb: np.ndarray, path: Path) -> None:
    """Write a picture as PNG, 8 or 16 bits as its type says.

    Args:
        rgb: `3 h w`, uint8 or uint16.
        path: the file.

    Raises:
        InferError: if it cannot be written.
    """
    pixels = np.ascontiguousarray(rgb.transpose(1, 2, 0))
    try:
        if pixels.dtype == np.uint8:
            # Compression beyond this costs more time than the network and saves little.
            Image.fromarray(pixels).save(path, compress_level=3)
        else:
            path.write_bytes(_png16(pixels))
    except OSError as error:
        raise InferError(
            f"picture {path} cannot be written ({error.strerror or error}); free space and run again"
        ) from error


def _png16(pixels: np.ndarray) -> bytes:
    """Pillow writes no 16-bit RGB, libavcodec does."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = pixels.shape[1], pixels.shape[0], "rgb48be"
    encoder.time_base = 1  # type: ignore[assignment]
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(format="rgb48be")
    buffer = io.BytesIO()
    for packet in [*encoder.encode(frame), *encoder.encode(None)]:
        buffer.write(bytes(packet))
    return buffer.getvalue()
