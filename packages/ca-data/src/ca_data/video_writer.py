"""Writing a coloured film: its own luma, its own timestamps, and every other stream of its source."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from ca_data.film_color import film_chroma
from ca_data.video import VideoError, VideoInfo, choose_stream, open_video, reason
from ca_data.video_reader import FilmFrame, plane
from ca_data.yuv import luma_from_codes, luma_to_codes

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer
    from av.stream import Stream
    from av.video.frame import VideoFrame as AvFrame
    from av.video.stream import VideoStream

__all__ = ["VideoWriter"]

_QUALITY = {
    "libx264": {"crf": "16", "preset": "medium", "mbtree": "0"},  # the tree reads memory nobody wrote
    "libx265": {"crf": "18", "preset": "medium", "x265-params": "log-level=error"},
    "libsvtav1": {"crf": "24", "preset": "8"},
    "libvpx-vp9": {"crf": "24", "b": "0", "row-mt": "1", "cpu-used": "4"},
    "ffv1": {"level": "3", "slicecrc": "1"},
}
# What the old file's own bytes looked like is not true of the new one.
_STALE_TAGS = {"major_brand", "minor_version", "compatible_brands", "encoder", "vendor_id", "duration"}


class VideoWriter:
    """Writes a film's frames with new chroma; the file appears under its name only when `close` succeeds.

    Used as a context manager, an exception inside leaves no file behind.

    Args:
        path: the file to write; its ending names the container.
        source: what the reader says of the film: size, timestamps, tags, and the streams to copy.
        codec: encoder; None takes libx264 for 8 bit, libx265 for more, and what a .webm can hold.
        crf: constant quality, None for the codec's default here; has no meaning for lossless codecs.
        pix_fmt: storage; None keeps bit depth and chroma grid as far as the codec can.
        copy_streams: whether sound, subtitles, data, chapters and metadata of the source come along.
        overwrite: whether an existing file may be replaced.

    Raises:
        VideoError: if the path exists or is the source, or container, codec and storage do not go together.
    """

    def __init__(
        self,
        path: str | Path,
        source: VideoInfo,
        *,
        codec: str | None = None,
        crf: int | None = None,
        pix_fmt: str | None = None,
        copy_streams: bool = True,
        overwrite: bool = False,
    ) -> None:
        self.path, self.source = Path(path), source
        _check_path(self.path, source.path, overwrite)
        self.codec = codec or _default_codec(self.path.suffix.lower(), source.coding.bits)
        self.pix_fmt = pix_fmt or _nearest_format(source, self.codec)
        self.coding = replace(source.coding, bits=_layout(self.pix_fmt).components[0].bits)
        self.notes: list[str] = []
        """One line for each thing that could not be carried over."""
        self._written: list[int] = []
        self._temporary = self.path.with_name(f".{self.path.stem}.partial{self.path.suffix}")
        self._source: InputContainer | None = None
        self._pending: Iterator[tuple[Fraction, Any]] = iter(())
        self._next: tuple[Fraction, Any] | None = None
        self._container = self._open()
        try:
            self._video = self._add_video(crf)
            if copy_streams:
                self._source = open_video(source.path)
                self._pending = self._copied(self._add_copies())
                self._next = next(self._pending, None)
            self._container.start_encoding()
        except (ValueError, OSError, KeyError) as error:
            self.discard()
            if isinstance(error, VideoError):
                raise
            raise VideoError(
                f"output {self.path} cannot hold {self.codec} as {self.pix_fmt} ({reason(error)}); choose "
                f"another ending, codec or pix_fmt"
            ) from error

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    @property
    def chroma_size(self) -> tuple[int, int]:
        """Height and width of the chroma planes."""
        layout = _layout(self.pix_fmt, self.source.width, self.source.height)
        return layout.components[1].height, layout.components[1].width

    def write(self, frame: FilmFrame, ab: Float[Tensor, "1 2 h w"]) -> None:
        """Write one frame in colour.

        Args:
            frame: the film's frame; its luma and its timestamp go to the output as they are. It is used up.
            ab: ab/110 of the network, of any size.

        Raises:
            VideoError: if writing fails.
        """
        self.write_chroma(frame, film_chroma(frame.luma_unit(), ab, self.coding, self.chroma_size))

    def write_chroma(self, frame: FilmFrame, chroma: Int[Tensor, "2 hc wc"]) -> None:
        """Write one frame with chroma that is ready.

        Args:
            frame: the film's frame. It is used up.
            chroma: code values of Cb and Cr in `coding`, of `chroma_size`.

        Raises:
            ValueError: if `chroma` has another size.
            VideoError: if writing fails.
        """
        if tuple(chroma.shape) != (2, *self.chroma_size):
            raise ValueError(
                f"chroma must have shape {(2, *self.chroma_size)} for {self.pix_fmt}, got {tuple(chroma.shape)}; "
                f"see chroma_size"
            )
        joined = self._join(frame, chroma)
        self._mux(self._video.encode(joined))
        self._written.append(frame.pts)
        self._copy_until(frame.pts * frame.time_base)

    def close(self) -> None:
        """Finish the file, check that every frame is in it at its time, and give it its name.

        Raises:
            VideoError: if writing fails, no frame was written, or the check does.
        """
        if not self._written:
            self.discard()
            raise VideoError(f"output {self.path} received no frames; nothing was written")
        try:
            self._mux(self._video.encode(None))
            self._copy_until(None)
            self._container.close()
            self._verify()
        except (VideoError, OSError, ValueError) as error:
            self.discard()
            if isinstance(error, VideoError):
                raise
            raise _write_error(self.path, error) from error
        self._close_source()
        self._temporary.replace(self.path)

    def discard(self) -> None:
        """Give up and leave nothing behind."""
        with suppress(Exception):
            self._container.close()
        self._close_source()
        self._temporary.unlink(missing_ok=True)

    def _open(self) -> OutputContainer:
        import av

        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            # One packet before time zero (the lead-in of AAC, a reordered frame) would move everything else. Only
            # NUT cannot hold such a packet.
            options = {} if self.path.suffix.lower() == ".nut" else {"avoid_negative_ts": "disabled"}
            return av.open(str(self._temporary), "w", options=options)
        except (ValueError, OSError) as error:
            raise VideoError(
                f"output {self.path} cannot be opened ({reason(error)}); use an ending such as .mp4, .mkv or .mov"
            ) from error

    def _add_video(self, crf: int | None) -> VideoStream:
        from av.codec.context import Flags

        source = self.source
        options = dict(_QUALITY.get(self.codec, {}))
        if crf is not None:
            options["crf"] = str(crf)
        rate = (source.rate or Fraction(25)).limit_denominator(100_000)
        stream = cast("VideoStream", self._container.add_stream(self.codec, rate=rate, options=options))
        context = stream.codec_context
        context.width, context.height, context.pix_fmt = source.width, source.height, self.pix_fmt
        context.time_base = stream.time_base = source.time_base
        context.sample_aspect_ratio = source.sample_aspect_ratio
        context.colorspace, _, context.color_primaries, context.color_trc = self._tags()
        context.color_range = 2 if self.coding.full_range else 1
        if source.interlaced:
            context.flags |= Flags.interlaced_dct | Flags.interlaced_me
        if source.rotation:
            stream.set_display_rotation(source.rotation)
        return stream

    def _tags(self) -> tuple[int, int, int, int]:
        unpacked = self.source.pix_fmt != self.source.planar_format
        return (1, 2, 1, self.source.tags[3]) if unpacked and self.coding.full_range else self.source.tags

    def _add_copies(self) -> dict[int, Stream]:
        """Streams of the output by the number of the source's they copy."""
        assert self._source is not None
        targets: dict[int, Stream] = {}
        colored = choose_stream(self._source, self.source.path).index
        _copy_tags(self._source.streams[colored], self._video)
        for stream in self._source.streams:
            if stream.index == colored:
                continue
            try:
                target = self._container.add_stream_from_template(stream, opaque=True)
            except ValueError as error:
                self.notes.append(f"{stream.type} stream {stream.index} is left out ({reason(error)})")
                continue
            _copy_tags(stream, target)
            if stream.type != "attachment":
                targets[stream.index] = target
        _copy_tags(self._source, self._container)
        if chapters := self._source.chapters():
            self._container.set_chapters(chapters)
        return targets

    def _copied(self, targets: dict[int, Stream]) -> Iterator[tuple[Fraction, Any]]:
        """Packets of the copied streams with times that never run back."""
        if self._source is None or not targets:
            return
        now = Fraction(-(10**9))
        try:
            for packet in self._source.demux([self._source.streams[index] for index in targets]):
                if not packet.size:
                    continue
                when = packet.dts if packet.dts is not None else packet.pts
                if when is not None and packet.time_base:
                    now = max(now, when * packet.time_base)
                packet.stream = targets[packet.stream_index]
                yield now, packet
        except OSError as error:
            self.notes.append(f"the source breaks off while its other streams are copied ({reason(error)})")
        except ValueError as error:
            self.notes.append(f"the source's other streams are damaged ({reason(error)})")

    def _copy_until(self, time: Fraction | None) -> None:
        while self._next is not None and (time is None or self._next[0] <= time):
            self._mux([self._next[1]])
            self._next = next(self._pending, None)

    def _mux(self, packets: list[Any]) -> None:
        try:
            self._container.mux(packets)
        except (ValueError, OSError) as error:
            raise _write_error(self.path, error) from error

    def _join(self, frame: FilmFrame, chroma: Tensor) -> AvFrame:
        """The decoded frame itself where its storage fits: luma, field flags and side data are never touched."""
        if frame.decoded.format.name == self.pix_fmt:
            joined = frame.decoded
            # The decoder may still predict from this frame.
            joined.make_writable()
        else:
            joined = self._with_luma(frame)
        for number in (1, 2):
            plane(joined, number)[:] = chroma[number - 1].cpu().numpy()
        # A picture type left by the decoder would be an order to the encoder.
        joined.pict_type = 0
        joined.pts, joined.time_base = frame.pts, frame.time_base
        return joined

    def _with_luma(self, frame: FilmFrame) -> AvFrame:
        import av

        joined = av.VideoFrame(self.source.width, self.source.height, self.pix_fmt)
        luma = frame.luma
        if self.coding.bits != frame.coding.bits:
            luma = luma_to_codes(luma_from_codes(luma.to(torch.int32), frame.coding), self.coding)
        plane(joined, 0)[:] = luma.numpy()
        if len(joined.planes) > 3:
            plane(joined, 3)[:] = 2**self.coding.bits - 1
        return joined

    def _verify(self) -> None:
        with open_video(self._temporary) as container:
            stream = choose_stream(container, self._temporary)
            tick = stream.time_base or self.source.time_base
            found = sorted(p.pts * tick for p in container.demux(stream) if p.size and p.pts is not None)
        wanted = sorted(pts * self.source.time_base for pts in self._written)
        if len(found) != len(wanted):
            raise VideoError(
                f"output {self.path} came out with {len(found)} frames instead of {len(wanted)}; choose another "
                f"ending or codec"
            )
        off = max(abs(a - b) for a, b in zip(found, wanted, strict=True))
        if off > tick:
            raise VideoError(
                f"output {self.path} came out with timestamps off by {float(off):.4f} s; choose another ending"
            )
        if off:
            self.notes.append(f"{self.path.suffix} counts time in steps of {tick} s: timestamps are rounded")

    def _close_source(self) -> None:
        if self._source is not None:
            self._source.close()


