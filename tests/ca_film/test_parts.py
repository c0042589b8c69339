"""A film in parts, made in any order and by several openings of it: the bytes of one that was made in one go."""

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ca_film import ColorizeOptions, FilmError, Progress, colorize
from ca_film.network.runs import plan_runs
from ca_film.parts import FilmParts, Part
from ca_film.source.survey import survey_film
from ca_film.source.video import VideoFilm
from PIL import Image

MakeFilm = Callable[..., Path]


@pytest.fixture
def options(still: Path, weights: Path) -> ColorizeOptions:
    return ColorizeOptions(
        str(still), str(weights), (48, 80), "cpu", cuts=(4, 8, 10), segment=3, codec="ffv1"
    )


@pytest.fixture
def dated(clip: np.ndarray, tmp_path: Path) -> Path:
    """Stills of frames 0, 5 and 10."""
    folder = tmp_path / "dated"
    folder.mkdir()
    for number in (0, 5, 10):
        Image.fromarray(clip[number]).save(folder / f"still_{number:06d}.png")
    return folder


class Counted(Progress):
    frames = 0

    def advance(self, count: int = 1) -> None:
        self.frames += count


def make_in_parts(source: Path, out: Path, options: ColorizeOptions) -> list[Part]:
    """Colour each part by an opening of its own, in an order of chance."""
    parts = FilmParts().outline(source, out, options, Progress()).parts
    for group in ([part for part in parts if part.backward], [part for part in parts if not part.backward]):
        for part in random.Random(1).sample(group, len(group)):
            counted = Counted()
            FilmParts().color(source, out, options, part, counted)
            assert counted.frames == part.missing
    assert FilmParts().outline(source, out, options, Progress()).parts == []
    FilmParts().finish(source, out, options, Progress())
    return parts


def test_a_film_in_parts(make_film: MakeFilm, options: ColorizeOptions, tmp_path: Path) -> None:
    film = make_film("film.mkv", timestamps=range(0, 12000, 1000))
    parts = make_in_parts(film, tmp_path / "parts.mkv", options)
    assert [(part.start, part.stop) for part in parts] == [(0, 4), (4, 8), (8, 10), (10, 12)]
    colorize(film, tmp_path / "whole.mkv", options)
    assert (tmp_path / "parts.mkv").read_bytes() == (tmp_path / "whole.mkv").read_bytes()
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("cut", [False, True])
def test_frames_coloured_from_both_sides(
    frames_folder: Path, dated: Path, options: ColorizeOptions, tmp_path: Path, cut: bool
) -> None:
    options = replace(options, references=(dated,), cuts=(), cut_at_stills=cut)
    parts = make_in_parts(frames_folder, tmp_path / "parts", options)
    forward = [(part.start, part.stop) for part in parts if not part.backward]
    assert forward == ([(0, 5), (5, 11)] if cut else [(0, 11)])
    assert sum(part.missing for part in parts if part.backward) == 10
    colorize(frames_folder, tmp_path / "whole", options)
    for file in (tmp_path / "whole").iterdir():
        assert (tmp_path / "parts" / file.name).read_bytes() == file.read_bytes()


def test_a_film_that_changed_is_not_finished(
    make_film: MakeFilm, options: ColorizeOptions, tmp_path: Path
) -> None:
    film, out = make_film("film.mkv"), tmp_path / "out.mkv"
    parts = FilmParts()
    (first, *_) = parts.outline(film, out, options, Progress()).parts
    parts.color(film, out, options, first, Progress())
    make_film("film.mkv", timestamps=range(0, 9000, 1000))
    with pytest.raises(FilmError, match="input differs"):
        parts.finish(film, out, options, Progress())
    assert not out.exists()


@pytest.mark.parametrize("codec", ["ffv1", "libx264"])
def test_frames_found_by_seeking_are_the_same(make_film: MakeFilm, codec: str) -> None:
    path = make_film("film.mkv", timestamps=range(0, 60000, 1000), codec=codec)
    checks = survey_film(VideoFilm(path), (), checked=True).checks
    plain = list(VideoFilm(path).frames())
    film = VideoFilm(path)
    film.seek_by(checks)
    for start in (1, 17, 59):
        found = list(film.frames(start))
        assert [frame.index for frame in found] == list(range(start, 60))
        assert all(np.array_equal(a.luma, b.luma) for a, b in zip(found, plain[start:], strict=True))
        assert [frame.timestamp for frame in found] == [frame.timestamp for frame in plain[start:]]
    # A frame that is not the one of the survey is decoded from the beginning instead.
    film.seek_by([(when, check + (number == 30)) for number, (when, check) in enumerate(checks)])
    assert [frame.index for frame in film.frames(20)] == list(range(20, 60))


def test_the_state_of_the_shot_before_is_not_taken() -> None:
    asked = []

    def kept(index: int) -> None:
        asked.append(index)

    plan_runs([range(0, 6), range(6, 12)], [range(3, 6), range(6, 9), range(9, 12)], 0, kept, {})
    assert asked == [3]
