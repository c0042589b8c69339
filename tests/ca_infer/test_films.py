"""Whole films: what goes in comes out, with colour."""

import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from ca_data import plane, rgb_to_lab
from ca_infer import ColorizeOptions, colorize
from ca_infer.cli import main
from ca_infer.outputs import VideoOutput
from ca_infer.rendering import Look
from ca_infer.video_film import VideoFilm
from PIL import Image
from torch import from_numpy

MakeFilm = Callable[..., Path]


def options(still: Path, weights: Path, **changes: object) -> ColorizeOptions:
    base = {
        "references": (still,),
        "weights": str(weights),
        "size": (48, 80),
        "device": "cpu",
        "find_cuts": False,
    }
    return ColorizeOptions(**{**base, **changes})  # type: ignore[arg-type]


def planes(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [[plane(frame, i).copy() for i in range(3)] for frame in container.decode(video=0)]


def packets(path: Path, kind: str) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.size]


def damage_second_half(path: Path) -> None:
    """Overwrite the coded pictures of the second half of an MP4 file, whose index stays."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for position, size in places[len(places) // 2 :]:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)


@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("storage", ["yuv420p", "yuv420p10le", "yuv444p"])
def test_luma_is_bit_exact_and_color_appears(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, storage: str, full: bool
) -> None:
    film = make_film(pixel_format=storage, full_range=full, timestamps=range(0, 3000, 1000))
    colorize(film, tmp_path / "out.mkv", options(still, weights))
    before, after = planes(film), planes(tmp_path / "out.mkv")
    assert len(before) == len(after) == 3
    for old, new in zip(before, after, strict=True):
        assert new[0].dtype == old[0].dtype
        assert np.array_equal(old[0], new[0])
        assert new[1].shape == old[1].shape
        assert np.ptp(new[1]) + np.ptp(new[2]) > 0
    assert VideoFilm(tmp_path / "out.mkv").format.coding.full_range is full
    assert VideoFilm(tmp_path / "out.mkv").format.pixel_format == storage


@pytest.mark.parametrize(
    ("ending", "codec"), [(".mp4", None), (".mov", None), (".nut", None), (".nut", "hevc")]
)
def test_every_timestamp_of_a_variable_rate_is_kept(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, ending: str, codec: str | None
) -> None:
    uneven = [400, 1401, 2600, 2601, 9007, 9008, 30011]
    film = make_film("film.nut", timestamps=uneven, time_base=Fraction(1, 30000))
    colorize(film, tmp_path / f"out{ending}", options(still, weights, segment=3, codec=codec))
    survey = VideoFilm(tmp_path / f"out{ending}").survey(find_cuts=False)
    base = VideoFilm(tmp_path / f"out{ending}").format.time_base
    assert [t * base for t in survey.timestamps] == [Fraction(t, 30000) for t in uneven]


def test_sound_tags_rotation_come_along(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path
) -> None:
    film = make_film(sound="pcm_s16le", rotation=90, title="A title")
    out = tmp_path / "out.mov"
    result = colorize(film, out, options(still, weights, codec="h264"))
    before, after = packets(film, "audio"), packets(out, "audio")
    # Containers cut PCM into pieces of their own size; the samples and their time are what counts.
    assert b"".join(data for data, _ in before) == b"".join(data for data, _ in after)
    assert before[0][1] == after[0][1] == 0
    assert result.copied == ["audio stream 1 (pcm_s16le)"]
    with av.open(str(out)) as container:
        assert container.metadata["title"] == "A title"
    assert VideoFilm(out).format.rotation == 90


@pytest.mark.parametrize("ending", [".mkv", ".mp4", ".mov"])
def test_sound_that_begins_before_the_film_moves_nothing(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, ending: str
) -> None:
    film = make_film("film.mp4", sound="aac", codec="libx264")
    out = tmp_path / f"out{ending}"
    colorize(film, out, options(still, weights))
    before, after = packets(film, "audio"), packets(out, "audio")
    assert before[0][1] < 0
    assert [data for data, _ in before] == [data for data, _ in after]
    # Matroska counts milliseconds.
    assert all(abs(a - b) <= Fraction(1, 1000) for (_, a), (_, b) in zip(before, after, strict=True))
    for path in (film, out):
        assert VideoFilm(path).survey(find_cuts=False).timestamps[0] == 0


def test_streams_can_be_left_out_and_unfit_ones_are_named(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(sound="pcm_s16le")
    common = ["--refs", str(still), "--weights", str(weights), "--size", "80x48", "--cuts", "none"]
    assert main(["colorize", str(film), *common, "-o", str(tmp_path / "a.mov"), "--no-copy-audio"]) == 0
    assert main(["colorize", str(film), *common, "-o", str(tmp_path / "b.webm")]) == 0
    assert "audio stream 1 (pcm_s16le) is left out: .webm" in capsys.readouterr().err
    for name in ("a.mov", "b.webm"):
        with av.open(str(tmp_path / name)) as container:
            assert not container.streams.audio


@pytest.mark.parametrize("ending", [".mp4", ""])
def test_interrupted_work_goes_on_to_the_same_bytes(
    make_film: MakeFilm,
    still: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    ending: str,
) -> None:
    film = make_film(timestamps=range(0, 9000, 1000))
    work = options(still, weights, segment=2)
    whole, broken = tmp_path / f"whole{ending}", tmp_path / f"broken{ending}"
    colorize(film, whole, work)
    if ending:
        _stop_after(5, monkeypatch, lambda: colorize(film, broken, work))
        assert not broken.exists()
        assert len(list(broken.with_name("broken.mp4.partial").glob("*.packets"))) == 2
    colorize(film, broken, work)
    files = [whole] if ending else sorted(whole.iterdir())
    for file in files:
        other = broken if ending else broken / file.name
        assert file.read_bytes() == other.read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_a_changed_option_starts_afresh_and_says_so(
    make_film: MakeFilm,
    still: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    film = make_film()
    common = ["colorize", str(film), "--refs", str(still), "--weights", str(weights), "--size", "80x48"]
    common += ["-o", str(tmp_path / "out.mkv"), "--cuts", "none", "--segment", "2"]
    _stop_after(
        3, monkeypatch, lambda: colorize(film, tmp_path / "out.mkv", options(still, weights, segment=2))
    )
    assert main([*common, "--saturation", "0.5"]) == 0
    assert "starting afresh: " in capsys.readouterr().err


def _stop_after(pictures: int, monkeypatch: pytest.MonkeyPatch, call: Callable[[], object]) -> None:
    """Run something that is interrupted when so many pictures have been encoded."""
    true_add, count = VideoOutput.add, 0

    def add(self: VideoOutput, *arguments: object) -> None:
        nonlocal count
        if count == pictures:
            raise KeyboardInterrupt
        count += 1
        true_add(self, *arguments)  # type: ignore[arg-type]

    with monkeypatch.context() as patch:
        patch.setattr(VideoOutput, "add", add)
        with pytest.raises(KeyboardInterrupt):
            call()


def test_folder_of_frames_keeps_lightness(
    frames_folder: Path, clip: np.ndarray, still: Path, weights: Path, tmp_path: Path
) -> None:
    out = tmp_path / "colored"
    colorize(frames_folder, out, options(still, weights, look=Look(saturation=0.1)))
    assert sorted(p.name for p in out.iterdir()) == [f"{i:05d}.png" for i in range(len(clip))]
    for index in (0, 7):
        colored = np.asarray(Image.open(out / f"{index:05d}.png"))
        new, old = (rgb_to_lab(from_numpy(x.copy()).permute(2, 0, 1)) for x in (colored, clip[index]))
        # Faint colours do not leave the gamut, so only 8-bit rounding may move L.
        assert (new[0] - old[0]).abs().max() < 1.0
        assert not np.array_equal(colored, clip[index])


def test_dated_reference_comes_out_in_its_own_colors(
    frames_folder: Path, clip: np.ndarray, weights: Path, tmp_path: Path
) -> None:
    dated = tmp_path / "shot_000004.png"
    Image.fromarray(clip[4]).save(dated)
    colorize(frames_folder, tmp_path / "out", options(dated, weights))
    colored = np.asarray(Image.open(tmp_path / "out" / "00004.png")).astype(int)
    assert np.abs(colored - clip[4]).max() <= 1


def test_a_dated_reference_colors_what_comes_before_it(
    frames_folder: Path,
    clip: np.ndarray,
    still: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dated = tmp_path / "shot_000008.png"
    # The other way round in colour, so that its influence cannot be missed.
    Image.fromarray(clip[8][..., ::-1].copy()).save(dated)
    work = options(still, weights, references=(still, dated), cuts=(3,))
    colorize(frames_folder, tmp_path / "blended", work)
    with monkeypatch.context() as patch:
        patch.setattr("ca_infer.coloring.backward_windows", lambda *_: [])
        colorize(frames_folder, tmp_path / "forward", work)

    def changed(index: int) -> bool:
        files = [tmp_path / kind / f"{index:05d}.png" for kind in ("blended", "forward")]
        return files[0].read_bytes() != files[1].read_bytes()

    # From the cut to the reference, and nowhere else.
    assert [index for index in range(11) if changed(index)] == [3, 4, 5, 6, 7]


def test_a_folder_becomes_a_video_and_a_video_a_folder(
    frames_folder: Path, make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path
) -> None:
    video = tmp_path / "out.mp4"
    colorize(frames_folder, video, options(still, weights, rate=Fraction(30000, 1001)))
    film = VideoFilm(video)
    assert len(film.survey(find_cuts=False)) == 11
    assert film.format.rate == pytest.approx(30000 / 1001, abs=0.01)
    colorize(make_film(pixel_format="yuv420p10le"), tmp_path / "still", options(still, weights, png_depth=16))
    files = sorted((tmp_path / "still").iterdir())
    assert [file.name for file in files][:2] == ["frame_000000.png", "frame_000001.png"]
    with av.open(str(files[0])) as container:
        assert next(container.decode(video=0)).format.name == "rgb48be"


def test_damaged_film_is_colored_as_far_as_it_decodes(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.mp4"
    colorize(make_film(timestamps=range(0, 12000, 1000)), film, options(still, weights, segment=2))
    damage_second_half(film)
    out = tmp_path / "out.mp4"
    code = main(
        [
            "colorize",
            str(film),
            "--refs",
            str(still),
            "--weights",
            str(weights),
            "--size",
            "80x48",
            "-o",
            str(out),
        ]
    )
    assert code == 3
    assert "did not decode" in capsys.readouterr().err
    assert 6 <= len(planes(out)) < 12


def test_cuts_restart_the_network(make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path) -> None:
    film = make_film()
    result = colorize(film, tmp_path / "cut.mkv", options(still, weights, cuts=(4,)))
    colorize(film, tmp_path / "one.mkv", options(still, weights))
    assert result.shots == 2
    cut, one = planes(tmp_path / "cut.mkv"), planes(tmp_path / "one.mkv")
    assert all(np.array_equal(cut[i][1], one[i][1]) for i in range(4))
    assert not np.array_equal(cut[4][1], one[4][1])


ENCODE = """
import hashlib, sys
from pathlib import Path
import numpy as np
from ca_infer.encoding import choose_encoding, fill_frame, open_encoder
from ca_infer.session import open_film
film = open_film(Path(sys.argv[1]))
encoding = choose_encoding(film.format, Path("out.mp4"))
encoder, digest = open_encoder(encoding, film.format), hashlib.sha256()
encoder.open(strict=False)
gray = np.full([side // 2 for side in film.format.size], 128, np.uint8)
for picture in film.pictures():
    for packet in encoder.encode(fill_frame(picture, (gray, gray), encoding, film.format)):
        digest.update(bytes(packet))
for packet in encoder.encode(None):
    digest.update(bytes(packet))
print(encoding.codec, digest.hexdigest())
"""


def test_coded_bytes_do_not_depend_on_what_memory_held_before(make_film: MakeFilm) -> None:
    """glibc fills fresh memory as MALLOC_PERTURB_ says; an encoder that reads it unwritten gives itself away."""
    film = make_film(timestamps=range(0, 36000, 1000), size=(240, 320))
    told = [
        subprocess.run(
            [sys.executable, "-c", ENCODE, str(film)],
            env={**os.environ, "MALLOC_PERTURB_": fill},
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for fill in ("17", "85")
    ]
    assert told[0].startswith("libx264 ")
    assert told[0] == told[1]
