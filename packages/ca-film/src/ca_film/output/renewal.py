"""Renewal: parts of an earlier output taken over as they are, so that only a range of it is made again."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby, pairwise
from pathlib import Path

from ca_data import VideoError, choose_stream, open_video

from ca_film.errors import FilmError
from ca_film.output.segments import EncodedPacket, SegmentStore
from ca_film.source.film import FilmFormat
from ca_film.source.survey import Survey

__all__ = ["check_range", "split_around", "stored_headers", "take_over", "touched"]

_ANNEX_B = ("h264", "hevc")
_LENGTH_BYTES = 4
_START_CODE = b"\0\0\0\1"


def check_range(again: range, total: int) -> None:
    """Refuse a range that goes beyond the film.

    Raises:
        FilmError: naming the last frame.
    """
    if again.stop > total:
        raise FilmError(
            f"`again` {again.start}:{again.stop} goes beyond the film, whose frames are 0 to {total - 1}; "
            f"write {min(again.start, total - 1)}:{total} at most"
        )


def split_around(segments: Sequence[range], again: range) -> list[range]:
    """Segments, parted where a range begins and ends.

    Example:
        >>> split_around([range(0, 8), range(8, 12)], range(3, 9))
        [range(0, 3), range(3, 8), range(8, 9), range(9, 12)]
    """
    parts = []
    for segment in segments:
        edges = [edge for edge in (again.start, again.stop) if segment.start < edge < segment.stop]
        bounds = [segment.start, *edges, segment.stop]
        parts += [range(first, last) for first, last in pairwise(bounds)]
    return parts


def touched(segments: Sequence[range], again: range) -> list[range]:
    """The segments that a range reaches into.

    Example:
        >>> touched([range(0, 8), range(8, 12), range(12, 20)], range(3, 9))
        [range(0, 8), range(8, 12)]
    """
    return [one for one in segments if one.start < again.stop and again.start < one.stop]


def stored_headers(video: Path) -> tuple[str, bytes]:
    """Codec of a video file and its headers as the container stores them."""
    with open_video(video) as container:
        codec = choose_stream(container, video).codec_context
        return codec.name, bytes(codec.extradata or b"")


def take_over(
    earlier: Path,
    film: FilmFormat,
    store: SegmentStore,
    extradata: bytes,
    survey: Survey,
    segments: Sequence[range],
    again: range,
) -> None:
    """Put the packets of an earlier output into the store, segment by segment, but for those that a range touches.

    Args:
        earlier: a video made from the same film.
        film: its format.
        store: where the segments go.
        extradata: the headers that the encoder gives now.
        survey: of the film.
        segments: all of the film, in order.
        again: the range.

    Raises:
        FilmError: if the video is no output of this film, or was not encoded in these segments.
    """
    starts, left_out = [segment.start for segment in segments], set(touched(segments, again))
    missing = {segment for segment in segments if segment not in left_out and not store.has(segment)}
    try:
        packets = _packets(earlier, _frames_by_time(earlier, film, survey))
        for place, group in groupby(packets, key=lambda packet: bisect_right(starts, packet.frame) - 1):
            segment, whole = segments[place], list(group)
            if not whole[0].is_key or {packet.frame for packet in whole} != set(segment):
                raise _otherwise_cut(earlier, segment)
            if segment in missing:
                store.put(segment, extradata, whole)
    except VideoError as error:
        raise FilmError(str(error)) from error


def _frames_by_time(earlier: Path, film: FilmFormat, survey: Survey) -> dict[int, int]:
    """Frame numbers by timestamp, once the film's own timestamps are found in the video."""
    with open_video(earlier) as container:
        stream = choose_stream(container, earlier)
        tick = stream.time_base or film.time_base
        size = stream.codec_context.height, stream.codec_context.width
        stamps = sorted(
            packet.pts for packet in container.demux(stream) if packet.size and packet.pts is not None
        )
    wanted = [timestamp * film.time_base for timestamp in survey.timestamps]
    near = len(stamps) == len(wanted) and all(
        abs(stamp * tick - when) <= max(tick, film.time_base)
        for stamp, when in zip(stamps, wanted, strict=True)
    )
    if not near or size != film.size:
        raise FilmError(
            f"`again` takes the rest from {earlier}, which is no output of this film: it has {len(stamps)} frames of "
            f"{size[1]}x{size[0]}, expected {len(wanted)} of {film.size[1]}x{film.size[0]} at the film's times; "
            "colour the whole film"
        )
    return {stamp: number for number, stamp in enumerate(stamps)}


def _packets(video: Path, places: Mapping[int, int]) -> Iterator[EncodedPacket]:
    """Packets in coding order, as the encoder gave them."""
    with open_video(video) as container:
        stream = choose_stream(container, video)
        context = stream.codec_context
        # MP4 and Matroska keep these codecs with lengths in place of start codes.
        lengths = context.name in _ANNEX_B and bytes(context.extradata or b"\0")[0] == 1
        for packet in container.demux(stream):
            if packet.size and packet.pts is not None:
                data = bytes(packet)
                yield EncodedPacket(
                    places[packet.pts], packet.is_keyframe, _with_start_codes(data) if lengths else data
                )


def _with_start_codes(data: bytes) -> bytes:
    """Units with their lengths before them as units with start codes.

    Example:
        >>> _with_start_codes(bytes([0, 0, 0, 2, 9, 8, 0, 0, 0, 1, 7])).hex()
        '0000000109080000000107'
    """
    units, place = [], 0
    while place + _LENGTH_BYTES <= len(data):
        size = int.from_bytes(data[place : place + _LENGTH_BYTES])
        units.append(data[place + _LENGTH_BYTES : place + _LENGTH_BYTES + size])
        place += _LENGTH_BYTES + size
    return b"".join(_START_CODE + unit for unit in units)


def _otherwise_cut(earlier: Path, segment: range) -> FilmError:
    return FilmError(
        f"`again` takes the rest from {earlier}, which was not encoded in the segment {segment.start}-"
        f"{segment.stop - 1}: give the `cuts` and `segment` that it was made with, or colour the whole film"
    )
