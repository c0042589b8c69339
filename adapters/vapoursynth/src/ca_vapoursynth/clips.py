"""A clip coloured: laid down without loss, coloured as a film, and given back as a clip with its own luma."""

from __future__ import annotations

import hashlib
import tempfile
import threading
import weakref
from collections.abc import Iterator, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import av
import av.filter
import numpy as np
from ca_data import FilmFrame, SeekingReader, plane
from ca_film import ColorizeOptions, FilmError, Progress
from ca_film import colorize as colorize_film

if TYPE_CHECKING:
    import vapoursynth as vs

__all__ = ["colorize"]

# ITU-T H.273 numbers as frame properties carry them; 2 is "unknown".
_UNKNOWN = 2
# Properties on which colours depend.
_FOLLOWED = (
    "_Matrix",
    "_Primaries",
    "_Transfer",
    "_Range",
    "_ColorRange",
    "_FieldBased",
    "_SARNum",
    "_SARDen",
)


def colorize(
    clip: vs.VideoNode,
    refs: str | Path | Sequence[str | Path],
    options: ColorizeOptions | None = None,
    *,
    keep: str | Path | None = None,
    progress: Progress | None = None,
) -> vs.VideoNode:
    """Colourise a clip.

    The whole clip is coloured when the script calls this, since a film is looked through before; what comes
    back reads the finished colours. Luma is the clip's own, plane by plane; frame properties are kept.

    Args:
        clip: constant format and size, GRAY or YUV, 8 to 16 bits of integer. Matrix, range, primaries, transfer and
            fields are read from the properties of its first frame.
        refs: colour stills, or folders of them; `name_000240.png` is frame 240.
        options: how, as for `ca_film.colorize`; what is about files plays no part.
        keep: a folder in which the colours are kept: the same clip, stills and options are not coloured twice. None: a
            temporary folder, which goes with the clip.
        progress: is told how far the work is, and may cancel it.

    Returns:
        The clip in YUV, GRAY as 4:2:0 (4:4:4 where a side is odd), else in its own format.

    Raises:
        FilmError: if the clip is of another kind, or anything about stills, weights or options is wrong.
        Cancelled: if `progress` asks for it.
    """
    _check(clip)
    stills = (refs,) if isinstance(refs, str | Path) else tuple(refs)
    chosen = replace(
        options or ColorizeOptions(),
        references=stills,
        codec="ffv1",
        pixel_format=None,
        report=False,
        overwrite=True,
    )
    temporary = None
    if keep is None:
        temporary = tempfile.TemporaryDirectory(prefix="coloralign-")
        keep = temporary.name
    folder = Path(keep)
    folder.mkdir(parents=True, exist_ok=True)
    film = folder / "laid-down.mkv"
    name = _lay_down(clip, film, chosen)
    colored = folder / f"{name}.mkv"
    if not colored.is_file():
        colorize_film(film, colored, chosen, progress)
    film.unlink()
    colors = _Colors(colored)
    made = _joined(clip, colors)
    if temporary is not None:
        weakref.finalize(colors, temporary.cleanup)
    return made


class _Colors:
    """Frames of the coloured film, in order or by seeking: FFV1 decodes each by itself."""

    def __init__(self, path: Path) -> None:
        self._reader = SeekingReader(path)
        self._frames: Iterator[FilmFrame] = iter(())
        self._next, self._lock = -1, threading.Lock()
        self.layout = av.VideoFormat(self._reader.info.pix_fmt)
        self.matrix = self._reader.info.tags[0]

    def chroma(self, number: int) -> list[np.ndarray[Any, Any]]:
        """Cb and Cr of a frame."""
        with self._lock:
            if number != self._next:
                self._frames = self._reader.frames(number)
            frame = next(self._frames)
            self._next = number + 1
            return [plane(frame.decoded, which).copy() for which in (1, 2)]


