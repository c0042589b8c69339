"""Many films: names, lists, the queue on disk, and what a kill, a dead worker or a broken film leaves."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ca_film import Cancelled, ColorizeOptions, FilmError, colorize
from ca_film.batch import (
    BatchFilm,
    BatchProgress,
    BatchRecord,
    Entry,
    Watch,
    color_batch,
    find_films,
    parse_devices,
    read_film_list,
)

MakeFilm = Callable[..., Path]


@pytest.fixture
def options(still: Path, weights: Path) -> ColorizeOptions:
    return ColorizeOptions(str(still), str(weights), (48, 80), "cpu", cuts=(), segment=2)


def films_of(paths: list[Path], options: ColorizeOptions) -> list[BatchFilm]:
    return find_films([str(path) for path in paths], options)


def bytes_of(film: Path, out: Path, options: ColorizeOptions) -> bytes:
    colorize(film, out, options)
    return out.read_bytes()


def test_films_are_found_in_folders_and_taken_once(tmp_path: Path, frames_folder: Path) -> None:
    library = tmp_path / "library"
    (library / "deeper").mkdir(parents=True)
    for name in ("b.mkv", "a.AVI", "notes.txt", ".hidden.mkv", "deeper/c.mkv", "d.mkv.part"):
        (library / name).touch()
    (library / "frames").symlink_to(frames_folder)
    found = find_films([library, library / "b.mkv", frames_folder], ColorizeOptions())
    assert [film.name for film in found] == ["a.mp4", "b.mkv", "frames", "frames"]
    with pytest.raises(FilmError, match="holds neither frames nor films"):
        find_films([library / "deeper" / ".." / "deeper", tmp_path], ColorizeOptions())


def test_stills_of_a_films_name_are_for_that_film_alone(tmp_path: Path) -> None:
    stills = tmp_path / "stills"
    for name in ("one", "two.mkv"):
        (stills / name).mkdir(parents=True)
    (stills / "three.toml").touch()
    shared = tmp_path / "shared.png"
    options = ColorizeOptions((stills, shared))
    for name in ("one.mkv", "two.mkv", "three.mkv", "four.mkv"):
        (tmp_path / name).touch()
    found = find_films([tmp_path / f"{name}.mkv" for name in ("one", "two", "three", "four")], options)
    own = [film.options.stills for film in found]
    assert [one[0].name for one in own] == ["one", "two.mkv", "three.toml", "stills"]
    assert all(one[1] == shared for one in own)


def test_a_list_names_films_references_and_options(tmp_path: Path) -> None:
    path = tmp_path / "films.toml"
    path.write_text(
        '[options]\nsize = "320x192"\nsaturation = 0.5\ncuts = [10, 20]\n'
        '[[film]]\nfilm = "a.avi"\nreferences = ["a/", "b.png"]\nout = "first.mkv"\n'
        '[[film]]\nfilm = "c.mkv"\noptions = { crf = 20, saturation = 1, rate = "24000/1001" }\n'
    )
    first, second = read_film_list(path, ColorizeOptions("shared.png", codec="ffv1"))
    assert (first.source, first.name) == (str(tmp_path / "a.avi"), "first.mkv")
    assert first.options.stills == (tmp_path / "a", tmp_path / "b.png")
    assert (first.options.size, first.options.look.saturation, first.options.cuts) == (
        (192, 320),
        0.5,
        (10, 20),
    )
    assert second.options.stills == (Path("shared.png"),)
    assert (second.options.codec, second.options.crf, second.options.look.saturation) == ("ffv1", 20, 1)
    assert float(second.options.rate) == pytest.approx(23.976, abs=1e-3)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("x = [", "is no TOML"),
        ("[[still]]\nfile = 'a'", "must hold \\[\\[film\\]\\] entries"),
        ("[[film]]\npath = 'a'", "film 1: expected a film"),
        ("[[film]]\nfilm = 'a'\nreferences = 'b'", "references must be a list"),
        ("[[film]]\nfilm = 'a'\nout = '../b.mp4'", "out must be a name without folders"),
        ("[[film]]\nfilm = 'a'\noptions = {colour = 1}", "options must be of .* got colour"),
        ("[[film]]\nfilm = 'a'\noptions = {crf = true}", "option crf must be int, got True"),
        ("[[film]]\nfilm = 'a'\noptions = {rate = 'fast'}", "film 1: "),
        ("[[film]]\nfilm = 'a'\noptions = {size = 'big'}", "film 1: size"),
        ("[[film]]\nfilm = 'a'\noptions = {png_depth = 9}", "film 1: `png_depth` must be 8 or 16"),
    ],
)
def test_a_wrong_list_is_one_line(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "films.toml"
    path.write_text(text)
    with pytest.raises(FilmError, match=said):
        read_film_list(path, ColorizeOptions())


def test_names_stay_and_are_never_shared(tmp_path: Path) -> None:
    films = [BatchFilm(f"{reel}/film.mkv", ColorizeOptions(), "film.mkv") for reel in "abc"]
    with BatchRecord(tmp_path / "out") as record:
        assert [entry.out for entry in record.add(films[:2])] == ["film.mkv", "film-2.mkv"]
    with BatchRecord(tmp_path / "out") as record:
        assert [entry.out for entry in record.add(films[::-1])] == ["film-3.mkv", "film-2.mkv", "film.mkv"]


def test_the_record_is_held_by_one_batch_and_replaces_nothing_of_others(tmp_path: Path) -> None:
    with BatchRecord(tmp_path), pytest.raises(FilmError, match="another batch is at work"):
        BatchRecord(tmp_path)
    (tmp_path / "batch.json").write_text('{"mine": 1}')
    with pytest.raises(FilmError, match="is no record of a batch"):
        BatchRecord(tmp_path)
    assert (tmp_path / "batch.json").read_text() == '{"mine": 1}'


def test_devices() -> None:
    assert [place.device for place in parse_devices("cpu,cpu:2")] == ["cpu"] * 3
    assert parse_devices("cpu:2")[0].threads >= 1
    assert len(parse_devices("auto")) >= 1
    for wrong in ("cpu:0", "cpu:x", "gpu9", "cpu,"):
        with pytest.raises(FilmError, match="`device"):
            parse_devices(wrong)


def test_a_watched_film_is_taken_when_it_no_longer_changes(tmp_path: Path) -> None:
    now = 0.0
    watch = Watch(tmp_path, ColorizeOptions(), settle=10, clock=lambda: now)
    film = tmp_path / "film.mkv"
    film.write_bytes(b"first")
    assert watch() == []
    now = 9.0
    film.write_bytes(b"first and second")
    assert watch() == []
    now = 18.0
    assert watch() == []
    now = 19.5
    assert [found.name for found in watch()] == ["film.mkv"]
    now = 60.0
    assert watch() == []
    with pytest.raises(FilmError, match="is no folder"):
        Watch(film, ColorizeOptions())


class Ended(BatchProgress):
    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def ended(self, entry: Entry) -> None:
        self.entries.append(entry)


class KillWorkerOnce(Ended):
    """Kills the process that colours, once, in mid-film."""

    killed = 0

    def working(self, _film: str, share: float, _frames: int) -> None:
        if share > 0.2 and not self.killed:
            for child in multiprocessing.active_children():
                os.kill(child.pid or 0, signal.SIGKILL)
            self.killed += 1


def test_a_broken_film_and_a_dead_worker_stop_nothing(
    make_film: MakeFilm, options: ColorizeOptions, tmp_path: Path
) -> None:
    (tmp_path / "broken.mkv").write_bytes(b"no film")
    films = [
        tmp_path / "broken.mkv",
        make_film("a.mkv"),
        make_film("b.mkv", timestamps=range(0, 40000, 1000)),
    ]
    progress, out = KillWorkerOnce(), tmp_path / "out"
    with BatchRecord(out) as record:
        entries = color_batch(record, films_of(films, options), parse_devices("cpu"), progress)
    assert progress.killed == 1
    assert [entry.state for entry in entries] == ["failed", "done", "done"]
    assert "is not a readable video" in entries[0].line
    assert sorted(path.name for path in out.iterdir()) == [".batch.lock", "a.mkv", "b.mkv", "batch.json"]
    for film in films[1:]:
        assert (out / film.name).read_bytes() == bytes_of(film, tmp_path / "one" / film.name, options)
    # What is done is not done again, what failed is; nothing computes, since the one film left is broken.
    before = {path: path.stat().st_mtime_ns for path in out.glob("*.mkv")}
    again = Ended()
    with BatchRecord(out) as record:
        color_batch(record, films_of(films, options), parse_devices("cpu"), again)
    assert [entry.state for entry in again.entries] == ["done", "done", "failed"]
    assert {path: path.stat().st_mtime_ns for path in out.glob("*.mkv")} == before
    # Other options: the output that is there stays, and the film fails in one line.
    with BatchRecord(out) as record:
        (entry,) = record.add(films_of(films[1:2], replace(options, crf=3)))
    assert (entry.state, entry.out) == ("waiting", "a.mkv")


class StopAt(BatchProgress):
    stop = False

    def working(self, _film: str, share: float, _frames: int) -> None:
        self.stop = share > 0.2

    def cancelled(self) -> bool:
        return self.stop


def test_a_cancelled_batch_goes_on(make_film: MakeFilm, options: ColorizeOptions, tmp_path: Path) -> None:
    film, out = make_film("a.mkv", timestamps=range(0, 60000, 1000)), tmp_path / "out"
    with BatchRecord(out) as record, pytest.raises(Cancelled):
        color_batch(record, films_of([film], options), parse_devices("cpu"), StopAt())
    assert (out / "a.mkv.partial").is_dir()
    assert json.loads((out / "batch.json").read_text())["films"][0]["state"] == "waiting"
    with BatchRecord(out) as record:
        (entry,) = color_batch(record, films_of([film], options), parse_devices("cpu"))
    assert entry.state == "done"
    assert (out / "a.mkv").read_bytes() == bytes_of(film, tmp_path / "one.mkv", options)


BATCH = """
import sys
from pathlib import Path
from ca_film import ColorizeOptions
from ca_film.batch import BatchRecord, color_batch, find_films, parse_devices
if __name__ == "__main__":
    film, still, weights, out = sys.argv[1:]
    options = ColorizeOptions(still, weights, (48, 80), "cpu", cuts=(), segment=2)
    with BatchRecord(Path(out)) as record:
        color_batch(record, find_films([film], options), parse_devices("cpu"))
"""


@pytest.mark.slow
def test_a_killed_batch_goes_on(
    make_film: MakeFilm, options: ColorizeOptions, still: Path, weights: Path, tmp_path: Path
) -> None:
    film, out, program = (
        make_film("a.mkv", timestamps=range(0, 90000, 1000)),
        tmp_path / "out",
        tmp_path / "b.py",
    )
    program.write_text(BATCH)
    typed = [sys.executable, str(program), *map(str, (film, still, weights, out))]
    process = subprocess.Popen(typed)
    deadline = time.monotonic() + 240
    while len(list(out.glob("a.mkv.partial/*.packets"))) < 2:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.kill()
    process.wait()
    subprocess.run(typed, check=True)
    assert (out / "a.mkv").read_bytes() == bytes_of(film, tmp_path / "one.mkv", options)
    assert not list(out.glob("*.partial"))
