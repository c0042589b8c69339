"""Video: exact luma and timestamps, tags, streams, colours, damage, and errors."""

import ast
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import ca_data
import numpy as np
import pytest
from ca_data import (
    VideoError,
    VideoReader,
    chroma_to_codes,
    luma_to_codes,
    probe,
    rgb_to_ycbcr,
    synthetic_clip,
)
from ca_data.video_reader import plane
from ca_data.yuv import YuvCoding

BASE = Fraction(1, 12800)
# Uneven, and whole milliseconds, which is what Matroska can hold.
UNEVEN = (0, 512, 1024, 2048, 2560, 4032)


def make_film(
    path: Path,
    *,
    pix_fmt: str = "yuv420p",
    codec: str = "ffv1",
    size: tuple[int, int] = (36, 52),
    pts: tuple[int, ...] = UNEVEN,
    full: bool = False,
    audio: bool = False,
    **context: object,
) -> list[np.ndarray]:
    """A small film of random planes; returns its luma planes."""
    generator = np.random.default_rng(0)
    lumas = []
    with av.open(str(path), "w") as out:
        video = out.add_stream(codec, rate=25)
        video.codec_context.width, video.codec_context.height = size[1], size[0]
        video.codec_context.pix_fmt = pix_fmt
        video.codec_context.time_base = video.time_base = BASE
        video.codec_context.color_range = 2 if full else 1
        for name, value in context.items():
            setattr(video.codec_context, name, value)
        sound = out.add_stream("pcm_s16le", rate=8000, layout="mono") if audio else None
        for stamp in pts:
            frame = av.VideoFrame(size[1], size[0], pix_fmt)
            bits = frame.format.components[0].bits
            for number in range(len(frame.planes)):
                view = plane(frame, number)
                view[:] = generator.integers(0, 1 << bits, view.shape)
            lumas.append(plane(frame, 0).copy())
            frame.pts, frame.time_base = stamp, BASE
            out.mux(video.encode(frame))
        if sound is not None:
            samples = generator.integers(-9999, 9999, (1, 4000), dtype=np.int16)
            tone = av.AudioFrame.from_ndarray(samples, format="s16", layout="mono")
            tone.sample_rate, tone.pts, tone.time_base = 8000, 0, Fraction(1, 8000)
            out.mux(sound.encode(tone))
            out.mux(sound.encode(None))
        out.mux(video.encode(None))
    return lumas


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p12le", "gray", "gray16le"])
@pytest.mark.parametrize("full", [False, True])
def test_luma_timestamps_and_coding_are_read_bit_exact(tmp_path, pix_fmt, full):
    lumas = make_film(tmp_path / "film.mkv", pix_fmt=pix_fmt, full=full)
    frames = list(VideoReader(tmp_path / "film.mkv"))
    assert [frame.pts * frame.time_base for frame in frames] == [pts * BASE for pts in UNEVEN]
    assert [frame.index for frame in frames] == list(range(len(UNEVEN)))
    for frame, luma in zip(frames, lumas, strict=True):
        assert np.array_equal(frame.luma.numpy(), luma)
        assert (frame.chroma is None) == pix_fmt.startswith("gray")
    assert frames[0].coding.full_range == full
    assert frames[0].coding.bits == frames[0].decoded.format.components[0].bits


@pytest.mark.parametrize("suffix", [".mp4", ".mkv"])
def test_frames_come_in_the_order_shown_where_a_codec_reorders_them(tmp_path, suffix):
    pts = tuple(range(0, 512 * 40, 512))
    make_film(tmp_path / f"film{suffix}", pts=pts, size=(64, 96), codec="libx264", max_b_frames=3)
    frames = list(VideoReader(tmp_path / f"film{suffix}"))
    tick = frames[0].time_base
    assert len(frames) == 40
    assert all(abs(f.pts * tick - p * BASE) <= tick / 2 for f, p in zip(frames, pts, strict=True))


def test_odd_sides_and_sound_are_described(tmp_path):
    make_film(tmp_path / "film.mkv", size=(37, 53), audio=True)
    info = probe(tmp_path / "film.mkv")
    assert (info.height, info.width, info.pix_fmt, info.planar_format) == (37, 53, "yuv420p", "yuv420p")
    assert [(stream.index, stream.kind, stream.codec) for stream in info.streams] == [
        (0, "video", "ffv1"),
        (1, "audio", "pcm_s16le"),
    ]


def test_tags_and_aspect_are_described(tmp_path):
    make_film(
        tmp_path / "film.mkv",
        size=(64, 96),
        codec="libx264",
        colorspace=9,
        color_primaries=9,
        color_trc=16,
        sample_aspect_ratio=Fraction(16, 15),
    )
    info = probe(tmp_path / "film.mkv")
    assert info.tags == (9, 1, 9, 16)
    assert info.sample_aspect_ratio == Fraction(16, 15)
    assert info.coding == YuvCoding(matrix="bt2020", primaries="bt2020", transfer="pq")


