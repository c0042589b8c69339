"""Muxing: the encoded frames and everything else of the source in one file."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

import av
from av.error import FFmpegError
from ca_data import choose_stream, open_video

from ca_film.errors import FilmError
from ca_film.options import StreamChoice
from ca_film.output.encoding import Encoding, configure
from ca_film.output.segments import SegmentStore
from ca_film.output.timing import TimedPacket, movie_timescale, timed_packets
from ca_film.source.film import Film, FilmFormat
from ca_film.source.survey import Survey

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.stream import VideoStream

__all__ = ["Joined", "join", "rehearse"]

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


@dataclass
class Joined:
    """Contents of the joined file.

    Args:
        frames: number of coloured frames.
        copied: one line for each copied stream.
        notes: what could not be copied, and why.
    """

    frames: int = 0
    copied: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def rehearse(out: Path, film: Film, encoding: Encoding, choice: StreamChoice) -> Joined:
    """Open the output as it will be and throw it away, so that what cannot work fails before the work.

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
    try:
        with _Output(out, film, encoding, choice, joined):
            pass
    finally:
        out.unlink(missing_ok=True)
    return joined


def join(
    out: Path,
    film: Film,
    encoding: Encoding,
    store: SegmentStore,
    segments: Sequence[range],
    survey: Survey,
    choice: StreamChoice,
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

    Returns:
        What went in.

    Raises:
        FilmError: if writing fails (a full disk, for one).
    """
    joined = Joined()
    with _Output(out, film, encoding, choice, joined) as output:
        if any(store.extradata(segment) != output.extradata for segment in segments):
            raise FilmError("the kept work was encoded by another version of the encoder; use --restart")
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
        self._out = out
        self._time_base = film.format.time_base
        self._source: InputContainer | None = None if film.path.is_dir() else open_video(film.path)
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
            # A packet before time zero (the lead-in of AAC, a reordered frame) would move all others.
            options["avoid_negative_ts"] = "disabled"
        if self._out.suffix.lower() in _MP4_SUFFIXES:
            streams = self._source.streams if self._source is not None else ()
            bases = [stream.time_base for stream in streams if stream.time_base]
            options["movie_timescale"] = str(movie_timescale(film, bases))
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
                    joined.notes.append("alpha is left out: the film keeps it beside its frames, not in them")
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


def _copy_stream_tags(source: Stream, target: Stream) -> None:
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _STALE_STREAM_TAGS})
    target.disposition = source.disposition


def _write_error(out: Path, error: BaseException) -> FilmError:
    reason = getattr(error, "strerror", None) or str(error)
    return FilmError(
        f"output {out} cannot be written ({reason}); finished work is kept, free space and run again"
    )
