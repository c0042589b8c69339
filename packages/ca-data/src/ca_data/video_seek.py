"""Single frames of a film by seeking: for looking, where decoding from the beginning would take minutes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ca_data.video import VideoError, choose_stream, open_video, reason
from ca_data.video_reader import FilmFrame, VideoReader

if TYPE_CHECKING:
    from av.video.frame import VideoFrame as AvFrame

__all__ = ["SeekingReader"]


class SeekingReader:
    """Any frame of a video file, in the time that decoding from the keyframe before it takes.

    Opening it reads the packets' timestamps and decodes one frame. A frame's number is its place among the sorted
    timestamps, which for an undamaged file is its number in `VideoReader`. After seeking, a decoder may give other
    pixels than in order (open groups of pictures, gradual refresh): what must be exact is decoded by `VideoReader`.
    One thread at a time may use it.

    Where timestamps are missing or repeat, no place can be found by them: then frames are counted from the file's
    beginning on, as `VideoReader` counts them, and a frame late in a long film takes as long as decoding to it.

    Args:
        path: the file.

    Raises:
        VideoError: if the file cannot be read.

    Attributes:
        timestamps: of the frames in the order shown, in units of `info.time_base`.
        counts: whether frames are counted from the beginning.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader = VideoReader(path, strict=False)
        self.info = self._reader.info
        stamps, self._keys = self._index()
        self._stamped = frozenset(stamp for stamp in stamps if stamp is not None)
        self.counts = len(self._stamped) < len(stamps)
        self.timestamps = list(range(len(stamps))) if self.counts else sorted(self._stamped)

    def __len__(self) -> int:
        return len(self.timestamps)

    def follow(self, timestamps: list[int], *, careful: bool = False) -> None:
        """Take the frames' numbers from a walk in order, where packets did not give a frame each.

        Args:
            timestamps: of the frames that decode, in the order shown.
            careful: whether the walk decoded one packet at a time (`VideoReader.careful`).
        """
        self._reader.careful = careful
        self.timestamps = list(timestamps)
        # A walk moves on what does not increase; such times are in no packet.
        self.counts = not self._stamped.issuperset(timestamps)

    def frames(self, start: int = 0) -> Iterator[FilmFrame]:
        """The frames in order, from one on; damaged ones are left out.

        Args:
            start: number of the first frame, from 0.

        Raises:
            ValueError: if there is no such frame.
        """
        if not 0 <= start < len(self):
            raise ValueError(f"start must be a frame in 0..{len(self) - 1}, got {start}; check the number")
        if self.counts:
            yield from islice(self._reader, start, None)
            return
        for decoded in self._decoded(self.timestamps[start]):
            pts = int(decoded.pts if decoded.pts is not None else decoded.dts or 0)
            index = bisect_left(self.timestamps, pts)
            if index < start or index >= len(self) or self.timestamps[index] != pts:
                continue
            if (decoded.height, decoded.width, decoded.format.name) == (
                self.info.height,
                self.info.width,
                self.info.pix_fmt,
            ):
                yield FilmFrame(
                    index, pts, self.info.time_base, self.info.coding, self._reader._planar(decoded)
                )

    def key_before(self, index: int) -> int:
        """Number of the last keyframe at or before a frame, the cheapest near it; its own where frames are counted."""
        if self.counts:
            return index
        place = bisect_right(self._keys, self.timestamps[index]) - 1
        return bisect_left(self.timestamps, self._keys[max(0, place)]) if self._keys else 0

    def _index(self) -> tuple[list[int | None], list[int]]:
        """Timestamps of all packets, and those of keyframes, ascending."""
        import av

        stamps: list[int | None] = []
        keys: list[int] = []
        with open_video(self.path) as container:
            stream = choose_stream(container, self.path)
            try:
                for packet in container.demux(stream):
                    if packet.size and not packet.is_discard:
                        stamps.append(packet.pts)
                        if packet.is_keyframe and packet.pts is not None:
                            keys.append(int(packet.pts))
            except av.error.FFmpegError:
                pass  # a file cut short has the frames it has
        return stamps, sorted(keys)

    def _decoded(self, pts: int) -> Iterator[AvFrame]:
        import av

        with open_video(self.path) as container:
            stream: Any = choose_stream(container, self.path)
            stream.thread_type = "AUTO"
            try:
                container.seek(pts, stream=stream, backward=True, any_frame=False)
                yield from container.decode(stream)
            except av.error.FFmpegError as error:
                raise VideoError(
                    f"video {self.path} does not decode at {float(pts * (self.info.time_base or Fraction(1))):.2f} s "
                    f"({reason(error)}); look elsewhere in it"
                ) from error
