"""Paths that are in the way, go away, or change while a film is coloured."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ca_data import write_frames
from ca_film import ColorizeOptions, FilmError, Progress, colorize


@pytest.fixture
def options(still: Path, weights: Path) -> Callable[..., ColorizeOptions]:
    def make(**changes: object) -> ColorizeOptions:
        values = {"references": still, "weights": str(weights), "size": (48, 80), "device": "cpu", "cuts": ()}
        return ColorizeOptions(**{**values, **changes})  # type: ignore[arg-type]

    return make


class During(Progress):
    """Does something once the network is at work."""

    def __init__(self, act: Callable[[], object]) -> None:
        self.act, self.coloring, self.done = act, False, False

    def stage(self, name: str, total: int | None) -> None:
        del total
        self.coloring = name == "colouring"

    def advance(self, count: int = 1) -> None:
        if self.coloring and count and not self.done:
            self.done = True
            self.act()


def refused(text: str, *call: object) -> None:
    with pytest.raises(FilmError, match=text) as caught:
        colorize(*call)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("change", [Path.unlink, lambda film: film.write_bytes(film.read_bytes() + b"x")])
def test_a_film_that_is_replaced_or_removed_midway_is_not_published(
    change: Callable[[Path], object],
    make_film: Callable[..., Path],
    options: Callable[..., ColorizeOptions],
    tmp_path: Path,
) -> None:
    film, out = make_film(), tmp_path / "out.mp4"
    whole = film.read_bytes()
    refused("changed, or went away", film, out, options(), During(lambda: change(film)))
    assert not out.exists()
    film.write_bytes(whole)
    colorize(film, out, options())


def test_a_still_that_is_removed_midway_is_named(
    make_film: Callable[..., Path], still: Path, options: Callable[..., ColorizeOptions], tmp_path: Path
) -> None:
    copy = tmp_path / "still_000001.png"
    shutil.copy(still, copy)
    refused(
        "still_000001.png", make_film(), tmp_path / "o.mp4", options(references=copy), During(copy.unlink)
    )
    assert not (tmp_path / "o.mp4").exists()


def test_an_output_folder_that_is_deleted_midway_is_one_line(
    make_film: Callable[..., Path], options: Callable[..., ColorizeOptions], tmp_path: Path
) -> None:
    out = tmp_path / "deep" / "out.mp4"
    refused(
        "cannot be written", make_film(), out, options(segment=1), During(lambda: shutil.rmtree(out.parent))
    )
    colorize(make_film(), out, options(segment=1))
    assert out.exists()


def test_a_still_in_the_output_folder_is_not_destroyed(
    still: Path, options: Callable[..., ColorizeOptions], tmp_path: Path
) -> None:
    film = write_frames(torch.zeros(2, 3, 48, 80, dtype=torch.uint8), tmp_path / "film")
    (tmp_path / "out").mkdir()
    inside = shutil.copy(still, tmp_path / "out" / "00000.png")
    before = Path(inside).read_bytes()
    refused("lies in the output folder", film, tmp_path / "out", options(references=inside, overwrite=True))
    assert Path(inside).read_bytes() == before


def test_frames_of_one_name_are_refused_before_the_work(
    options: Callable[..., ColorizeOptions], tmp_path: Path
) -> None:
    film = write_frames(torch.zeros(2, 3, 48, 80, dtype=torch.uint8), tmp_path / "film")
    shutil.copy(film / "00000.png", film / "00000.jpg")
    refused("would be one frame in the output", film, tmp_path / "out", options())


@pytest.mark.parametrize(
    ("name", "text"),
    [("x" * 230 + ".mp4", "has 234 bytes"), (os.fsdecode(b"caf\xe9.mp4"), "not UTF-8")],
)
def test_names_that_cannot_be_written(
    name: str,
    text: str,
    make_film: Callable[..., Path],
    options: Callable[..., ColorizeOptions],
    tmp_path: Path,
) -> None:
    refused(text, make_film(), tmp_path / name, options())


def test_devices_and_reports_of_somebody_else(
    make_film: Callable[..., Path], options: Callable[..., ColorizeOptions], tmp_path: Path
) -> None:
    refused("no regular file", make_film(), "/dev/null", options())
    report = tmp_path / "out.mp4.coverage.html"
    report.write_text("<p>years of work")
    refused("not of ColorAlign", make_film(), tmp_path / "out.mp4", options(report=True))
    assert report.read_text() == "<p>years of work"
    colorize(make_film(), tmp_path / "out.mp4", options(report=True, overwrite=True))
    colorize(make_film(), tmp_path / "out.mp4", options(report=True, overwrite=True))
    assert "ColorAlign" in report.read_text()


def test_files_that_are_there_stay_in_an_output_folder(
    options: Callable[..., ColorizeOptions], tmp_path: Path
) -> None:
    film = write_frames(torch.zeros(3, 3, 48, 80, dtype=torch.uint8), tmp_path / "film")
    out = tmp_path / "out"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    colorize(film, out, options(overwrite=True))
    assert sorted(path.name for path in out.iterdir()) == ["00000.png", "00001.png", "00002.png", "notes.txt"]
    assert sorted(path.name for path in tmp_path.iterdir() if "out" in path.name) == ["out"]
