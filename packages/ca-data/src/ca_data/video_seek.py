"""Single frames of a film by seeking: for looking, where decoding from the beginning would take minutes."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from fractions import Fraction
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

    Args:
        path: the file.

    Raises:
        VideoError: if the file cannot be read, or its packets have no timestamps.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._reader = VideoReader(path, strict=False)
        self.info = self._reader.info
        self.timestamps, self._keys = self._index()
        """Timestamps of the frames in the order shown, in units of `info.time_base`."""

    def __len__(self) -> int:
        return len(self.timestamps)

    def follow(self, timestamps: list[int]) -> None:
        """Take the frames' numbers from a walk in order, where packets did not give a frame each.

        Args:
            timestamps: of the frames that decode, in the order shown.
        """
        self.timestamps = list(timestamps)

    def frames(self, start: int = 0) -> Iterator[FilmFrame]:
        """The frames in order, from one on; damaged ones are left out.

        Args:
            start: number of the first frame, from 0.

        Raises:
            ValueError: if there is no such frame.
        """
        if not 0 <= start < len(self):
            raise ValueError(f"start must be a frame in 0..{len(self) - 1}, got {start}; check the number")
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
        """Number of the last keyframe at or before a frame: the cheapest frame near it."""
        place = bisect_right(self._keys, self.timestamps[index]) - 1
        return bisect_left(self.timestamps, self._keys[max(0, place)]) if self._keys else 0

    def _index(self) -> tuple[list[int], list[int]]:
        import av

        timestamps, keys = [], []
        with open_video(self.path) as container:
            stream = choose_stream(container, self.path)
            try:
                for packet in container.demux(stream):
                    if packet.pts is not None and packet.size and not packet.is_discard:
                        timestamps.append(int(packet.pts))
                        if packet.is_keyframe:
                            keys.append(int(packet.pts))
            except av.error.FFmpegError:
                pass  # a file cut short has the frames it has
        if not timestamps:
            raise VideoError(f"video {self.path} has no timestamps to seek by; remux it to MKV or MP4")
        return sorted(set(timestamps)), sorted(keys)

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
