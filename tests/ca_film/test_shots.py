"""Finding cuts, where PySceneDetect is installed."""

from fractions import Fraction

import numpy as np
import pytest
from ca_data import YuvCoding
from ca_film.output.segments import split_shots
from ca_film.source.shots import CutFinder
from ca_film.source.survey import Survey


def test_one_shot_and_a_note_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scenedetect", None)
    finder = CutFinder(Fraction(24))
    finder.add(np.zeros((20, 30), np.uint8), YuvCoding())
    assert finder.finish() == []
    assert "install scenedetect-headless" in finder.notes[0]


def test_a_cut_between_two_frames_is_found() -> None:
    pytest.importorskip("scenedetect")
    random = np.random.default_rng(0)
    scenes = [random.integers(16, 235, (40, 60)) for _ in range(2)]
    finder = CutFinder(Fraction(24))
    for index in range(40):
        noise = random.integers(-2, 3, (40, 60))
        finder.add(np.clip(scenes[index >= 23] + noise, 0, 255).astype(np.uint8), YuvCoding())
    assert finder.finish() == [23]
    assert finder.notes == []


def test_shots_and_segments_cover_every_frame_once() -> None:
    survey = Survey(list(range(29)), [1] * 29, cuts=[5, 6, 17])
    assert survey.shots == [range(0, 5), range(5, 6), range(6, 17), range(17, 29)]
    segments = split_shots(survey.shots, 7)
    assert [index for segment in segments for index in segment] == list(range(29))
    assert max(map(len, segments)) == 7
    for cut in survey.cuts:
        assert any(segment.start == cut for segment in segments)
