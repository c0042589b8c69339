"""Joining the encoded pictures and everything else of the source into one file, and checking it."""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.error import FFmpegError
from ca_data import choose_stream, open_video

from ca_infer.encoding import Encoding, configure
from ca_infer.errors import InferError
from ca_infer.film import FilmFormat
from ca_infer.segments import SegmentStore

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

__all__ = ["Joined", "StreamChoice", "join", "rehearse", "verify"]

# Tags that describe the old file's own bytes, and would be false in the new one.
_STALE_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "alpha_mode"}
_MP4_SUFFIXES = (".mp4", ".m4v", ".mov")
_STALE_STREAM_TAGS = {
    "encoder",
    "vendor_id",
    "duration",
    "number_of_frames",
    "number_of_bytes",
    "bps",
    "alpha_mode",
}


@dataclass(frozen=True)
class StreamChoice:
    """Which streams of the source come along.

    Args:
        audio: sound.
        subtitles: subtitles.
        data: data, attachments, further pictures.
        metadata: tags and chapters.
    """

    audio: bool = True
    subtitles: bool = True
    data: bool = True
    metadata: bool = True

    def keeps(self, kind: str) -> bool:
        """Whether streams of a kind (libavformat's word) come along."""
        return {"audio": self.audio, "subtitle": self.subtitles}.get(kind, self.data)


@dataclass
class Joined:
    """What went into the joined file.

    Args:
        pictures: number of coloured pictures.
        copied: one line for each copied stream.
        notes: what could not be carried over, and why.
    """

    pictures: int = 0
    copied: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rehearse(
    out: Path, source: Path | None, film: FilmFormat, encoding: Encoding, choice: StreamChoice
) -> Joined:
    """Open the output as it will be and throw it away, so that what cannot work fails before the work.

    Args:
        out: a scratch path with the output's suffix.
        source: the source video, None for a folder of frames.
        film: its format.
        encoding: the choice made.
        choice: which streams come along.

    Returns:
        What will be copied and what will not.

    Raises:
        InferError: if container and codec do not go together or the place cannot be written to.
    """
    joined = Joined()
    try:
        with _Output(out, source, film, encoding, choice, joined):
            pass
    finally:
        out.unlink(missing_ok=True)
    return joined


def join(
    out: Path,
    source: Path | None,
    film: FilmFormat,
    encoding: Encoding,
    store: SegmentStore,
    segments: Sequence[range],
    timestamps: Sequence[int],
    durations: Sequence[int],
    choice: StreamChoice,
) -> Joined:
    """Write the final file: coloured pictures with the film's timestamps, all else copied packet by packet.

    Args:
        out: file to write.
        source: the source video, None for a folder of frames.
        film: its format.
        encoding: how the pictures were encoded.
        store: the encoded segments.
        segments: all of them, in order.
        timestamps: of every picture, in the film's time base, increasing.
        durations: of every picture, 0 where unknown.
        choice: which streams come along.

    Returns:
        What went in.

    Raises:
        InferError: if writing fails (a full disk, for one).
    """
    joined = Joined()
    with _Output(out, source, film, encoding, choice, joined) as output:
        video = _video_packets(output, store, segments, timestamps, durations, film.time_base)
        copied = output.copied_packets(joined.notes)
        for _, _, packet in heapq.merge(
            ((when, 0, packet) for when, packet in video),
            ((when, 1, packet) for when, packet in copied),
            key=lambda item: item[:2],
        ):
            output.mux(packet)
            joined.pictures += packet.stream_index == output.video.index
    return joined


