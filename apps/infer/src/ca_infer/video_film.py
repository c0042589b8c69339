"""A video file as a film: decoding to planes, and everything the file says about them."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import av
import numpy as np
import torch
from av.error import FFmpegError
from jaxtyping import Float, Integer
from torch import Tensor

from ca_infer.errors import InferError
from ca_infer.film import FilmFormat, Picture, Survey
from ca_infer.shots import CutFinder
from ca_infer.signal import ColorSignal

if TYPE_CHECKING:
    from av.video.stream import VideoStream

__all__ = ["VideoFilm", "plane"]

_FULL_RANGE = 2
_MOST_PROBLEMS = 100


def plane(frame: av.VideoFrame, number: int) -> Integer[np.ndarray, "h w"]:
    """One plane of a planar frame, as a view that can be written to.

    Args:
        frame: little-endian planar frame.
        number: 0 luma, 1 Cb, 2 Cr, 3 alpha.

    Returns:
        `h w`, uint8 or uint16.
    """
    stored = frame.planes[number]
    kind = np.dtype(np.uint8 if frame.format.components[0].bits <= 8 else "<u2")
    rows = np.frombuffer(cast(Any, stored), kind).reshape(stored.height, stored.line_size // kind.itemsize)
    return rows[:, : stored.width]


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
        with open_input(path) as container:
            stream = choose_stream(container, path)
            self.stream_index = stream.index
            self.codec = stream.codec_context.name
            # Some containers count their pictures; 0 where not.
            self.promised = stream.frames
        self._hidden = 0
        # Decoding several pictures at once loses good ones beside a damaged one, so it is only for sound films.
        self._careful = False
        first = self._first_frame()
        self.format = self._describe(first)
        self._table = self.format.signal.lightness_table()

    def survey(self, *, find_cuts: bool = True) -> Survey:
        """Decode the whole film once: timestamps, what does not decode, and the cuts."""
        survey = self._survey(find_cuts)
        if survey.problems and not self._careful:
            self._careful = True
            survey = self._survey(find_cuts)
        return survey

    def follow(self, survey: Survey) -> None:
        """Decode damaged films the careful way, as the survey did."""
        self._careful = bool(survey.problems)

    def _survey(self, find_cuts: bool) -> Survey:
        survey = Survey([], [], notes=list(self.notes))
        finder = CutFinder(self.format.rate) if find_cuts else None
        for frame in self._frames(survey.problems):
            if frame.is_corrupt:
                _report(survey.problems, f"picture {len(survey)} is damaged")
            survey.timestamps.append(_timestamp(frame, survey.timestamps))
            survey.durations.append(int(frame.duration or 0))
            if finder:
                finder.add(plane(self._planar(frame), 0), self.format.signal)
        if finder:
            survey.cuts = finder.finish()
            survey.notes += finder.notes
        if self.promised and len(survey) < self.promised - self._hidden:
            line = f"the file promises {self.promised - self._hidden} pictures, {len(survey)} decode"
            survey.problems.append(line)
        moved = _make_increasing(survey.timestamps)
        if moved:
            survey.notes.append(f"{moved} timestamps did not increase and were moved on by a tick")
        return survey

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        """Decode in order, from the file's beginning: after seeking the pictures need not be the same."""
        for index, frame in enumerate(self._frames([])):
            if index >= start:
                planar = self._planar(frame)
                yield Picture(index, plane(planar, 0), frame=planar)

    def lightness(self, picture: Picture) -> Float[Tensor, "1 h w"]:
        """Lightness of the grey that each luma code stands for."""
        return torch.from_numpy(self._table.take(picture.luma))[None]

    def picture_name(self, index: int) -> str:
        """`frame_000040`, which names the frame when it comes back as a reference."""
        return f"frame_{index:06d}"

    def _first_frame(self) -> av.VideoFrame:
        problems: list[str] = []
        for frame in self._frames(problems):
            return frame
        why = f" ({problems[0]})" if problems else ""
        raise InferError(f"film {self.path} holds no picture that can be decoded{why}; check the file")

    def _frames(self, problems: list[str]) -> Iterator[av.VideoFrame]:
        """Every picture that decodes; what does not goes to `problems`, one line a packet."""
        with open_input(self.path) as container:
            stream = container.streams.video[_video_position(container, self.stream_index)]
            stream.thread_type = "SLICE" if self._careful else "AUTO"
            size: tuple[int, int] | None = None
            self._hidden = 0
            for packet in _packets(container, stream, problems):
                # An edit list may hide pictures that decoding needs.
                self._hidden += packet is not None and packet.is_discard
                try:
                    frames = stream.codec_context.decode(packet)
                except FFmpegError as error:
                    _report(problems, f"packet{_where(packet)} does not decode: {_reason(error)}")
                    continue
                for frame in frames:
                    size = size or (frame.height, frame.width)
                    if (frame.height, frame.width) != size:
                        _report(problems, f"picture of another size ({frame.width}x{frame.height}) left out")
                        continue
                    yield frame

    def _describe(self, frame: av.VideoFrame) -> FilmFormat:
        with open_input(self.path) as container:
            stream = container.streams.video[_video_position(container, self.stream_index)]
            context = stream.codec_context
            rate = stream.average_rate or stream.guessed_rate or Fraction(25)
            time_base = stream.time_base
            aspect = stream.sample_aspect_ratio or Fraction(1)
            matrix = _tag(frame.colorspace, context.colorspace)
            primaries = _tag(frame.color_primaries, context.color_primaries)
            transfer = _tag(frame.color_trc, context.color_trc)
            full = _FULL_RANGE in (frame.color_range, context.color_range) or "yuvj" in frame.format.name
        is_rgb = frame.format.is_rgb or frame.format.has_palette
        if is_rgb:
            matrix, full = 1, False
            self.notes.append("RGB film: its luma is made with the BT.709 matrix, since RGB holds none")
        signal = self._signal(matrix, primaries, transfer, full, frame)
        return FilmFormat(
            size=(frame.height, frame.width),
            signal=signal,
            pixel_aspect=aspect if aspect > 0 else Fraction(1),
            rotation=int(frame.rotation),
            interlaced=bool(frame.interlaced_frame),
            time_base=time_base or Fraction(1, 1000),
            rate=rate if 0 < rate <= 1000 else Fraction(25),
            pixel_format=frame.format.name,
        )

    def _signal(
        self, matrix: int, primaries: int, transfer: int, full: bool, frame: av.VideoFrame
    ) -> ColorSignal:
        depth = min(16, max(8, frame.format.components[0].bits)) if not frame.format.is_rgb else 8
        try:
            return ColorSignal.from_tags(
                matrix, primaries, transfer, full_range=full, depth=depth, height=frame.height
            )
        except ValueError as error:
            raise InferError(f"film {self.path}: {error}") from error

    def _planar(self, frame: av.VideoFrame) -> av.VideoFrame:
        """The frame itself where luma is a plane of its own; packed and RGB formats are unpacked."""
        layout = frame.format
        if _has_luma_plane(layout):
            return frame
        target = "yuv444p" if layout.components[0].bits <= 8 else f"yuv444p{layout.components[0].bits}le"
        if layout.name in ("nv12", "nv21"):
            target = "yuv420p"
        elif layout.name in ("p010le", "p010be"):
            target = "yuv420p10le"
        unpacked = (
            frame.reformat(
                format=target,
                dst_colorspace=_swscale_matrix(self.format.signal.matrix),
                dst_color_range="MPEG",
            )
            if layout.is_rgb or layout.has_palette
            else frame.reformat(format=target)
        )
        unpacked.pts = frame.pts
        return unpacked


