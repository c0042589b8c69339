"""Whole films: what goes in comes out, with colour."""

import os
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from importlib import import_module
from pathlib import Path

import av
import numpy as np
import pytest
from ca_data import plane, rgb_to_lab
from ca_film import Cancelled, ColorizeOptions, Look, Progress, StreamChoice, colorize
from ca_film.source.folder import FolderFilm
from ca_film.source.survey import survey_film
from ca_film.source.video import VideoFilm
from PIL import Image
from torch import from_numpy

MakeFilm = Callable[..., Path]


def options(still: Path, weights: Path, **changes: object) -> ColorizeOptions:
    base = {
        "references": (still,),
        "weights": str(weights),
        "size": (48, 80),
        "device": "cpu",
        "cuts": (),
    }
    return ColorizeOptions(**{**base, **changes})  # type: ignore[arg-type]


def planes(path: Path) -> list[list[np.ndarray]]:
    with av.open(str(path)) as container:
        return [[plane(frame, i).copy() for i in range(3)] for frame in container.decode(video=0)]


def packets(path: Path, kind: str) -> list[tuple[bytes, Fraction]]:
    with av.open(str(path)) as container:
        stream = getattr(container.streams, kind)[0]
        return [(bytes(p), p.pts * p.time_base) for p in container.demux(stream) if p.size]


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
    survey = survey_film(VideoFilm(tmp_path / f"out{ending}"), cuts=())
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
        assert survey_film(VideoFilm(path), cuts=()).timestamps[0] == 0


def test_streams_can_be_left_out_and_unfit_ones_are_named(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path
) -> None:
    film = make_film(sound="pcm_s16le")
    colorize(film, tmp_path / "a.mov", options(still, weights, streams=StreamChoice(audio=False)))
    result = colorize(film, tmp_path / "b.webm", options(still, weights))
    assert any(note.startswith("audio stream 1 (pcm_s16le) is left out: .webm") for note in result.notes)
    for name in ("a.mov", "b.webm"):
        with av.open(str(tmp_path / name)) as container:
            assert not container.streams.audio


class Stop(Progress):
    """Cancels when so many frames have been coloured, or raises an error of its own."""

    def __init__(self, frames: int, error: BaseException | None = None) -> None:
        self.left, self.error = frames, error
        self.coloring = False
        self.lines: list[str] = []

    def stage(self, name: str, total: int | None) -> None:  # noqa: ARG002
        self.coloring = name == "colouring"

    def advance(self, count: int = 1) -> None:
        self.left -= count * self.coloring
        if self.error is not None and self.left == 0:
            raise self.error

    def note(self, line: str) -> None:
        self.lines.append(line)

    def cancelled(self) -> bool:
        return self.left == 0


@pytest.mark.parametrize("ending", [".mp4", ""])
def test_interrupted_work_goes_on_to_the_same_bytes(
    make_film: MakeFilm,
    still: Path,
    weights: Path,
    tmp_path: Path,
    ending: str,
) -> None:
    film = make_film(timestamps=range(0, 9000, 1000))
    work = options(still, weights, segment=2)
    whole, broken = tmp_path / f"whole{ending}", tmp_path / f"broken{ending}"
    colorize(film, whole, work)
    with pytest.raises(Cancelled, match="the same call goes on"):
        colorize(film, broken, work, Stop(5))
    with pytest.raises(ZeroDivisionError):
        colorize(film, broken, work, Stop(7, ZeroDivisionError()))
    assert not broken.exists()
    kept = list(broken.with_name(f"{broken.name}.partial").glob("*.packets" if ending else "*.done"))
    assert len(kept) == 3
    colorize(film, broken, work)
    files = [whole] if ending else sorted(whole.iterdir())
    for file in files:
        other = broken if ending else broken / file.name
        assert file.read_bytes() == other.read_bytes()
    assert not list(tmp_path.glob("*.partial"))


def test_two_films_at_a_time_give_what_each_gives_alone(
    frames_folder: Path, still: Path, weights: Path, tmp_path: Path
) -> None:
    outs = [tmp_path / f"{name}.mkv" for name in ("one", "two", "alone")]
    work = options(still, weights, codec="ffv1")
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(lambda out: colorize(str(frames_folder), str(out), work), outs[:2]))
    colorize(frames_folder, outs[2], work)
    assert outs[0].read_bytes() == outs[1].read_bytes() == outs[2].read_bytes()


def test_a_changed_option_starts_afresh_and_says_so(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path
) -> None:
    film, out = make_film(), tmp_path / "out.mkv"
    with pytest.raises(Cancelled):
        colorize(film, out, options(still, weights, segment=2), Stop(3))
    listener = Stop(-1)
    colorize(film, out, options(still, weights, segment=2, look=Look(saturation=0.5)), listener)
    assert listener.lines == ["starting afresh: colour changed since the unfinished work was made"]


def test_a_walk_can_be_cancelled(frames_folder: Path) -> None:
    class AtOnce(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        survey_film(FolderFilm(frames_folder), progress=AtOnce())


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


def test_an_anchored_reference_comes_out_in_its_own_colors(
    frames_folder: Path, clip: np.ndarray, weights: Path, tmp_path: Path
) -> None:
    anchored = tmp_path / "shot_000004.png"
    Image.fromarray(clip[4]).save(anchored)
    colorize(frames_folder, tmp_path / "out", options(anchored, weights))
    colored = np.asarray(Image.open(tmp_path / "out" / "00004.png")).astype(int)
    assert np.abs(colored - clip[4]).max() <= 1


def test_an_anchored_reference_colors_what_comes_before_it(
    frames_folder: Path,
    clip: np.ndarray,
    still: Path,
    weights: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    anchored = tmp_path / "shot_000008.png"
    # The other way round in colour, so that its influence cannot be missed.
    Image.fromarray(clip[8][..., ::-1].copy()).save(anchored)
    work = options(still, weights, references=(still, anchored), cuts=(3,))
    colorize(frames_folder, tmp_path / "blended", work)
    with monkeypatch.context() as patch:
        patch.setattr(import_module("ca_film.colorize"), "backward_windows", lambda *_: [])
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
    assert len(survey_film(film, cuts=())) == 11
    assert film.format.rate == pytest.approx(30000 / 1001, abs=0.01)
    colorize(make_film(pixel_format="yuv420p10le"), tmp_path / "still", options(still, weights, png_depth=16))
    files = sorted((tmp_path / "still").iterdir())
    assert [file.name for file in files][:2] == ["frame_000000.png", "frame_000001.png"]
    with av.open(str(files[0])) as container:
        assert next(container.decode(video=0)).format.name == "rgb48be"


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
from ca_film.output.encoding import choose_encoding, fill_frame, open_encoder
from ca_film import open_film
film = open_film(Path(sys.argv[1]))
encoding = choose_encoding(film.format, Path("out.mp4"))
encoder, digest = open_encoder(encoding, film.format), hashlib.sha256()
encoder.open(strict=False)
gray = np.full([side // 2 for side in film.format.size], 128, np.uint8)
for frame in film.frames():
    for packet in encoder.encode(fill_frame(frame, (gray, gray), encoding, film.format)):
        digest.update(bytes(packet))
for packet in encoder.encode(None):
    digest.update(bytes(packet))
print(encoding.codec, digest.hexdigest())
"""


@pytest.mark.slow  # every encoder in processes of their own
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