class _Output:
    """The output container with its streams, closed on the way out whatever happens."""

    def __init__(
        self,
        out: Path,
        source: Path | None,
        film: FilmFormat,
        encoding: Encoding,
        choice: StreamChoice,
        joined: Joined,
    ) -> None:
        self._out = out
        self._source: InputContainer | None = open_video(source) if source else None
        self._targets: dict[int, Stream] = {}
        self._container = self._open(film)
        try:
            self._add_streams(film, encoding, choice, joined)
            if self._source is not None and choice.metadata:
                self._copy_tags()
            self._container.start_encoding()
        except (FFmpegError, OSError, ValueError) as error:
            self._abandon()
            raise InferError(
                f"output {out.name}: {encoding.codec} cannot go there ({error}); "
                "choose another ending or --codec"
            ) from error

    def __enter__(self) -> _Output:
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            self._container.close()
        except (FFmpegError, OSError) as failure:
            if error is None:
                raise _write_error(self._out, failure) from failure
        finally:
            if self._source is not None:
                self._source.close()

    @property
    def extradata(self) -> bytes:
        """Codec headers of the coloured stream as this container will store them."""
        return bytes(self.video.codec_context.extradata or b"")

    def mux(self, packet: av.Packet) -> None:
        """Write one packet."""
        try:
            self._container.mux_one(packet)
        except (FFmpegError, OSError) as error:
            raise _write_error(self._out, error) from error

    def copied_packets(self, notes: list[str]) -> Iterator[tuple[Fraction, av.Packet]]:
        """Packets of the copied streams in the order of the source, each with a time that never runs back."""
        if self._source is None or not self._targets:
            return
        now = Fraction(-(10**9))
        streams = [self._source.streams[index] for index in self._targets]
        try:
            for packet in self._source.demux(streams):
                if not packet.size:
                    continue
                when = packet.dts if packet.dts is not None else packet.pts
                if when is not None and packet.time_base:
                    now = max(now, when * packet.time_base)
                packet.stream = self._targets[packet.stream_index]
                yield now, packet
        except FFmpegError as error:
            notes.append(f"the source breaks off while its other streams are copied ({error.strerror})")

    def _open(self, film: FilmFormat) -> OutputContainer:
        options = {"strict": "experimental"}
        if self._out.suffix.lower() != ".nut":
            # A packet before time zero (the lead-in of AAC, a reordered picture) would move all others.
            options["avoid_negative_ts"] = "disabled"
        if self._out.suffix.lower() in _MP4_SUFFIXES:
            options["movie_timescale"] = str(_movie_timescale(film, self._source))
        try:
            container = av.open(str(self._out), "w", options=options)
        except (FFmpegError, OSError, ValueError) as error:
            if self._source is not None:
                self._source.close()
            raise _write_error(self._out, error) from error
        # No random identifiers and no clock in the file: equal work gives equal bytes.
        container.flags = container.flags | cast(int, av.container.Flags.bitexact.value)
        return container

    def _add_streams(
        self, film: FilmFormat, encoding: Encoding, choice: StreamChoice, joined: Joined
    ) -> None:
        if self._source is None:
            self._add_video(film, encoding)
            return
        colored = choose_stream(self._source, Path(self._source.name)).index
        for stream in self._source.streams:
            if stream.index == colored:
                self._add_video(film, encoding)
                _copy_stream_tags(stream, self.video)
                if any(name.lower() == "alpha_mode" for name in stream.metadata):
                    joined.notes.append(
                        "alpha is left out: the film keeps it beside its pictures, not in them"
                    )
            elif choice.keeps(stream.type):
                self._copy_stream(stream, joined)

    def _add_video(self, film: FilmFormat, encoding: Encoding) -> None:
        rate = film.rate.limit_denominator(100000)
        self.video = cast("VideoStream", self._container.add_stream(encoding.codec, rate=rate))
        configure(self.video.codec_context, encoding, film)
        self.video.time_base = film.time_base
        if film.rotation:
            self.video.set_display_rotation(film.rotation)

    def _copy_stream(self, stream: Stream, joined: Joined) -> None:
        codec = stream.codec_context.name if stream.codec_context else "no codec"
        label = f"{stream.type} stream {stream.index} ({codec})"
        try:
            if stream.type in ("audio", "video", "subtitle") and stream.codec_context is None:
                raise ValueError("unknown codec")
            target = self._container.add_stream_from_template(stream, opaque=True)
        except (ValueError, FFmpegError) as error:
            joined.notes.append(f"{label} is left out: {self._out.suffix} cannot hold it ({error})")
            return
        _copy_stream_tags(stream, target)
        if stream.type != "attachment":
            self._targets[stream.index] = target
        joined.copied.append(label)

    def _copy_tags(self) -> None:
        assert self._source is not None
        tags = self._source.metadata
        self._container.metadata.update({k: v for k, v in tags.items() if k.lower() not in _STALE_TAGS})
        chapters = self._source.chapters()
        if chapters:
            self._container.set_chapters(chapters)

    def _abandon(self) -> None:
        with suppress(Exception):
            self._container.close()
        if self._source is not None:
            self._source.close()
        self._out.unlink(missing_ok=True)


