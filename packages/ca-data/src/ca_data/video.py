"""Description of a video file: `probe`, and the meaning of its tags. `video_reader` reads the frames.

PyAV is imported when a video is first touched, so that training on folders of frames does without it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ca_data.yuv import YuvCoding

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame as AvFrame
    from av.video.stream import VideoStream

__all__ = [
    "StreamInfo",
    "VideoError",
    "VideoInfo",
    "choose_stream",
    "describe",
    "file_url",
    "open_video",
    "planar_format",
    "probe",
]

# Numbers of ITU-T H.273, as FFmpeg gives them.
_MATRICES = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
_PRIMARIES = {5: "bt601-625", 6: "bt601-525", 7: "bt601-525", 9: "bt2020", 11: "p3", 12: "p3"}
_TRANSFERS = {16: "pq", 18: "hlg"}
_FULL_RANGE = 2
_PLANAR = re.compile(
    r"^(yuv|yuvj|yuva)(420|422|444|440|411|410)p(9|10|12|14|16)?(le)?$|^gray(9|10|12|14|16)?(le)?$"
)


class VideoError(ValueError):
    """A video that cannot be read, in one line that says which and why."""


@dataclass(frozen=True)
class StreamInfo:
    """One stream of a file.

    Args:
        index: its number.
        kind: "video", "audio", "subtitle", "data" or "attachment".
        codec: name of the codec, empty where unknown.
    """

    index: int
    kind: str
    codec: str


@dataclass(frozen=True, kw_only=True)
class VideoInfo:
    """Description of a video file, with what players assume where it is silent.

    Args:
        path: the file.
        stream: number of the video stream that is read.
        codec: its codec.
        height: rows as stored.
        width: columns as stored.
        pix_fmt: FFmpeg's name of the stored format.
        planar_format: name of the planar Y'CbCr format the reader gives (the same unless packed or RGB).
        coding: what the code values of those planes mean.
        tags: matrix, range, primaries and transfer as FFmpeg's numbers, 2 (range: 0) where the file is silent.
        time_base: seconds per unit of a timestamp.
        rate: average frames per second, or None.
        frames: number of frames by the container's word, or None.
        duration: seconds of the video stream by the container's word, or None.
        sample_aspect_ratio: width of a pixel over its height.
        rotation: degrees, counter-clockwise, by which a player turns the stored frames: -180..180.
        interlaced: whether the first frame holds two fields.
        streams: every stream of the file.
    """

    path: Path
    stream: int
    codec: str
    height: int
    width: int
    pix_fmt: str
    planar_format: str
    coding: YuvCoding
    tags: tuple[int, int, int, int]
    time_base: Fraction
    rate: Fraction | None
    frames: int | None
    duration: float | None
    sample_aspect_ratio: Fraction
    rotation: int
    interlaced: bool
    streams: tuple[StreamInfo, ...]


def probe(path: str | Path) -> VideoInfo:
    """Describe a video file by its container, its stream and its first frame.

    Args:
        path: the file.

    Returns:
        The description.

    Raises:
        VideoError: if the file is missing or no video, has no video stream, or no frame of it decodes.

    Example:
        >>> probe("nowhere.mp4")
        Traceback (most recent call last):
        ...
        ca_data.video.VideoError: video nowhere.mp4 does not exist (or is no file); check the path
    """
    import av

    with open_video(path) as container:
        stream = choose_stream(container, Path(path))
        try:
            first = next(container.decode(stream), None)
        except av.error.FFmpegError as error:
            raise VideoError(
                f"video {path} cannot be decoded ({reason(error)}); it may be damaged"
            ) from error
        if first is None:
            raise VideoError(f"video {path} holds no frames; check the file")
        return describe(Path(path), container, stream, first)


def open_video(path: str | Path) -> InputContainer:
    """Open a file with PyAV, or say in one line why not.

    Args:
        path: the file.

    Returns:
        The open container, a context manager.

    Raises:
        VideoError: if the file is missing or in no known container format.
    """
    import av

    if not Path(path).is_file():
        raise VideoError(f"video {path} does not exist (or is no file); check the path")
    try:
        return av.open(file_url(path), metadata_errors="replace")
    except (av.error.FFmpegError, OSError) as error:
        raise VideoError(f"video {path} is not a readable video ({reason(error)}); check the file") from error


def file_url(path: str | Path) -> str:
    """A path as libavformat takes it for a file, whatever its name looks like.

    Args:
        path: the file, such as `http:film.mp4`.

    Returns:
        The path after `file:`, the name of libavformat's protocol.

    Raises:
        VideoError: if the name is not UTF-8, which libavformat's binding cannot say.

    Example:
        >>> file_url("http:film.mp4")
        'file:http:film.mp4'
    """
    try:
        str(path).encode()
    except UnicodeEncodeError:
        name = str(path).encode(errors="replace").decode()
        raise VideoError(f"video {name}: the name is not UTF-8; rename the file, or link to it") from None
    return f"file:{path}"


def choose_stream(container: InputContainer, path: Path) -> VideoStream:
    """The first video stream that is no cover image.

    Args:
        container: an open file.
        path: its path, for the error.

    Returns:
        The stream.

    Raises:
        VideoError: if there is none.
    """
    from av.stream import Disposition

    for stream in container.streams.video:
        if not stream.disposition & Disposition.attached_pic and stream.codec_context is not None:
            return stream
    kinds = ", ".join(sorted({stream.type for stream in container.streams})) or "nothing"
    raise VideoError(f"video {path} has no video stream, it holds {kinds}; give a file with one")


def describe(path: Path, container: InputContainer, stream: VideoStream, first: AvFrame) -> VideoInfo:
    """Put together what container, stream and first frame say.

    Args:
        path: the file.
        container: the open file.
        stream: the stream that is read.
        first: its first frame.

    Returns:
        The description.

    Raises:
        VideoError: if the film's matrix is none of luma and chroma.
    """
    context = stream.codec_context
    tags = (
        _tag(first.colorspace, context.colorspace),
        int(first.color_range or context.color_range),
        _tag(first.color_primaries, context.color_primaries),
        _tag(first.color_trc, context.color_trc),
    )
    return VideoInfo(
        path=path,
        stream=stream.index,
        codec=context.name,
        height=first.height,
        width=first.width,
        pix_fmt=first.format.name,
        planar_format=planar_format(first.format),
        coding=_coding(path, first, tags),
        tags=tags,
        time_base=stream.time_base or Fraction(1, 1000),
        rate=stream.average_rate or stream.guessed_rate,
        frames=stream.frames or None,
        duration=_duration(stream),
        sample_aspect_ratio=stream.sample_aspect_ratio or Fraction(1),
        rotation=int(first.rotation),
        interlaced=bool(first.interlaced_frame),
        streams=tuple(
            StreamInfo(each.index, each.type, each.codec_context.name if each.codec_context else "")
            for each in container.streams
        ),
    )


def planar_format(layout: Any) -> str:
    """The planar Y'CbCr format that holds a stored format without loss of luma.

    Args:
        layout: an `av.VideoFormat`.

    Returns:
        The format's own name where it has planes of luma and chroma; else the one it is unpacked to. RGB
        becomes 4:4:4.
    """
    if _PLANAR.match(layout.name):
        return str(layout.name)
    bits = min(16, max(8, layout.components[0].bits))
    depth = "" if bits == 8 else f"{next(b for b in (10, 12, 14, 16) if b >= bits)}le"
    if layout.is_rgb or layout.has_palette:
        return f"yuv444p{depth}"
    if len(layout.components) < 3:
        return f"gray{depth}"
    chroma = layout.components[1]
    shared = (-(-layout.width // chroma.width), -(-layout.height // chroma.height))
    grid = {(1, 1): "444", (2, 1): "422", (2, 2): "420", (1, 2): "440", (4, 1): "411", (4, 4): "410"}[shared]
    return f"yuv{grid}p{depth}"


def reason(error: BaseException) -> str:
    """FFmpeg's own words for an error, without numbers and paths.

    Args:
        error: what was raised.

    Returns:
        One line.
    """
    return " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__


def _duration(stream: VideoStream) -> float | None:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    # Matroska keeps the length of each stream as a tag, such as 00:00:02.009000000.
    told = re.fullmatch(r"(\d+):(\d\d):(\d\d(?:\.\d+)?)", stream.metadata.get("DURATION", ""))
    return int(told[1]) * 3600 + int(told[2]) * 60 + float(told[3]) if told else None


def _tag(in_frame: int, in_stream: int) -> int:
    """A tag may stand in the codec's header only or in the container's only; 0 and 3 mean nothing."""
    return next((int(tag) for tag in (in_frame, in_stream) if tag not in (0, 2, 3)), 2)


def _coding(path: Path, first: AvFrame, tags: tuple[int, int, int, int]) -> YuvCoding:
    layout = first.format
    bits = min(16, max(8, layout.components[0].bits))
    if layout.is_rgb or layout.has_palette:
        # The reader makes luma and chroma of RGB itself, in full range so as to lose least.
        return YuvCoding(matrix="bt709", full_range=True, bits=bits)
    matrix = tags[0]
    if matrix == 2:
        # What players assume of a film that does not say.
        matrix = 1 if first.width >= 1280 or first.height > 576 else 6
    if matrix not in _MATRICES:
        raise VideoError(
            f"video {path} has the colour matrix {matrix} (H.273), which is not supported; convert it"
        )
    full = tags[1] == _FULL_RANGE or "yuvj" in layout.name
    primaries = 9 if tags[2] == 2 and tags[0] == 9 else tags[2]
    return YuvCoding(
        matrix=_MATRICES[matrix],
        # FFmpeg takes grey formats without a tag for full range.
        full_range=full or (tags[1] == 0 and layout.name.startswith("gray")),
        bits=bits,
        primaries=_PRIMARIES.get(primaries, "bt709"),
        transfer=_TRANSFERS.get(tags[3], "sdr"),
    )
