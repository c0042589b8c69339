"""Video: exact luma and timestamps through reading and writing, tags, copied streams, and errors."""

import ast
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

import av
import ca_data
import numpy as np
import pytest
import torch
from ca_data import (
    VideoClip,
    VideoError,
    VideoReader,
    VideoWriter,
    chroma_to_codes,
    film_chroma,
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


def color(path: Path, out: Path, most: int = 60, **options: object) -> VideoWriter:
    reader = VideoReader(path)
    with VideoWriter(out, reader.info, **options) as writer:
        for frame in islice(reader, most):
            writer.write(frame, torch.full((1, 2, 7, 11), 0.2))
    return writer


def packets(path: Path, kind: str) -> list[tuple[float | None, bytes]]:
    with av.open(str(path)) as container:
        stream = next(stream for stream in container.streams if stream.type == kind)
        found = [packet for packet in container.demux(stream) if packet.size]
        return [(None if p.pts is None else float(p.pts * p.time_base), bytes(p)) for p in found]


@pytest.mark.parametrize("pix_fmt", ["yuv420p", "yuv422p10le", "yuv444p12le", "gray", "gray16le"])
@pytest.mark.parametrize("full", [False, True])
def test_luma_and_timestamps_survive_bit_exact(tmp_path, pix_fmt, full):
    lumas = make_film(tmp_path / "film.mkv", pix_fmt=pix_fmt, full=full)
    writer = color(tmp_path / "film.mkv", tmp_path / "out.mkv", codec="ffv1")
    frames = list(VideoReader(tmp_path / "out.mkv"))
    assert [frame.pts * frame.time_base for frame in frames] == [pts * BASE for pts in UNEVEN]
    for frame, luma in zip(frames, lumas, strict=True):
        assert np.array_equal(frame.luma.numpy(), luma)
        assert frame.chroma is not None
        assert frame.chroma[0].unique().numel() > 1
    assert frames[0].coding.full_range == full
    assert frames[0].coding.bits == writer.coding.bits
    assert writer.notes == []


@pytest.mark.parametrize("suffix", [".mp4", ".mkv", ".webm"])
def test_frames_and_times_are_kept_by_lossy_codecs_with_reordering(tmp_path, suffix):
    pts = tuple(range(0, 500 * 40, 500))
    make_film(tmp_path / "film.nut", pts=pts, size=(64, 96))
    writer = color(tmp_path / "film.nut", tmp_path / f"out{suffix}")
    frames = list(VideoReader(tmp_path / f"out{suffix}"))
    tick = frames[0].time_base
    assert len(frames) == 40
    assert all(abs(f.pts * tick - p * BASE) <= tick / 2 for f, p in zip(frames, pts, strict=True))
    assert bool(writer.notes) == (suffix != ".mp4")


def test_ten_bit_and_odd_sides_keep_their_storage(tmp_path):
    make_film(tmp_path / "ten.mkv", pix_fmt="yuv420p10le", size=(64, 96))
    assert color(tmp_path / "ten.mkv", tmp_path / "ten.mp4").pix_fmt == "yuv420p10le"
    make_film(tmp_path / "odd.mkv", size=(37, 53))
    assert color(tmp_path / "odd.mkv", tmp_path / "odd.mp4").pix_fmt == "yuv444p"
    assert probe(tmp_path / "odd.mp4").height == 37


def test_sound_is_copied_byte_for_byte_and_can_be_left_out(tmp_path):
    make_film(tmp_path / "film.mkv", audio=True)
    color(tmp_path / "film.mkv", tmp_path / "out.mkv", codec="ffv1")
    assert packets(tmp_path / "out.mkv", "audio") == packets(tmp_path / "film.mkv", "audio")
    color(tmp_path / "film.mkv", tmp_path / "mute.mkv", copy_streams=False)
    assert [stream.kind for stream in probe(tmp_path / "mute.mkv").streams] == ["video"]
    writer = color(tmp_path / "film.mkv", tmp_path / "out.webm")
    assert len(writer.notes) >= 1
    assert "audio stream 1 is left out" in writer.notes[0]


def test_tags_aspect_and_interlacing_are_carried_over(tmp_path):
    make_film(
        tmp_path / "film.mkv",
        size=(64, 96),
        codec="libx264",
        colorspace=9,
        color_primaries=9,
        color_trc=16,
        sample_aspect_ratio=Fraction(16, 15),
    )
    color(tmp_path / "film.mkv", tmp_path / "out.mp4")
    before, after = probe(tmp_path / "film.mkv"), probe(tmp_path / "out.mp4")
    assert before.tags == after.tags == (9, 1, 9, 16)
    assert after.sample_aspect_ratio == Fraction(16, 15)
    assert after.coding == YuvCoding(matrix="bt2020", primaries="bt2020", transfer="pq")


def test_luma_is_widened_when_a_deeper_storage_is_asked_for(tmp_path):
    lumas = make_film(tmp_path / "film.mkv")
    color(tmp_path / "film.mkv", tmp_path / "out.mkv", codec="ffv1", pix_fmt="yuv420p10le")
    first = next(iter(VideoReader(tmp_path / "out.mkv")))
    assert np.array_equal(first.luma.numpy(), np.minimum(lumas[0].astype(np.uint16) * 4, 1023))


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
    color(tmp_path / "film.mkv", tmp_path / "out.mp4")
    assert probe(tmp_path / "out.mp4").coding.full_range


def test_video_as_a_training_clip(tmp_path):
    make_film(tmp_path / "film.mkv")
    clip = VideoClip(tmp_path / "film.mkv")
    assert (len(clip), clip.name) == (6, "film")
    assert torch.equal(clip.read([4, 1, 4]), clip.read()[[4, 1, 4]])
    with pytest.raises(VideoError, match=r"frames 0\.\.5, got \[6\]"):
        clip.read([6])


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


def test_output_errors_leave_nothing_behind(tmp_path):
    make_film(tmp_path / "film.mkv")
    info = probe(tmp_path / "film.mkv")
    (tmp_path / "there.mkv").write_bytes(b"precious")
    for name, options, expected in (
        ("film.mkv", {"overwrite": True}, "is the source itself"),
        ("there.mkv", {}, "exists"),
        ("out.xyz", {}, "cannot be opened"),
        ("out.mp4", {"codec": "nonsense"}, "codec 'nonsense' is unknown"),
        ("out.mp4", {"pix_fmt": "nonsense"}, "pix_fmt 'nonsense' is unknown"),
        ("out.webm", {"codec": "libx264"}, "cannot hold libx264"),
    ):
        with pytest.raises(VideoError, match=expected):
            VideoWriter(tmp_path / name, info, **options)
    with pytest.raises(VideoError, match="received no frames"), VideoWriter(tmp_path / "none.mkv", info):
        pass
    frame = next(iter(VideoReader(tmp_path / "film.mkv")))
    with (
        pytest.raises(ValueError, match=r"shape \(2, 18, 26\).*got \(2, 5, 7\)"),
        VideoWriter(tmp_path / "half.mkv", info) as writer,
    ):
        writer.write_chroma(frame, torch.zeros(2, 5, 7, dtype=torch.int32))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film.mkv", "there.mkv"]
    assert (tmp_path / "there.mkv").read_bytes() == b"precious"


def test_name_appears_only_when_complete(tmp_path):
    make_film(tmp_path / "film.mkv")
    reader = VideoReader(tmp_path / "film.mkv")
    writer = VideoWriter(tmp_path / "sub" / "out.mkv", reader.info)
    for frame in reader:
        writer.write(frame, torch.zeros(1, 2, 5, 7))
    assert not writer.path.exists()
    writer.close()
    assert [path.name for path in (tmp_path / "sub").iterdir()] == ["out.mkv"]


def test_written_chroma_is_what_film_chroma_says(tmp_path):
    make_film(tmp_path / "film.mkv")
    ab = torch.rand(1, 2, 7, 11) - 0.5
    reader = VideoReader(tmp_path / "film.mkv")
    expected = []
    with VideoWriter(tmp_path / "out.mkv", reader.info, codec="ffv1") as writer:
        for frame in reader:
            expected.append(film_chroma(frame.luma_unit(), ab, writer.coding, writer.chroma_size))
            writer.write(frame, ab)
    for frame, codes in zip(VideoReader(tmp_path / "out.mkv"), expected, strict=True):
        assert frame.chroma is not None
        assert torch.equal(torch.stack(frame.chroma).int(), codes)


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


def test_real_rotation_and_copied_streams(shared_data, tmp_path):
    path = shared_data / "media" / "real_rotated_nasa.mp4"
    color(path, tmp_path / "out.mp4", most=5)
    before, after = probe(path), probe(tmp_path / "out.mp4")
    assert after.rotation == before.rotation == 90
    assert [s.kind for s in after.streams].count("audio") == 2
    assert len(after.streams) == len(before.streams)
    assert [data for _, data in packets(tmp_path / "out.mp4", "audio")] == [
        data for _, data in packets(path, "audio")
    ]


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
