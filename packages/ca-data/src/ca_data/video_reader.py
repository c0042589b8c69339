"""Films frame by frame: the luma plane untouched, exact timestamps, and what did not decode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from ca_data.color import to_uint8
from ca_data.film_color import luma_to_lightness
from ca_data.resize import resize
from ca_data.transfer import srgb_from_film
from ca_data.video import VideoError, VideoInfo, choose_stream, describe, open_video, probe, reason
from ca_data.yuv import YuvCoding, chroma_from_codes, luma_from_codes, ycbcr_to_rgb

if TYPE_CHECKING:
    from av.container import InputContainer
    from av.video.frame import VideoFrame as AvFrame
    from av.video.stream import VideoStream

__all__ = ["FilmFrame", "VideoReader", "plane"]

# Containers round, and count in frames that are cut off at the ends; more than this many seconds are a loss.
_SHORTFALL = 0.5


@dataclass(frozen=True)
class FilmFrame:
    """One decoded frame of a film.

    Args:
        index: its number, from 0.
        pts: its timestamp, in units of `time_base`.
        time_base: seconds per unit.
        coding: what its code values mean.
        decoded: PyAV's frame in a planar format, which holds the planes.
    """

    index: int
    pts: int
    time_base: Fraction
    coding: YuvCoding
    decoded: AvFrame

    @property
    def luma(self) -> Tensor:
        """The Y plane as decoded, `h w` uint8 or uint16; a copy."""
        return torch.from_numpy(plane(self.decoded, 0).copy())

    @property
    def chroma(self) -> tuple[Tensor, Tensor] | None:
        """The Cb and Cr planes as decoded, at their own size; None of a grey film."""
        if len(self.decoded.planes) < 3:
            return None
        return tuple(torch.from_numpy(plane(self.decoded, i).copy()) for i in (1, 2))  # type: ignore[return-value]

    def luma_unit(self) -> Float[Tensor, "1 1 h w"]:
        """Luma, 0 black, 1 white."""
        return luma_from_codes(self.luma.to(torch.int32), self.coding)[None, None]

    def lightness(self) -> Float[Tensor, "1 1 h w"]:
        """Input of the network: the lightness of the grey of this luma, in [-1, 1]. Chroma plays no part."""
        return luma_to_lightness(self.luma.to(torch.int32)[None, None], self.coding)

    def rgb(self) -> UInt8[Tensor, "3 h w"]:
        """The frame in colour as a player shows it, before rotation: 8-bit sRGB."""
        luma = self.luma_unit()
        planes = self.chroma
        if planes is None:
            chroma = torch.zeros_like(luma).expand(-1, 2, -1, -1)
        else:
            codes = torch.stack([codes.to(torch.int32) for codes in planes])[None]
            chroma = resize(chroma_from_codes(codes, self.coding), (luma.shape[-2], luma.shape[-1]))
        film = ycbcr_to_rgb(torch.cat((luma, chroma), dim=1), self.coding.matrix)
        return to_uint8(srgb_from_film(film, self.coding.primaries, self.coding.transfer))[0]


class VideoReader:
    """The frames of a video file, in the order shown.

    Each iteration decodes the file from its beginning. Damage (packets that do not decode, frames the decoder
    patched up, a file that ends too early) raises when `strict`, and is noted in `damage` otherwise.

    Args:
        path: the file.
        strict: whether damage raises.

    Raises:
        VideoError: if the file cannot be read at all (see `probe`; a damaged start raises only when `strict`).

    Example:
        >>> VideoReader("nowhere.mp4")
        Traceback (most recent call last):
        ...
        ca_data.video.VideoError: video nowhere.mp4 does not exist (or is no file); check the path
    """

    def __init__(self, path: str | Path, *, strict: bool = True) -> None:
        self.path = Path(path)
        self.strict = strict
        self.careful = False
        """Decode one packet at a time: slower, but a damaged packet then takes no good frame with it."""
        self.damage: list[str] = []
        """One line for each thing that was wrong in the last iteration."""
        self.info = probe(path) if strict else self._first_info()

    def __iter__(self) -> Iterator[FilmFrame]:
        self.damage = []
        index, last = 0, -1
        info = self.info
        for decoded in self._decoded():
            layout = (decoded.height, decoded.width, decoded.format.name)
            if layout != (info.height, info.width, info.pix_fmt):
                self._note(f"frame {index} changes to {layout[1]}x{layout[0]} {layout[2]}")
                continue
            if decoded.is_corrupt:
                self._note(f"frame {index} is patched up by the decoder")
            pts = decoded.pts if decoded.pts is not None else decoded.dts
            last = int(pts) if pts is not None else _next_pts(info, index, last)
            yield FilmFrame(index, last, info.time_base, info.coding, self._planar(decoded))
            index += 1
        if index == 0:
            raise VideoError(f"video {self.path} holds no frames that can be decoded; check the file")
        end = float((last * info.time_base) + 1 / (info.rate or Fraction(25)))
        if info.duration and info.duration - end > _SHORTFALL:
            self._note(f"frames end at {end:.2f} s, the container says {info.duration:.2f} s")

    def near(self, pts: int) -> Iterator[FilmFrame]:
        """Frames from the keyframe at or before a timestamp on, numbered from 0; nothing is noted in `damage`.

        They need not be those of decoding in order: open groups of pictures and gradual refresh begin with others.

        Args:
            pts: in units of `info.time_base`.

        Raises:
            VideoError: if the file cannot be read.
        """
        damage, strict = self.damage, self.strict
        self.damage, self.strict = [], False
        try:
            for index, decoded in enumerate(self._decoded(pts)):
                if decoded.pts is None or decoded.format.name != self.info.pix_fmt:
                    return
                yield FilmFrame(
                    index, int(decoded.pts), self.info.time_base, self.info.coding, self._planar(decoded)
                )
        finally:
            self.damage, self.strict = damage, strict

    def _decoded(self, pts: int | None = None) -> Iterator[AvFrame]:
        import av

        with open_video(self.path) as container:
            stream = choose_stream(container, self.path)
            stream.thread_type = cast(Any, "SLICE" if self.careful else "AUTO")
            if pts is not None:
                try:
                    container.seek(pts, stream=stream, backward=True, any_frame=False)
                except av.error.FFmpegError:
                    return  # a file that cannot be sought in
            for packet in self._packets(container, stream):
                try:
                    frames = stream.codec_context.decode(packet)
                except av.error.FFmpegError as error:
                    self._note(f"a packet{_when(packet)} does not decode ({reason(error)})")
                    continue
                yield from frames

    def _packets(self, container: InputContainer, stream: VideoStream) -> Iterator[Any]:
        """The stream's packets, then None, which empties the decoder even where reading breaks off."""
        import av

        try:
            for packet in container.demux(stream):
                if packet.size:
                    yield packet
        except av.error.FFmpegError as error:
            self._note(f"reading breaks off ({reason(error)})")
        yield None

    def _note(self, problem: str) -> None:
        if self.strict:
            raise VideoError(
                f"video {self.path} is damaged: {problem}; repair it, or read it with strict=False"
            )
        self.damage.append(problem)

    def _planar(self, decoded: AvFrame) -> AvFrame:
        if decoded.format.name == self.info.planar_format:
            return decoded
        if decoded.format.is_rgb or decoded.format.has_palette:
            return decoded.reformat(
                format=self.info.planar_format, dst_colorspace="ITU709", dst_color_range="JPEG"
            )
        return decoded.reformat(format=self.info.planar_format)

    def _first_info(self) -> VideoInfo:
        """What `probe` says, of a file whose first packets may not decode."""
        first = next(self._decoded(), None)
        if first is None:
            why = f" ({self.damage[0]})" if self.damage else ""
            raise VideoError(f"video {self.path} holds no frames that can be decoded{why}; check the file")
        with open_video(self.path) as container:
            return describe(self.path, container, choose_stream(container, self.path), first)


def plane(frame: AvFrame, number: int) -> np.ndarray[Any, Any]:
    """One plane of a planar frame as a view, which can be written to.

    Args:
        frame: PyAV's frame, planar and little-endian.
        number: 0 luma, 1 Cb, 2 Cr, 3 alpha.

    Returns:
        `h w`, uint8 or uint16.
    """
    stored = frame.planes[number]
    kind = np.dtype(np.uint8 if frame.format.components[0].bits <= 8 else "<u2")
    rows = np.frombuffer(cast(Any, stored), kind).reshape(stored.height, stored.line_size // kind.itemsize)
    return rows[:, : stored.width]


def _next_pts(info: VideoInfo, index: int, last: int) -> int:
    """Raw streams carry no timestamps: count frames at the average rate."""
    return max(last + 1, round(index / (info.rate or Fraction(25)) / info.time_base))


def _when(packet: Any) -> str:
    if packet is None or packet.pts is None or not packet.time_base:
        return ""
    return f" at {float(packet.pts * packet.time_base):.3f} s"
