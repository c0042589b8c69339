"""Muxing: the encoded frames and everything else of the source in one file."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.error import FFmpegError
from ca_data import choose_stream, file_url, open_video, plane

from ca_film.errors import FilmError
from ca_film.options import StreamChoice
from ca_film.output.encoding import Encoding, configure, open_encoder
from ca_film.output.renewal import stored_headers
from ca_film.output.segments import EncodedPacket, SegmentStore
from ca_film.output.timing import TimedPacket, movie_timescale, timed_packets
from ca_film.source.film import Film, FilmFormat
from ca_film.source.survey import Survey

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.container.core import Chapter
    from av.stream import Stream
    from av.video.stream import VideoStream

__all__ = ["Joined", "join", "rehearse"]

# Tags that describe the old file's own bytes, and would be false in the new one.
_STALE_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "alpha_mode"}
# Packets of the source that the rehearsal looks through for the first of each stream.
_REHEARSED_PACKETS = 1000
# Seconds by which the streams of a file lie apart, at most.
_INTERLEAVED = 10
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


@dataclass
class Joined:
    """Contents of the joined file.

    Args:
        frames: number of coloured frames.
        copied: one line for each copied stream.
        notes: what could not be copied, and why.
        refused: numbers of the source's streams that the container does not take.
        headers: codec of the coloured stream, and its headers as the container stores them; after a rehearsal.
    """

    frames: int = 0
    refused: set[int] = field(default_factory=set)
    headers: tuple[str, bytes] = ("", b"")
    copied: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rehearse(out: Path, film: Film, encoding: Encoding, choice: StreamChoice) -> Joined:
    """Write the output's beginning as it will be and throw it away, so that what cannot work fails before the work.

    A packet of each stream goes with it: some containers (MXF) look at a stream only then. Each stream of the source is
    tried by itself first: what the container refuses is left out, and named.

    Args:
        out: a scratch path with the output's suffix.
        film: the source.
        encoding: how the frames will be encoded.
        choice: which streams are copied.

    Returns:
        What will be copied and what will not.

    Raises:
        FilmError: if container and codec do not go together or the place cannot be written to.
    """
    joined = Joined()
    first = _first_packet(encoding, film.format)
    try:
        if film.format.codec:
            for index, label in _copied_streams(film, choice):
                reason = _refusal(out, film, encoding, choice, index, first)
                if reason is not None:
                    joined.refused.add(index)
                    joined.notes.append(f"{label} is left out: {out.suffix} cannot hold it ({reason})")
        with _Output(out, film, encoding, choice, joined) as output:
            output.mux(output.video_packet(first)[1])
            for packet in output.first_packets():
                output.mux(packet)
        joined.headers = stored_headers(out)
    finally:
        out.unlink(missing_ok=True)
    return joined


def _copied_streams(film: Film, choice: StreamChoice) -> list[tuple[int, str]]:
    with open_video(film.path) as source:
        colored = choose_stream(source, film.path).index
        return [
            (stream.index, _label(stream))
            for stream in source.streams
            if stream.index != colored and choice.keeps(stream.type)
        ]


def _first_packet(encoding: Encoding, film: FilmFormat) -> TimedPacket:
    """A packet of the coloured stream, of a frame of nothing."""
    encoder = open_encoder(encoding, film)
    try:
        encoder.open(strict=False)
        frame = av.VideoFrame(film.size[1], film.size[0], encoding.pixel_format)
        for number in range(len(frame.planes)):
            plane(frame, number)[:] = 0
        frame.pts, frame.time_base = 0, encoder.time_base
        packet = [*encoder.encode(frame), *encoder.encode(None)][0]
    except (FFmpegError, ValueError) as error:
        raise FilmError(
            f"{encoding.codec} does not take frames of {film.size[1]}x{film.size[0]} {encoding.pixel_format} "
            f"({getattr(error, 'strerror', None) or error}); choose another `codec` or `pixel_format`"
        ) from error
    return TimedPacket(EncodedPacket(0, True, bytes(packet)), 0, 0, 0)


def _refusal(
    out: Path, film: Film, encoding: Encoding, choice: StreamChoice, index: int, first: TimedPacket
) -> str | None:
    """Why the container does not take a stream beside the coloured one; None where it does."""
    with open_video(film.path) as source:
        others = {stream.index for stream in source.streams} - {index}
    trial = Joined(refused=others)
    try:
        with _Output(out, film, encoding, choice, trial) as output:
            output.mux(output.video_packet(first)[1])
            for packet in output.first_packets():
                output.mux(packet)
    except FilmError as error:
        cause = error.__cause__
        return str(getattr(cause, "strerror", None) or cause or error)
    return None if trial.copied else "it does not take such a stream"


def _label(stream: Stream) -> str:
    codec = (
        stream.codec_context.name if stream.codec_context else stream.metadata.get("handler_name", "no codec")
    )
    return f"{stream.type} stream {stream.index} ({codec})"


def join(
    out: Path,
    film: Film,
    encoding: Encoding,
    store: SegmentStore,
    segments: Sequence[range],
    survey: Survey,
    choice: StreamChoice,
    refused: Set[int] = frozenset(),
) -> Joined:
    """Write the final file: coloured frames with the film's timestamps, all else copied packet by packet.

    Args:
        out: file to write.
        film: the source.
        encoding: how the frames were encoded.
        store: the encoded segments.
        segments: all of them, in order.
        survey: of the source.
        choice: which streams are copied.
        refused: numbers of streams that the rehearsal found the container not to take.

    Returns:
        What went in.

    Raises:
        FilmError: if writing fails (a full disk, for one).
    """
    joined = Joined(refused=set(refused))
    with _Output(out, film, encoding, choice, joined) as output:
        if any(store.extradata(segment) != output.extradata for segment in segments):
            raise FilmError("the kept work was encoded by another version of the encoder; use `restart=True`")
        video = map(output.video_packet, timed_packets(store, segments, survey))
        copied = output.copied_packets(joined.notes)
        for _, _, packet in heapq.merge(
            ((when, 0, packet) for when, packet in video),
            ((when, 1, packet) for when, packet in copied),
            key=lambda item: item[:2],
        ):
            output.mux(packet)
            joined.frames += packet.stream_index == output.video.index
    return joined


class _Output:
    """The output container with its streams, closed on the way out whatever happens."""

    def __init__(
        self, out: Path, film: Film, encoding: Encoding, choice: StreamChoice, joined: Joined
    ) -> None:
        self._out, self._path, self._window = out, film.path, film.window
        self._time_base = film.format.time_base
        self._source: InputContainer | None = open_video(film.path) if film.format.codec else None
        self._targets: dict[int, Stream] = {}
        self._container = self._open(film.format)
        try:
            self._add_streams(film.format, encoding, choice, joined)
            if self._source is not None and choice.metadata:
                self._copy_tags()
            self._container.start_encoding()
        except (FFmpegError, OSError, ValueError) as error:
            self._abandon()
            raise FilmError(
                f"output {out.name}: {encoding.codec} cannot go there ({error}); "
                "choose another ending or `codec`"
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

    def video_packet(self, timed: TimedPacket) -> tuple[Fraction, av.Packet]:
        """A packet of the coloured stream, and when it is decoded."""
        packet = av.Packet(timed.packet.data)
        packet.stream, packet.time_base = self.video, self._time_base
        packet.pts, packet.dts, packet.duration = timed.shown, timed.decoded, timed.duration
        packet.is_keyframe = timed.packet.is_key
        return timed.decoded * self._time_base, packet

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
                if self._window is not None:
                    if _beyond(packet, self._window):
                        return
                    if not _move_into(packet, self._window):
                        continue
                when = packet.dts if packet.dts is not None else packet.pts
                if when is not None and packet.time_base:
                    now = max(now, when * packet.time_base)
                packet.stream = self._targets[packet.stream_index]
                yield now, packet
        except FFmpegError as error:
            notes.append(f"the source breaks off while its other streams are copied ({error.strerror})")

    def first_packets(self) -> Iterator[av.Packet]:
        """The first packet of each copied stream; of sparse ones only where the source has it early."""
        missing = {target.index for target in self._targets.values()}
        for number, (_, packet) in enumerate(self.copied_packets([])):
            if packet.stream_index in missing:
                missing.discard(packet.stream_index)
                yield packet
            if not missing or number >= _REHEARSED_PACKETS:
                return

    def _open(self, film: FilmFormat) -> OutputContainer:
        options = {"strict": "experimental"}
        if self._out.suffix.lower() != ".nut":
            # A packet before time zero (the lead-in of AAC, a reordered frame) would move all others.
            options["avoid_negative_ts"] = "disabled"
        if self._out.suffix.lower() in _MP4_SUFFIXES:
            streams = self._source.streams if self._source is not None else ()
            bases = [stream.time_base for stream in streams if stream.time_base]
            options["movie_timescale"] = str(movie_timescale(film, bases))
        try:
            container = av.open(file_url(self._out), "w", options=options)
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
        colored = choose_stream(self._source, self._path).index
        for stream in self._source.streams:
            if stream.index == colored:
                self._add_video(film, encoding)
                _copy_stream_tags(stream, self.video)
                if any(name.lower() == "alpha_mode" for name in stream.metadata):
                    joined.notes.append("alpha is left out: the film keeps it beside its frames, not in them")
            elif choice.keeps(stream.type) and stream.index not in joined.refused:
                self._copy_stream(stream, joined)

    def _add_video(self, film: FilmFormat, encoding: Encoding) -> None:
        rate = film.rate.limit_denominator(100000)
        self.video = cast("VideoStream", self._container.add_stream(encoding.codec, rate=rate))
        configure(self.video.codec_context, encoding, film)
        self.video.time_base = film.time_base
        if film.rotation:
            self.video.set_display_rotation(film.rotation)

    def _copy_stream(self, stream: Stream, joined: Joined) -> None:
        label = _label(stream)
        if self._window is not None and stream.type not in ("audio", "subtitle", "attachment"):
            joined.notes.append(f"{label} is left out: a piece takes sound and subtitles along")
            return
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
        chapters = [part for one in self._source.chapters() if (part := _chapter_in(one, self._window))]
        if chapters:
            self._container.set_chapters(chapters)

    def _abandon(self) -> None:
        with suppress(Exception):
            self._container.close()
        if self._source is not None:
            self._source.close()
        self._out.unlink(missing_ok=True)


Window = tuple[Fraction, Fraction | None]


def _beyond(packet: av.Packet, window: Window) -> bool:
    """Whether nothing of a piece can come any more: sound and pictures lie apart in a file, but not so far."""
    if packet.dts is None or not packet.time_base or window[1] is None:
        return False
    return packet.dts * packet.time_base > window[1] + _INTERLEAVED


def _move_into(packet: av.Packet, window: Window) -> bool:
    """Bring a packet to the time of a piece; False where it does not begin in it."""
    begin, end = window
    when = packet.pts if packet.pts is not None else packet.dts
    if when is None or not packet.time_base:
        return False
    if when * packet.time_base < begin or (end is not None and when * packet.time_base >= end):
        return False
    shift = round(begin / packet.time_base)
    if packet.pts is not None:
        packet.pts -= shift
    if packet.dts is not None:
        packet.dts -= shift
    if packet.duration and end is not None and packet.stream.type == "subtitle":
        packet.duration = min(packet.duration, round((end - when * packet.time_base) / packet.time_base))
    return True


def _chapter_in(chapter: Chapter, window: Window | None) -> Chapter | None:
    """A chapter in the time of a piece; None where nothing of it lies there."""
    tick = chapter["time_base"]
    if window is None or not tick:
        return chapter
    begin, end = window
    start, stop = max(chapter["start"] * tick, begin), chapter["end"] * tick
    stop = stop if end is None else min(stop, end)
    if stop <= start:
        return None
    moved = chapter.copy()
    moved["start"], moved["end"] = round((start - begin) / tick), round((stop - begin) / tick)
    return moved


def _copy_stream_tags(source: Stream, target: Stream) -> None:
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _STALE_STREAM_TAGS})
    target.disposition = source.disposition


def _write_error(out: Path, error: BaseException) -> FilmError:
    reason = getattr(error, "strerror", None) or str(error)
    return FilmError(
        f"output {out} cannot be written ({reason}); finished work is kept, free space and run again"
    )