def _check_path(path: Path, source: Path, overwrite: bool) -> None:
    if path.exists() and path.resolve() == source.resolve():
        raise VideoError(f"output {path} is the source itself; give another name")
    if path.exists() and not overwrite:
        raise VideoError(f"output {path} exists; give another name or allow overwriting")


def _default_codec(suffix: str, bits: int) -> str:
    if suffix == ".webm":
        return "libvpx-vp9" if bits == 8 else "libsvtav1"
    return "libx264" if bits == 8 else "libx265"


def _layout(name: str, width: int = 64, height: int = 64) -> Any:
    import av

    try:
        return av.VideoFormat(name, width, height)
    except ValueError as error:
        raise VideoError(f"pix_fmt {name!r} is unknown; use one such as yuv420p or yuv420p10le") from error


def _nearest_format(source: VideoInfo, codec: str) -> str:
    """The codec's storage that loses least: bit depth first, then the chroma grid, then nothing wasted."""
    import av

    try:
        names = [layout.name for layout in av.Codec(codec, "w").video_formats or []]
    except ValueError as error:
        raise VideoError(f"codec {codec!r} is unknown; use one such as libx264, libx265 or ffv1") from error
    wanted = _layout(source.planar_format)
    grid = _grid(wanted) if len(wanted.components) >= 3 else (2, 2)
    if source.height % grid[0] or source.width % grid[1]:
        # Most encoders refuse odd sides with shared chroma samples.
        grid = (1, 1)

    def loss(name: str) -> tuple[int, ...]:
        layout = _layout(name)
        depth = layout.components[0].bits
        own = _grid(layout)
        coarser = own[0] > grid[0] or own[1] > grid[1]
        same = name != source.planar_format
        return (max(0, source.coding.bits - depth), coarser, grid[0] * grid[1] - own[0] * own[1], depth, same)

    # The deprecated yuvj formats say by name what the range tag says; a film that comes in one stays in it.
    usable = [
        name for name in names if _is_usable(name) and (name == source.planar_format or "j" not in name)
    ]
    if not usable:
        raise VideoError(f"codec {codec!r} stores no planar Y'CbCr; use one such as libx264, libx265 or ffv1")
    return min(usable, key=loss)


def _is_usable(name: str) -> bool:
    parts = _layout(name).components
    planar = [part.plane for part in parts] == [0, 1, 2]
    return planar and name.startswith("yuv") and not _layout(name).is_big_endian and parts[0].bits <= 16


def _grid(layout: Any) -> tuple[int, int]:
    """Rows and columns of luma per chroma sample, of a format of 64 x 64."""
    return 64 // layout.components[1].height, 64 // layout.components[1].width


def _copy_tags(source: Any, target: Any) -> None:
    target.metadata.update({k: v for k, v in source.metadata.items() if k.lower() not in _STALE_TAGS})
    if hasattr(source, "disposition"):
        target.disposition = source.disposition


def _write_error(path: Path, error: BaseException) -> VideoError:
    return VideoError(f"output {path} cannot be written ({reason(error)}); is the disk full?")