def open_input(path: Path) -> av.container.InputContainer:
    """Open a video file for reading.

    Args:
        path: the file.

    Returns:
        PyAV's container; use it as a context manager.

    Raises:
        InferError: if the file is missing or no known container.
    """
    if not path.exists():
        raise InferError(f"film {path} does not exist; check the path")
    try:
        return av.open(str(path), metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise InferError(
            f"film {path} is not a video that can be read ({_reason(error)}); it may be damaged or misnamed"
        ) from error


def choose_stream(container: av.container.InputContainer, path: Path) -> VideoStream:
    """The first video stream that is not a cover picture.

    Args:
        container: an open file.
        path: its path, for the error.

    Returns:
        The stream.

    Raises:
        InferError: if there is none.
    """
    for stream in container.streams.video:
        if not stream.disposition & av.stream.Disposition.attached_pic and stream.codec_context is not None:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise InferError(f"film {path} has no video stream, only {kinds}; give a file with pictures")


def _packets(
    container: av.container.InputContainer, stream: VideoStream, problems: list[str]
) -> Iterator[av.Packet | None]:
    """The stream's packets, then None to empty the decoder, also where reading breaks off."""
    try:
        for packet in container.demux(stream):
            if packet.size:
                yield packet
    except FFmpegError as error:
        _report(problems, f"reading breaks off: {_reason(error)}")
    yield None


def _tag(in_frame: int, in_container: int) -> int:
    """A tag may stand in the codec's headers only or in the container's only; 0 and 3 are reserved."""
    return next((int(tag) for tag in (in_frame, in_container) if tag not in (0, 2, 3)), 2)


def _video_position(container: av.container.InputContainer, index: int) -> int:
    return [stream.index for stream in container.streams.video].index(index)


def _has_luma_plane(layout: av.VideoFormat) -> bool:
    """Whether luma is a little-endian plane of its own and chroma, if any, two more."""
    if layout.is_rgb or layout.has_palette or layout.is_big_endian:
        return False
    components = layout.components
    if not components[0].is_luma or components[0].bits > 16:
        return False
    if len(components) == 1:
        return True
    return [component.plane for component in components] == list(range(len(components))) and len(
        components
    ) >= 3


def _swscale_matrix(matrix: int) -> str:
    return {1: "ITU709", 9: "BT2020"}.get(matrix, "ITU601")


def _timestamp(frame: av.VideoFrame, before: list[int]) -> int:
    if frame.pts is not None:
        return int(frame.pts)
    if frame.dts is not None:
        return int(frame.dts)
    return before[-1] + 1 if before else 0


def _make_increasing(timestamps: list[int]) -> int:
    moved = 0
    for position in range(1, len(timestamps)):
        if timestamps[position] <= timestamps[position - 1]:
            timestamps[position] = timestamps[position - 1] + 1
            moved += 1
    return moved


def _report(problems: list[str], line: str) -> None:
    # A film damaged from end to end should not fill the memory with complaints.
    if len(problems) < _MOST_PROBLEMS:
        problems.append(line)
    elif len(problems) == _MOST_PROBLEMS:
        problems.append("more of the same")


def _reason(error: BaseException) -> str:
    return (getattr(error, "strerror", None) or str(error) or type(error).__name__).strip()


def _where(packet: av.Packet | None) -> str:
    if packet is None or packet.pts is None or not packet.time_base:
        return ""
    return f" at {float(packet.pts * packet.time_base):.3f} s"