def _joined(clip: vs.VideoNode, colors: _Colors) -> vs.VideoNode:
    """The clip's luma with the coloured film's chroma."""
    import vapoursynth as vs

    layout = colors.layout
    columns, rows = (
        int(np.log2(-(-1024 // side))) for side in (layout.chroma_width(1024), layout.chroma_height(1024))
    )
    form = vs.core.query_video_format(vs.YUV, vs.INTEGER, layout.components[0].bits, columns, rows)
    blank = vs.core.std.BlankClip(clip, format=form.id, keep=True)

    def fill(n: int, f: vs.VideoFrame) -> vs.VideoFrame:
        made = f.copy()
        for which, codes in enumerate(colors.chroma(n), start=1):
            np.asarray(made[which])[:] = codes
        return made

    chroma = vs.core.std.ModifyFrame(blank, blank, fill)
    joined = vs.core.std.ShufflePlanes([clip, chroma, chroma], planes=[0, 1, 2], colorfamily=vs.YUV)
    return vs.core.std.SetFrameProps(joined, _Matrix=colors.matrix)


def _check(clip: vs.VideoNode) -> None:
    import vapoursynth as vs

    form = clip.format
    if form is None or not clip.width or not clip.height:
        raise FilmError("clip: expected one format and size, got a clip that changes them; bring it to one")
    integer = form.sample_type == vs.INTEGER and 8 <= form.bits_per_sample <= 16
    if form.color_family not in (vs.GRAY, vs.YUV) or not integer:
        raise FilmError(
            f"clip: expected GRAY or YUV of 8 to 16 bits, got {form.name}; convert it, as "
            "core.resize.Bicubic(clip, format=vs.YUV444P16, matrix_s='709')"
        )


def _lay_down(clip: vs.VideoNode, path: Path, options: ColorizeOptions) -> str:
    """Write the clip as FFV1, and name it by all that its colours depend on."""
    digest = hashlib.sha256(repr(replace(options, references=())).encode())
    for still in options.stills:
        for file in sorted(still.rglob("*")) if still.is_dir() else [still]:
            digest.update(file.read_bytes() if file.is_file() else b"")
    with av.open(str(path), "w") as container:
        rate = Fraction(clip.fps) if clip.fps else Fraction(24)
        stream: Any = None
        for count, frame in enumerate(clip.frames()):
            if stream is None:
                stream = _stream(container, clip, rate, dict(frame.props))
                marker = _field_marker(stream, dict(frame.props))
                digest.update(repr(sorted((name, frame.props.get(name)) for name in _FOLLOWED)).encode())
            picture = av.VideoFrame(clip.width, clip.height, stream.pix_fmt)
            for number in range(len(frame)):
                codes = np.asarray(frame[number])
                plane(picture, number)[:] = codes
                digest.update(codes.tobytes())
            picture.pts, picture.time_base = count, 1 / rate
            container.mux(stream.encode(_marked(picture, marker)))
        container.mux(stream.encode(None))
    return digest.hexdigest()[:24]


def _stream(container: Any, clip: vs.VideoNode, rate: Fraction, props: dict[str, Any]) -> Any:
    """An FFV1 stream with what the properties say."""
    stream = container.add_stream("ffv1", rate=rate)
    stream.width, stream.height, stream.pix_fmt = clip.width, clip.height, _storage(clip.format)
    context = stream.codec_context
    context.time_base = 1 / rate
    context.color_range = 2 if _is_full(props) else 1
    context.colorspace = int(props.get("_Matrix", _UNKNOWN))
    context.color_primaries = int(props.get("_Primaries", _UNKNOWN))
    context.color_trc = int(props.get("_Transfer", _UNKNOWN))
    if props.get("_SARNum") and props.get("_SARDen"):
        context.sample_aspect_ratio = Fraction(int(props["_SARNum"]), int(props["_SARDen"]))
    return stream


def _field_marker(stream: Any, props: dict[str, Any]) -> Any:
    """A filter that marks frames as two fields, which PyAV cannot do itself; None where they are whole frames."""
    order = {1: "bff", 2: "tff"}.get(int(props.get("_FieldBased", 0)))
    if order is None:
        return None
    graph = av.filter.Graph()
    size = {"width": stream.width, "height": stream.height, "format": stream.pix_fmt}
    source = graph.add_buffer(**size, time_base=stream.codec_context.time_base)
    marker, sink = graph.add("setfield", f"mode={order}"), graph.add("buffersink")
    source.link_to(marker)
    marker.link_to(sink)
    graph.configure()
    return graph


def _marked(picture: Any, marker: Any) -> Any:
    if marker is None:
        return picture
    marker.push(picture)
    return marker.pull()


def _is_full(props: dict[str, Any]) -> bool:
    """`_Range` says 1 for full; `_ColorRange`, of VapourSynth before it, 0."""
    if "_Range" in props:
        return int(props["_Range"]) == 1
    return int(props.get("_ColorRange", 1)) == 0


def _storage(form: Any) -> str:
    """libavcodec's name of a VapourSynth format."""
    import vapoursynth as vs

    bits = form.bits_per_sample
    depth = "" if bits == 8 else f"{bits}le"
    if form.color_family == vs.GRAY:
        return f"gray{depth}"
    grids = {(1, 1): "420", (1, 0): "422", (0, 0): "444", (0, 1): "440", (2, 0): "411", (2, 2): "410"}
    return f"yuv{grids[form.subsampling_w, form.subsampling_h]}p{depth}"