@pytest.mark.parametrize("matrix", ["bt601", "bt709"])
@pytest.mark.parametrize("full", [False, True])
def test_frames_are_shown_in_their_own_colors(tmp_path, matrix, full):
    true = synthetic_clip(2, frames=1, size=(32, 48))
    coding = YuvCoding(matrix=matrix, full_range=full)
    ycbcr = rgb_to_ycbcr(true / 255.0, matrix)[0]
    with av.open(str(tmp_path / "film.mkv"), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.codec_context.width, video.codec_context.height, video.codec_context.pix_fmt = 48, 32, "yuv444p"
        video.codec_context.colorspace = 1 if matrix == "bt709" else 6
        video.codec_context.color_range = 2 if full else 1
        frame = av.VideoFrame(48, 32, "yuv444p")
        plane(frame, 0)[:] = luma_to_codes(ycbcr[0], coding).numpy()
        for number in (1, 2):
            plane(frame, number)[:] = chroma_to_codes(ycbcr[number], coding).numpy()
        frame.pts = 0
        out.mux(video.encode(frame))
        out.mux(video.encode(None))
    got = next(iter(VideoReader(tmp_path / "film.mkv")))
    assert got.coding == coding
    assert (got.rgb().int() - true[0].int()).abs().max() <= 3
    # What the network sees does not depend on chroma.
    plane(got.decoded, 1)[:] = 0
    assert got.lightness().shape == (1, 1, 32, 48)
    assert (got.lightness() - got.lightness().mean()).abs().max() > 0.1


def test_rgb_film_is_unpacked_without_losing_much(tmp_path):
    true = synthetic_clip(2, frames=1, size=(32, 48))[0]
    with av.open(str(tmp_path / "film.mkv"), "w") as out:
        video = out.add_stream("ffv1", rate=25)
        video.codec_context.width, video.codec_context.height, video.codec_context.pix_fmt = 48, 32, "bgr0"
        source = av.VideoFrame.from_ndarray(true.permute(1, 2, 0).contiguous().numpy(), "rgb24")
        out.mux(video.encode(source))
        out.mux(video.encode(None))
    frame = next(iter(VideoReader(tmp_path / "film.mkv")))
    assert (frame.rgb().int() - true.int()).abs().max() <= 4
    assert frame.coding.full_range


@pytest.mark.parametrize(
    ("suffix", "message"), [(".mp4", "does not decode"), (".mkv", "the container says 2.40 s")]
)
def test_damage_raises_or_is_noted(tmp_path, suffix, message):
    pts = tuple(range(0, 512 * 60, 512))
    film, broken = tmp_path / f"film{suffix}", tmp_path / f"broken{suffix}"
    make_film(film, codec="libx264", size=(64, 96), pts=pts, gop_size=5)
    data = bytearray(film.read_bytes())
    middle = len(data) // 2
    if suffix == ".mp4":
        data[middle : middle + 20_000] = bytes(20_000)
    else:
        del data[middle:]
    broken.write_bytes(data)
    with pytest.raises(VideoError, match="is damaged"):
        list(VideoReader(broken))
    reader = VideoReader(broken, strict=False)
    assert 20 < len(list(reader)) < 60
    assert any(message in line for line in reader.damage)
    whole = VideoReader(film, strict=False)
    assert (len(list(whole)), whole.damage) == (60, [])


def test_unreadable_files_give_one_line(tmp_path):
    (tmp_path / "text.mp4").write_text("not a film\n" * 50)
    (tmp_path / "empty.mp4").touch()
    make_film(tmp_path / "whole.mp4", codec="libx264", size=(64, 96))
    (tmp_path / "cut.mp4").write_bytes((tmp_path / "whole.mp4").read_bytes()[:2000])
    with av.open(str(tmp_path / "sound.mka"), "w") as out:
        sound = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        tone = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        tone.sample_rate = 8000
        out.mux(sound.encode(tone))
    for name, expected in (
        ("text.mp4", "not a readable video"),
        ("empty.mp4", "not a readable video"),
        ("cut.mp4", "not a readable video"),
        ("sound.mka", "no video stream, it holds audio"),
        ("gone.mp4", "does not exist"),
    ):
        with pytest.raises(VideoError, match=expected) as caught:
            VideoReader(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_nothing_imports_pyav_before_a_video_is_touched():
    for file in Path(ca_data.__file__).parent.glob("*.py"):
        for node in ast.parse(file.read_text()).body:
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(name == "av" or name.startswith("av.") for name in names), file.name


REAL = {
    "derived_bt601_tagged.mp4": (24, ("bt601", False, 8)),
    "derived_fullrange_bt709.mp4": (24, ("bt709", True, 8)),
    "derived_alpha_prores4444.mov": (20, ("bt601", False, 12)),
    "derived_odd_639x357_yuv444.mp4": (36, ("bt601", False, 8)),
    "real_vp9_10bit.webm": (72, ("bt2020", False, 10)),
    "real_newtonscradle.gif": (36, ("bt709", True, 8)),
    "real_short_36frames.mp4": (36, ("bt601", False, 8)),
}


@pytest.mark.parametrize("name", REAL)
def test_awkward_real_films_are_read(shared_data, name):
    count, (matrix, full, bits) = REAL[name]
    frames = list(VideoReader(shared_data / "media" / name))
    assert len(frames) == count
    coding = frames[0].coding
    assert (coding.matrix, coding.full_range, coding.bits) == (matrix, full, bits)
    assert all(a.pts < b.pts for a, b in pairwise(frames))


def test_real_rotation_and_streams_are_described(shared_data):
    info = probe(shared_data / "media" / "real_rotated_nasa.mp4")
    assert info.rotation == 90
    assert [stream.kind for stream in info.streams].count("audio") == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("derived_empty.mp4", "not a readable video"),
        ("derived_textfile.mp4", "not a readable video"),
        ("derived_truncated.mp4", "not a readable video"),
        ("derived_audio_only.mp4", "no video stream"),
        ("real_vp9_invalid_bitstream.webm", "no frames that can be decoded|cannot be decoded"),
    ],
)
def test_unreadable_real_files(shared_data, name, message):
    for strict in (True, False):
        with pytest.raises(VideoError, match=message):
            VideoReader(shared_data / "media" / name, strict=strict)
