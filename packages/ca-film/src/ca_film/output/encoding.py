"""Encoding: codec and storage of the output film, and frames filled for it."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import cast

import av
import numpy as np
import torch
from ca_data import YuvCoding, luma_from_codes, luma_to_codes, plane
from jaxtyping import Integer

from ca_film.errors import FilmError
from ca_film.output.hdr import has_dolby_vision, x265_hdr_options
from ca_film.source.film import FilmFormat, Frame

__all__ = ["VIDEO_SUFFIXES", "Encoding", "choose_encoding", "fill_frame", "open_encoder"]

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".mkv", ".webm", ".nut", ".mxf")
_ENCODERS = {
    "h264": "libx264",
    "hevc": "libx265",
    "h265": "libx265",
    "av1": "libsvtav1",
    "vp9": "libvpx-vp9",
    "prores": "prores_ks",
    "dnxhr": "dnxhd",
}
# Of the profiles, those that a restorer takes for a master; RGB is left out.
_DNXHR_PROFILES = {"yuv422p": "dnxhr_hq", "yuv422p10le": "dnxhr_hqx", "yuv444p10le": "dnxhr_444"}
# Height and width below which DNxHR has no blocks.
_DNXHR_LEAST = (120, 256)
# Constant quality that a restorer would call transparent, per encoder; lossless ones have none.
_CRF = {"libx264": 14, "libx265": 16, "libsvtav1": 20, "libvpx-vp9": 18}
_FIXED_OPTIONS = {
    # With B-frames, x264's macroblock tree reads memory that nobody has written: equal films gave unequal bytes.
    "libx264": {"mbtree": "0"},
    "libx265": {"x265-params": "log-level=error"},
    "libvpx-vp9": {"b": "0", "row-mt": "1", "deadline": "good", "cpu-used": "2"},
    "libsvtav1": {"preset": "8"},
    "ffv1": {"level": "3", "slices": "4", "slicecrc": "1"},
    "prores_ks": {"vendor": "apl0"},
}


@dataclass(frozen=True)
class Encoding:
    """Codec and storage of the output.

    Args:
        codec: libavcodec's encoder name.
        pixel_format: its storage, planar YCbCr.
        coding: what the codes mean; the film's own but for the depth.
        options: for the encoder.
        notes: what differs from the film.
    """

    codec: str
    pixel_format: str
    coding: YuvCoding
    options: dict[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def subsampling(self) -> tuple[int, int]:
        """Rows and columns of luma per chroma sample."""
        probe = av.VideoFormat(self.pixel_format, 64, 64).components[1]
        return 64 // probe.height, 64 // probe.width


def choose_encoding(
    film: FilmFormat,
    out: Path,
    *,
    codec: str | None = None,
    crf: int | None = None,
    pixel_format: str | None = None,
    first: Frame | None = None,
) -> Encoding:
    """Choose the storage of a film: its own bit depth and chroma grid where the codec has them.

    Args:
        film: the film's format; a lossless or editing codec of its own is kept where the container allows.
        out: output file; its suffix names the container.
        codec: what the user asked for: h264, hevc, av1, vp9, prores, dnxhr, ffv1 or an encoder of libavcodec.
        crf: the user's constant quality.
        pixel_format: the user's storage.
        first: the first frame, whose HDR metadata goes into the encoder's headers.

    Returns:
        The encoding.

    Raises:
        FilmError: if the container, the codec or the pixel format is unknown, or they do not go together.
    """
    suffix = out.suffix.lower()
    if suffix not in VIDEO_SUFFIXES:
        raise FilmError(
            f"output {out} has an unknown ending '{out.suffix}', expected {', '.join(VIDEO_SUFFIXES)} "
            "or a name without ending for a folder of PNG files"
        )
    encoder = _ENCODERS.get(codec, codec) if codec else _default_encoder(suffix, film)
    _check_fit(encoder, film, suffix)
    formats = _formats_of(encoder)
    chosen = _check_format(pixel_format, encoder, formats) if pixel_format else _nearest(film, formats)
    layout = av.VideoFormat(chosen, *reversed(film.size))
    coding = replace(
        film.coding,
        bits=layout.components[0].bits,
        full_range=film.coding.full_range and _keeps_range(film, encoder),
    )
    return Encoding(
        encoder,
        chosen,
        coding,
        _options(encoder, chosen, suffix, crf, film, first),
        _notes(film, encoder, chosen, first),
    )


def open_encoder(encoding: Encoding, film: FilmFormat) -> av.VideoCodecContext:
    """A fresh encoder with every tag of the film set; equal arguments give equal streams.

    Args:
        encoding: the choice made.
        film: the film's format.

    Returns:
        The encoder; its clock counts frames, so that no timestamp can upset it.
    """
    context = cast(av.VideoCodecContext, av.CodecContext.create(encoding.codec, "w"))
    configure(context, encoding, film)
    return context


def configure(context: av.VideoCodecContext, encoding: Encoding, film: FilmFormat) -> None:
    """Set size, storage, tags and options of an encoder that is not open yet."""
    context.width, context.height = film.size[1], film.size[0]
    context.pix_fmt = encoding.pixel_format
    context.framerate = film.rate.limit_denominator(100000)
    context.time_base = 1 / context.framerate
    context.sample_aspect_ratio = film.pixel_aspect
    context.colorspace, context.color_primaries, context.color_trc = film.color_tags
    context.color_range = 2 if encoding.coding.full_range else 1
    context.flags |= av.codec.context.Flags.global_header
    if film.interlaced:
        context.flags |= av.codec.context.Flags.interlaced_dct | av.codec.context.Flags.interlaced_me
    context.options = dict(encoding.options)


def fill_frame(
    frame: Frame,
    chroma: tuple[Integer[np.ndarray, "h w"], Integer[np.ndarray, "h w"]],
    encoding: Encoding,
    film: FilmFormat,
) -> av.VideoFrame:
    """Join a frame's own luma and new chroma to a frame for the encoder.

    The decoder's frame itself is reused where it has the right storage: luma is then never touched at all, and
    field flags and side data (closed captions, HDR metadata) stay on it.

    Args:
        frame: one frame of the film.
        chroma: Cb and Cr codes on the chroma grid of `encoding`.
        encoding: how the output is stored.
        film: the film's format.

    Returns:
        The encoder's frame, its timestamp being the frame's number.
    """
    filled = frame.decoded
    # PyAV cannot take side data off a frame, and an encoder that meets Dolby Vision's may refuse it.
    dolby = has_dolby_vision(filled)
    if filled is not None and filled.format.name == encoding.pixel_format and not dolby:
        # The decoder may still predict from this frame.
        filled.make_writable()
    else:
        filled = _with_luma(frame, encoding, film)
    for number, codes in enumerate(chroma, start=1):
        plane(filled, number)[:] = codes
    # A picture type left by the decoder would be taken as an order by the encoder.
    filled.pict_type = 0
    filled.colorspace, filled.color_primaries, filled.color_trc = film.color_tags
    filled.color_range = 2 if encoding.coding.full_range else 1
    filled.pts, filled.time_base = frame.index, 1 / film.rate.limit_denominator(100000)
    return filled


def _with_luma(frame: Frame, encoding: Encoding, film: FilmFormat) -> av.VideoFrame:
    height, width = film.size
    filled = av.VideoFrame(width, height, encoding.pixel_format)
    plane(filled, 0)[:] = _change_depth(frame.luma, film.coding, encoding.coding)
    components = filled.format.components
    if len(components) == 4:
        source = frame.decoded
        has_alpha = source is not None and len(source.format.components) == 4
        alpha = plane(source, 3) if has_alpha else np.array(255, np.uint8)  # type: ignore[arg-type]
        shift = components[3].bits - (source.format.components[3].bits if has_alpha and source else 8)
        wide = alpha.astype(np.uint16)
        plane(filled, 3)[:] = wide << shift if shift >= 0 else wide >> -shift
    return filled


def _change_depth(
    luma: Integer[np.ndarray, "h w"], source: YuvCoding, target: YuvCoding
) -> Integer[np.ndarray, "h w"]:
    if (source.bits, source.full_range) == (target.bits, target.full_range):
        return luma
    codes = torch.from_numpy(luma.astype(np.int32))
    return luma_to_codes(luma_from_codes(codes, source), target).numpy()


def _default_encoder(suffix: str, film: FilmFormat) -> str:
    source, depth = film.codec, film.coding.bits
    if suffix == ".webm":
        return "libvpx-vp9" if depth <= 8 else "libsvtav1"
    if source == "ffv1" and suffix in (".mkv", ".nut"):
        return "ffv1"
    if source.startswith("prores") and suffix in (".mov", ".mkv", ".nut", ".mxf"):
        return "prores_ks"
    if suffix == ".mxf" or (source == "dnxhd" and suffix in (".mov", ".mkv")):
        return "dnxhd" if _holds_dnxhr(film) else "prores_ks"
    return "libx264" if depth <= 8 else "libx265"


def _keeps_range(film: FilmFormat, encoder: str) -> bool:
    """A video keeps its own; deep frames of a folder are full range, which only an archive is sure to be read as."""
    return bool(film.codec) or encoder == "ffv1"


def _holds_dnxhr(film: FilmFormat) -> bool:
    return film.size[0] >= _DNXHR_LEAST[0] and film.size[1] >= _DNXHR_LEAST[1]


def _check_fit(encoder: str, film: FilmFormat, suffix: str) -> None:
    if encoder == "dnxhd" and not _holds_dnxhr(film):
        raise FilmError(
            f"`codec` dnxhr takes frames of 256x120 at least, got {film.size[1]}x{film.size[0]}; use prores"
        )
    if encoder == "dnxhd" and suffix not in (".mov", ".mxf", ".mkv"):
        raise FilmError(f"`codec` dnxhr does not go into {suffix}, expected .mov, .mxf or .mkv")


def _formats_of(encoder: str) -> list[str]:
    try:
        codec = av.Codec(encoder, "w")
    except (ValueError, av.error.FFmpegError) as error:
        raise FilmError(
            f"`codec` '{encoder}' is unknown here, expected one of {', '.join([*_ENCODERS, 'ffv1'])}"
        ) from error
    formats = [layout.name for layout in codec.video_formats or []] if codec.type == "video" else []
    usable = [name for name in formats if _usable(name)]
    if not usable:
        raise FilmError(
            f"`codec` '{encoder}' stores no planar YCbCr frames, expected h264, hevc, ffv1 or the like"
        )
    return usable


def _usable(name: str) -> bool:
    layout = av.VideoFormat(name, 64, 64)
    planar = [component.plane for component in layout.components] == list(range(len(layout.components)))
    plain = not (layout.is_rgb or layout.is_big_endian or "yuvj" in name or layout.has_palette)
    return plain and planar and len(layout.components) >= 3 and layout.components[0].bits <= 16


def _check_format(name: str, encoder: str, formats: list[str]) -> str:
    if name not in formats:
        raise FilmError(
            f"`pixel_format` '{name}' does not go with {encoder}, expected one of {', '.join(formats)}"
        )
    return name


def _nearest(film: FilmFormat, formats: list[str]) -> str:
    """The storage that loses least: depth kept, then alpha kept, then the chroma grid, then little waste."""
    source = av.VideoFormat(film.pixel_format, 64, 64)
    alpha = len(source.components) == 4 and not source.is_rgb
    rows, columns = 2, 2
    if len(source.components) >= 3 and not (source.is_rgb or source.has_palette):
        rows, columns = 64 // source.components[1].height, 64 // source.components[1].width
    # Most encoders refuse odd sides with shared chroma samples; 4:4:4 has no such trouble.
    if film.size[0] % rows or film.size[1] % columns:
        rows, columns = 1, 1

    def loss(name: str) -> tuple[int, ...]:
        layout = av.VideoFormat(name, 64, 64)
        depth = layout.components[0].bits
        grid = (64 // layout.components[1].height, 64 // layout.components[1].width)
        coarser = grid[0] > rows or grid[1] > columns
        return (
            max(0, film.coding.bits - depth),
            abs((len(layout.components) == 4) - alpha),
            coarser,
            rows * columns - grid[0] * grid[1],
            depth - film.coding.bits,
        )

    return min(formats, key=loss)


def _options(
    encoder: str, chosen: str, suffix: str, crf: int | None, film: FilmFormat, first: Frame | None
) -> dict[str, str]:
    options = dict(_FIXED_OPTIONS.get(encoder, {}))
    if encoder == "dnxhd":
        options["profile"] = _DNXHR_PROFILES[chosen]
    quality = crf if crf is not None else _CRF.get(encoder)
    if crf is not None and encoder not in _CRF:
        raise FilmError(f"`crf` has no meaning for {encoder}, which has no constant quality; leave it out")
    if quality is not None:
        options["crf"] = str(quality)
    if encoder == "libx265" and first is not None and first.decoded is not None:
        options["x265-params"] = ":".join([options["x265-params"], *x265_hdr_options(first.decoded)])
    if has_dolby_vision(first.decoded if first else None) and encoder in ("libx265", "libsvtav1"):
        options["dolbyvision"] = "0"
    if suffix == ".nut" and encoder in ("libx264", "libx265"):
        # Reordered frames begin before time zero, which NUT cannot say.
        options["bf"] = "0"
    if film.interlaced and encoder == "prores_ks":
        options["flags"] = "+ildct"
    return options


def _notes(film: FilmFormat, encoder: str, chosen: str, first: Frame | None) -> tuple[str, ...]:
    notes = []
    if has_dolby_vision(first.decoded if first else None):
        notes.append(
            "Dolby Vision metadata (RPU) is left out, and with it what else lies on each frame, such as captions: "
            "it describes the grey film; the film itself keeps its depth and transfer"
        )
    source = av.VideoFormat(film.pixel_format, 64, 64)
    target = av.VideoFormat(chosen, 64, 64)
    bits = target.components[0].bits
    if bits < film.coding.bits:
        notes.append(
            f"{encoder} stores {bits} bits of the film's {film.coding.bits}; `codec` ffv1 keeps them in .mkv"
        )
    if len(source.components) == 4 and len(target.components) < 4:
        notes.append(f"alpha is left out: {encoder} in {chosen} has none; `codec` ffv1 or prores keeps it")
    if film.interlaced and encoder not in ("libx264", "prores_ks", "ffv1"):
        notes.append(f"{encoder} stores interlaced film as whole frames and loses the field flags; use h264")
    return tuple(notes)
