"""Flashes, fades, dissolves and colours of a film, and what is proposed and painted in them."""

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from ca_data import YuvCoding
from ca_film import ColorizeOptions, colorize
from ca_film.network.lightness import SteadyLightness
from ca_film.session import open_film
from ca_film.source.content import ContentFinder, clear_frame
from ca_film.source.film import Frame
from ca_film.source.shots import CutFinder
from ca_film.source.survey import survey_film
from PIL import Image

FULL = YuvCoding(full_range=True)
ROWS, COLUMNS = np.mgrid[:46, :74].astype(float)
SCENES = [
    110 + 60 * np.sin(COLUMNS / 9) * np.cos(ROWS / 7),
    120 + 60 * np.sin((COLUMNS + 2 * ROWS) / 13),
    100 + 60 * np.cos(COLUMNS / 5),
]


def looked_at(pictures: list[np.ndarray]) -> ContentFinder:
    finder = ContentFinder(Fraction(24))
    for index, picture in enumerate(pictures):
        finder.add(Frame(index, np.clip(picture, 0, 255).astype(np.uint8)), FULL)
    return finder


@pytest.mark.parametrize("length", [1, 3])
@pytest.mark.parametrize("flash", [SCENES[0] + 100, SCENES[0] * 0 + 3])
def test_flashes_are_found(length: int, flash: np.ndarray) -> None:
    finder = looked_at([SCENES[0]] * 8 + [flash] * length + [SCENES[0]] * 8)
    assert finder.flashes == list(range(8, 8 + length))
    assert finder.changes == []


def test_cuts_and_lasting_light_are_no_flashes() -> None:
    assert looked_at([SCENES[0]] * 8 + [SCENES[0] + 100] * 4 + [SCENES[0]] * 8).flashes == []
    assert looked_at([SCENES[0]] * 8 + [SCENES[0] * 0 + 250] + [SCENES[1]] * 8).flashes == []
    assert looked_at([SCENES[0] + 3 * number for number in range(20)]).flashes == []


def test_a_dissolve_is_a_change_and_a_fade_is_none() -> None:
    ramp = np.linspace(0, 1, 12)
    dissolve = [SCENES[0] * (1 - share) + SCENES[1] * share for share in ramp]
    (change,) = looked_at([SCENES[0]] * 15 + dissolve + [SCENES[1]] * 15).changes
    assert 17 <= change <= 27
    assert looked_at([SCENES[0] * share for share in ramp[::-1]]).changes == []


def test_a_fade_through_black_is_a_cut_and_a_dark_scene_is_none() -> None:
    pytest.importorskip("scenedetect")
    down = np.linspace(1, 0, 9)
    for pictures, cuts in (
        ([SCENES[0]] * 12 + [SCENES[0] * s for s in down] + [SCENES[1] * s for s in down[::-1]], [20, 21]),
        ([SCENES[0] * 0.1 + number % 3 for number in range(40)], []),
    ):
        finder = CutFinder(Fraction(24))
        for picture in pictures + [pictures[-1]] * 12:
            finder.add(picture.astype(np.uint8), FULL)
        found = finder.finish()
        assert found in [[cut] for cut in cuts] if cuts else found == []


def test_a_frame_to_paint_is_clear_and_sharp() -> None:
    light, sharp = [90.0] * 9, [20.0] * 9
    assert clear_frame(4, range(9), light, sharp, []) == 4
    light[4], sharp[3] = 220.0, 5.0
    assert clear_frame(4, range(9), light, sharp, [4]) == 5
    assert clear_frame(0, range(1), light, sharp, [0]) == 0


@pytest.mark.parametrize(
    ("case", "scenes", "flashes"),
    [
        ("14_flash_and_plan", [range(0, 16), range(16, 32)], [8]),
        ("15_dissolve_fade", [range(0, 7), range(7, 35), range(35, 50)], []),
    ],
)
def test_cases(case: str, scenes: list[range], flashes: list[int], repository: Path) -> None:
    pytest.importorskip("scenedetect")
    path = repository.parent / "shared" / "cases" / case / "film.mkv"
    if not path.is_file():
        pytest.skip("shared/cases is not beside the checkout: no inputs that failed")
    survey = survey_film(open_film(path))
    assert [scene for shot in survey.shots for scene in survey.scenes(shot)] == scenes
    assert survey.flashes == flashes


def colored(
    folder: Path, pictures: list[np.ndarray], still: Path, weights: Path, **choices: object
) -> np.ndarray:
    source = folder / "film"
    source.mkdir(parents=True)
    for index, picture in enumerate(pictures):
        Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).convert("RGB").save(
            source / f"{index:05d}.png"
        )
    options = ColorizeOptions(still, str(weights), (48, 80), "cpu", cuts=(), **choices)
    result = colorize(source, folder / "out", options)
    frames = np.stack([np.asarray(Image.open(file)) for file in sorted((folder / "out").glob("*.png"))])
    told = [note for note in result.notes if "both neighbours" in note]
    assert told == (
        ["frames far lighter or darker than both neighbours get the neighbours' colours: 3"]
        * ("flash" in folder.name)
    )
    return frames


def test_a_flash_is_pale_and_leaves_no_trace(weights: Path, still: Path, tmp_path: Path) -> None:
    moving = [np.roll(SCENES[0], number, axis=1) for number in range(6)]
    # A still between two frames that are alike is what the network sees in place of the flash.
    steady = [*moving[:3], moving[2], *moving[4:]]
    flashed = [*moving[:3], moving[2] + 110, *moving[4:]]
    plain = colored(tmp_path / "plain", steady, still, weights)
    flash = colored(tmp_path / "flash", flashed, still, weights)
    assert np.array_equal(np.delete(plain, 3, axis=0), np.delete(flash, 3, axis=0))
    spread = [np.ptp(frames[3].astype(int), axis=-1).mean() for frames in (plain, flash)]
    assert spread[1] < spread[0]


@pytest.mark.parametrize("start", [2, 3, 4, 5])
def test_a_run_that_begins_in_a_flash_sees_the_frame_before(start: int, tmp_path: Path) -> None:
    for index in range(6):
        Image.new("RGB", (64, 48), (20 * index,) * 3).save(tmp_path / f"{index:05d}.png")
    film = open_film(tmp_path)
    steady = SteadyLightness(film, (48, 64), [3, 4])
    first = steady.first_needed(start)
    assert first == (start if start in (2, 5) else 2)
    seen = {}
    for frame in film.frames(first):
        if frame.index < start:
            steady.look(frame)
        else:
            seen[frame.index] = steady.see(frame)
    expected = film.lightness(next(film.frames(2))).mean()
    for index, (own, instead) in seen.items():
        assert (instead is not None) == (index in (3, 4))
        assert instead is None or instead.mean() == pytest.approx(expected)
        assert own.mean() == pytest.approx(film.lightness(next(film.frames(index))).mean())