def _movie_timescale(film: FilmFormat, source: InputContainer | None) -> int:
    """Steps per second in which MP4 says when its streams begin: fine enough for each of them.

    With the usual 1000, a film that does not begin at a whole millisecond would be moved.
    """
    steps = [film.time_base.denominator]
    if source is not None:
        steps += [stream.time_base.denominator for stream in source.streams if stream.time_base]
    common = math.lcm(1000, *steps)
    return common if common < 1 << 31 else max(1000, *steps)


def verify(out: Path, film: FilmFormat, timestamps: Sequence[int], joined: Joined) -> None:
    """Read the joined file back: every picture there, at its own time.

    Args:
        out: the file.
        film: the source's format.
        timestamps: of every picture, in the film's time base.
        joined: what went in; a note is added when the container rounded the timestamps.

    Raises:
        InferError: if pictures are missing or moved by more than the container's rounding.
    """
    with open_video(out) as container:
        stream = choose_stream(container, out)
        tick = stream.time_base or film.time_base
        found = sorted(
            packet.pts * tick for packet in container.demux(stream) if packet.size and packet.pts is not None
        )
    wanted = [timestamp * film.time_base for timestamp in timestamps]
    if len(found) != len(wanted):
        raise InferError(
            f"output {out.name} came out with {len(found)} pictures, expected {len(wanted)}; "
            "the work is kept, try another ending or --codec"
        )
    off = max((abs(a - b) for a, b in zip(found, wanted, strict=True)), default=Fraction(0))
    if off > max(tick, film.time_base):
        raise InferError(
            f"output {out.name} came out with timestamps off by {float(off):.4f} s; "
            "the work is kept, try another ending or --codec"
        )
    if off:
        joined.notes.append(
            f"{out.suffix} counts time in steps of {tick} s: timestamps are rounded by up to "
            f"{float(off) * 1000:.2f} ms; .mp4, .mov and .nut keep them exactly"
        )


def _video_packets(
    output: _Output,
    store: SegmentStore,
    segments: Sequence[range],
    timestamps: Sequence[int],
    durations: Sequence[int],
    time_base: Fraction,
) -> Iterator[tuple[Fraction, av.Packet]]:
    """Coded pictures with the film's timestamps, and decoding times that fit them.

    The k-th packet is decoded at the time of the picture shown (k - delay)-th, with one delay for the film:
    the largest number of places any picture moves forward in coding order.  These times increase, and none
    lies after its picture's own.
    """
    delay = max((max(_moves(store.order(segment), segment.start)) for segment in segments), default=0)
    position = 0
    for segment in segments:
        extradata = store.extradata(segment)
        if extradata != output.extradata:
            raise InferError("the kept work was encoded by another version of the encoder; use --restart")
        for packet in store.packets(segment):
            made = av.Packet(packet.data)
            made.stream, made.time_base = output.video, time_base
            made.pts = timestamps[packet.picture]
            made.dts = _decoding_time(timestamps, position - delay)
            made.duration = _duration(timestamps, durations, packet.picture)
            made.is_keyframe = packet.is_key
            position += 1
            yield made.dts * time_base, made


def _moves(order: Sequence[int], start: int) -> list[int]:
    """How many places each picture of a segment is coded after its place in showing order."""
    return [position - (picture - start) for position, picture in enumerate(order)]


def _decoding_time(timestamps: Sequence[int], position: int) -> int:
    if position >= 0:
        return timestamps[position]
    step = timestamps[1] - timestamps[0] if len(timestamps) > 1 else 1
    return timestamps[0] + position * step


def _duration(timestamps: Sequence[int], durations: Sequence[int], picture: int) -> int:
    if picture + 1 < len(timestamps):
        return timestamps[picture + 1] - timestamps[picture]
    if durations[picture]:
        return durations[picture]
    return timestamps[picture] - timestamps[picture - 1] if picture else 1


def _copy_stream_tags(source: Stream, target: Stream) -> None:
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _STALE_STREAM_TAGS})
    target.disposition = source.disposition


def _write_error(out: Path, error: BaseException) -> InferError:
    reason = getattr(error, "strerror", None) or str(error)
    return InferError(
        f"output {out} cannot be written ({reason}); finished work is kept, free space and run again"
    )
