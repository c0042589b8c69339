"""Choice of codec and storage, and frames filled for the encoder."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import av
import numpy as np
import pytest
from av.sidedata.sidedata import Type
from ca_data import YuvCoding, plane
from ca_film import FilmError, FilmFormat, Frame
from ca_film.output import encoding as encoding_module
from ca_film.output.encoding import choose_encoding, fill_frame, open_encoder
from ca_film.output.hdr import has_dolby_vision


def form(pixel_format: str = "yuv420p", size: tuple[int, int] = (46, 74), **more: object) -> FilmFormat:
    bits = av.VideoFormat(pixel_format, 64, 64).components[0].bits
    return FilmFormat(size, YuvCoding(bits=bits), pixel_format=pixel_format, **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("ending", "film", "codec", "pixel_format"),
    [
        (".mp4", form(), "libx264", "yuv420p"),
        (".mp4", form("yuv420p10le"), "libx265", "yuv420p10le"),
        (".webm", form(), "libvpx-vp9", "yuv420p"),
        (".webm", form("yuv420p10le"), "libsvtav1", "yuv420p10le"),
        (".mkv", form("yuv422p10le", codec="ffv1"), "ffv1", "yuv422p10le"),
        (".mp4", form(codec="ffv1"), "libx264", "yuv420p"),
        (".mov", form("yuv422p10le", codec="prores"), "prores_ks", "yuv422p10le"),
        (".mp4", form("gray"), "libx264", "yuv420p"),  # a grey film gets the usual chroma grid
        (".mp4", form("yuv444p"), "libx264", "yuv444p"),
        (".mp4", form(size=(45, 74)), "libx264", "yuv444p"),  # odd sides share no chroma samples
        (".mkv", form("rgb24"), "libx264", "yuv420p"),
    ],
)
def test_default(ending: str, film: FilmFormat, codec: str, pixel_format: str) -> None:
    encoding = choose_encoding(film, Path(f"out{ending}"))
    assert (encoding.codec, encoding.pixel_format) == (codec, pixel_format)
    assert encoding.coding.bits == film.coding.bits
    assert encoding.notes == ()


def test_what_a_codec_cannot_keep_is_named() -> None:
    (depth,) = choose_encoding(
        form("yuv420p10le"), Path("out.mkv"), codec="vp9", pixel_format="yuv420p"
    ).notes
    assert depth == "libvpx-vp9 stores 8 bits of the film's 10; `codec` ffv1 keeps them in .mkv"
    (alpha,) = choose_encoding(form("yuva420p"), Path("out.mp4")).notes
    assert alpha.startswith("alpha is left out: libx264 in yuv420p has none")
    assert choose_encoding(form("yuva420p"), Path("out.mkv"), codec="ffv1").pixel_format == "yuva420p"
    (fields,) = choose_encoding(form(interlaced=True), Path("out.mp4"), codec="hevc").notes
    assert "loses the field flags" in fields


def test_quality() -> None:
    assert choose_encoding(form(), Path("out.mp4")).options["crf"] == "14"
    assert choose_encoding(form(), Path("out.mp4"), crf=30).options["crf"] == "30"
    assert "crf" not in choose_encoding(form(), Path("out.mkv"), codec="ffv1").options
    # NUT cannot say that a reordered frame begins before time zero.
    assert choose_encoding(form(), Path("out.nut")).options["bf"] == "0"
    assert "bf" not in choose_encoding(form(), Path("out.mkv")).options


@pytest.mark.parametrize(
    ("out", "chosen", "said"),
    [
        ("out.avi", {}, r"unknown ending '\.avi', expected \.mp4"),
        ("out.mp4", {"codec": "wax"}, "`codec` 'wax' is unknown here, expected one of h264"),
        ("out.mkv", {"codec": "gif"}, "stores no planar YCbCr frames"),
        ("out.mp4", {"pixel_format": "rgb24"}, "`pixel_format` 'rgb24' does not go with libx264"),
        ("out.mkv", {"codec": "ffv1", "crf": 3}, "`crf` has no meaning for ffv1"),
    ],
)
def test_refusals(out: str, chosen: dict[str, object], said: str) -> None:
    with pytest.raises(FilmError, match=said):
        choose_encoding(form(), Path(out), **chosen)  # type: ignore[arg-type]


def test_an_encoder_has_the_films_tags_and_a_matrix_always() -> None:
    film = form(tags=(2, 0, 9, 16), interlaced=True)
    encoder = open_encoder(choose_encoding(film, Path("out.mp4")), film)
    assert (encoder.colorspace, encoder.color_primaries, encoder.color_trc) == (1, 9, 16)
    assert (encoder.height, encoder.width, encoder.color_range) == (46, 74, 1)
    assert encoder.flags & av.codec.context.Flags.interlaced_dct


def decoded(pixel_format: str) -> av.VideoFrame:
    frame = av.VideoFrame(74, 46, pixel_format)
    for number in range(len(frame.planes)):
        plane(frame, number)[:] = 20 + number
    return frame


def test_the_decoders_frame_is_reused_where_its_storage_fits() -> None:
    film = form()
    encoding = choose_encoding(film, Path("out.mkv"), codec="ffv1")
    source = decoded("yuv420p")
    chroma = (np.full((23, 37), 90, np.int32), np.full((23, 37), 200, np.int32))
    filled = fill_frame(Frame(5, plane(source, 0), decoded=source), chroma, encoding, film)
    assert filled is source
    assert filled.pts == 5
    assert [int(plane(filled, number)[0, 0]) for number in range(3)] == [20, 90, 200]


def test_luma_and_alpha_change_depth_where_it_does_not() -> None:
    film = replace(form("yuva420p"), size=(46, 74))
    encoding = choose_encoding(film, Path("out.mkv"), codec="ffv1", pixel_format="yuva444p10le")
    source = decoded("yuva420p")
    chroma = (np.full((46, 74), 512, np.int32), np.full((46, 74), 512, np.int32))
    filled = fill_frame(Frame(0, plane(source, 0), decoded=source), chroma, encoding, film)
    assert filled.format.name == "yuva444p10le"
    assert [int(plane(filled, number)[0, 0]) for number in range(4)] == [80, 512, 512, 23 << 2]


@pytest.mark.parametrize(
    ("storage", "chosen", "profile"),
    [
        ("yuv420p", "yuv422p", "dnxhr_hq"),
        ("yuv420p10le", "yuv422p10le", "dnxhr_hqx"),
        ("yuv444p10le", "yuv444p10le", "dnxhr_444"),
    ],
)
def test_dnxhr_has_a_profile_by_storage(storage: str, chosen: str, profile: str) -> None:
    film = form(storage, size=(144, 256))
    encoding = choose_encoding(film, Path("out.mov"), codec="dnxhr")
    assert (encoding.codec, encoding.pixel_format, encoding.options["profile"]) == ("dnxhd", chosen, profile)
    encoder = open_encoder(encoding, film)
    encoder.open(strict=False)
    assert encoder.profile.lower().replace(" ", "_") == profile


@pytest.mark.parametrize(
    ("ending", "film", "codec"),
    [
        (".mxf", form(size=(144, 256)), "dnxhd"),
        (".mxf", form(), "prores_ks"),  # DNxHR has no frames as small as this
        (".mxf", form("yuv422p10le", size=(144, 256), codec="prores"), "prores_ks"),
        (".mov", form("yuv422p", size=(144, 256), codec="dnxhd"), "dnxhd"),
        (".mp4", form("yuv422p", size=(144, 256), codec="dnxhd"), "libx264"),
    ],
)
def test_editing_codecs_by_default(ending: str, film: FilmFormat, codec: str) -> None:
    assert choose_encoding(film, Path(f"out{ending}")).codec == codec


def test_dnxhr_that_cannot_be() -> None:
    with pytest.raises(FilmError, match="takes frames of 256x120 at least, got 74x46"):
        choose_encoding(form(), Path("out.mov"), codec="dnxhr")
    with pytest.raises(FilmError, match=r"does not go into \.mp4, expected \.mov"):
        choose_encoding(form(size=(144, 256)), Path("out.mp4"), codec="dnxhr")


def test_dolby_vision_goes_to_no_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    # PyAV puts no side data on a frame: what it would give is stood in for.
    film = form("yuv420p10le")
    source = decoded("yuv420p10le")
    first = Frame(0, plane(source, 0), decoded=source)
    monkeypatch.setattr(encoding_module, "has_dolby_vision", lambda frame: frame is source)
    chosen = choose_encoding(film, Path("out.mov"), first=first)
    assert (chosen.codec, chosen.pixel_format, chosen.options["dolbyvision"]) == (
        "libx265",
        "yuv420p10le",
        "0",
    )
    assert [note for note in chosen.notes if note.startswith("Dolby Vision metadata (RPU) is left out")]
    chroma = (np.full((23, 37), 512, np.int32), np.full((23, 37), 512, np.int32))
    filled = fill_frame(first, chroma, chosen, film)
    assert filled is not source
    assert np.array_equal(plane(filled, 0), plane(source, 0))
    encoder = open_encoder(chosen, film)
    encoder.open(strict=False)
    assert [*encoder.encode(filled), *encoder.encode(None)]


def test_dolby_vision_is_known_by_its_side_data() -> None:
    def frame(*kinds: Type) -> SimpleNamespace:
        return SimpleNamespace(side_data=[SimpleNamespace(type=kind) for kind in kinds])

    assert has_dolby_vision(frame(Type.A53_CC, Type.DOVI_RPU_BUFFER))  # type: ignore[arg-type]
    assert has_dolby_vision(frame(Type.DOVI_METADATA))  # type: ignore[arg-type]
    assert not has_dolby_vision(frame(Type.A53_CC))  # type: ignore[arg-type]
    assert not has_dolby_vision(None)
