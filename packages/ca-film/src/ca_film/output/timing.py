"""Timing: the film's timestamps on encoded packets, decoding times that fit them, and the check of the joined file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from ca_data import choose_stream, open_video

from ca_film.errors import FilmError
from ca_film.output.segments import EncodedPacket, SegmentStore
from ca_film.source.film import FilmFormat
from ca_film.source.survey import Survey

__all__ = [
    "TimedPacket",
    "check_timing",
    "decoding_time",
    "movie_timescale",
    "reorder_delay",
    "timed_packets",
]


@dataclass(frozen=True)
class TimedPacket:
    """An encoded frame with its times, in the film's time base.

    Args:
        packet: the encoded frame.
        shown: when it is shown (PTS).
        decoded: when it is decoded (DTS).
        duration: how long it is shown.
    """

    packet: EncodedPacket
    shown: int
    decoded: int
    duration: int


def timed_packets(store: SegmentStore, segments: Sequence[range], survey: Survey) -> Iterator[TimedPacket]:
    """Encoded frames in coding order with the film's timestamps.

    Args:
        store: the segments.
        segments: all of them, in order.
        survey: of the film.

    Yields:
        Every packet.
    """
    delay = max((reorder_delay(store.order(segment), segment.start) for segment in segments), default=0)
    position = 0
    for segment in segments:
        for packet in store.packets(segment):
            decoded = decoding_time(survey.timestamps, position - delay)
            yield TimedPacket(
                packet, survey.timestamps[packet.frame], decoded, _duration(survey, packet.frame)
            )
            position += 1


def reorder_delay(order: Sequence[int], start: int = 0) -> int:
    """Largest number of places that a frame is coded after its place in showing order.

    The k-th packet of a film is decoded when frame k - delay is shown, with the largest delay of its segments:
    such times increase, and none lies after its frame's own.

    Args:
        order: frame numbers in coding order.
        start: the least of them.

    Example:
        >>> reorder_delay([0, 1, 2]), reorder_delay([0, 4, 2, 1, 3])
        (0, 2)
    """
    return max((position - (frame - start) for position, frame in enumerate(order)), default=0)


def decoding_time(timestamps: Sequence[int], position: int) -> int:
    """Timestamp of the frame at a position, which before the first frame goes on in the film's first step.

    Example:
        >>> [decoding_time([100, 140, 150], position) for position in (-2, -1, 0, 1)]
        [20, 60, 100, 140]
    """
    if position >= 0:
        return timestamps[position]
    step = timestamps[1] - timestamps[0] if len(timestamps) > 1 else 1
    return timestamps[0] + position * step


def movie_timescale(film: FilmFormat, time_bases: Iterable[Fraction]) -> int:
    """Steps per second in which MP4 says when its streams begin: fine enough for each of them.

    With the usual 1000, a film that does not begin at a whole millisecond would be moved.

    Args:
        film: the film's format.
        time_bases: of the source's streams.

    Example:
        >>> from ca_data import YuvCoding
        >>> movie_timescale(FilmFormat((2, 2), YuvCoding(), time_base=Fraction(1, 24)), [Fraction(1, 44100)])
        441000
    """
    steps = [film.time_base.denominator, *(base.denominator for base in time_bases)]
    common = math.lcm(1000, *steps)
    return common if common < 1 << 31 else max(1000, *steps)


def check_timing(out: Path, film: FilmFormat, timestamps: Sequence[int]) -> list[str]:
    """Read the joined file back: every frame there, at its own time.

    Args:
        out: the file.
        film: the source's format.
        timestamps: of every frame, in the film's time base.

    Returns:
        A note where the container rounded the timestamps, or nothing.

    Raises:
        FilmError: if frames are missing or moved by more than the container's rounding.
    """
    with open_video(out) as container:
        stream = choose_stream(container, out)
        tick = stream.time_base or film.time_base
        found = sorted(
            packet.pts * tick for packet in container.demux(stream) if packet.size and packet.pts is not None
        )
    wanted = [timestamp * film.time_base for timestamp in timestamps]
    if len(found) != len(wanted):
        raise FilmError(
            f"output {out.name} came out with {len(found)} frames, expected {len(wanted)}; "
            "the work is kept, try another ending or `codec`"
        )
    off = max((abs(a - b) for a, b in zip(found, wanted, strict=True)), default=Fraction(0))
    if off > max(tick, film.time_base):
        raise FilmError(
            f"output {out.name} came out with timestamps off by {float(off):.4f} s; "
            "the work is kept, try another ending or `codec`"
        )
    if not off:
        return []
    return [
        f"{out.suffix} counts time in steps of {tick} s: timestamps are rounded by up to "
        f"{float(off) * 1000:.2f} ms; .mp4, .mov and .nut keep them exactly"
    ]


def _duration(survey: Survey, frame: int) -> int:
    timestamps = survey.timestamps
    if frame + 1 < len(timestamps):
        return timestamps[frame + 1] - timestamps[frame]
    if survey.durations[frame]:
        return survey.durations[frame]
    return timestamps[frame] - timestamps[frame - 1] if frame else 1
