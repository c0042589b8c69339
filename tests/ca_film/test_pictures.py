"""Arrays in, arrays out: what `color_pictures` gives is what `colorize` writes; and `python -m ca_film`."""

from pathlib import Path

import numpy as np
import pytest
from ca_film import Cancelled, ColorizeOptions, FilmError, Progress, color_pictures, colorize
from ca_film.__main__ import main
from PIL import Image


def written(folder: Path) -> list[np.ndarray]:
    return [np.asarray(Image.open(file)) for file in sorted(folder.glob("*.png"))]


def test_pictures_are_those_that_are_written(
    frames_folder: Path, clip: np.ndarray, weights: Path, tmp_path: Path
) -> None:
    stills = tmp_path / "stills"
    stills.mkdir()
    for frame in (2, 9):  # a pass against time, and two shots
        Image.fromarray(clip[frame]).save(stills / f"still_{frame:06d}.png")
    options = ColorizeOptions(references=stills, weights=str(weights), device="cpu", cuts=[6])
    colorize(frames_folder, tmp_path / "out", options)
    expected = written(tmp_path / "out")
    by_path = list(color_pictures(frames_folder, (), options))
    given = ColorizeOptions(weights=str(weights), device="cpu", cuts=[6])
    by_array = list(color_pictures(clip, {2: clip[2], 9: clip[9]}, given))
    for number, (one, other, file) in enumerate(zip(by_path, by_array, expected, strict=True)):
        assert one.index == other.index == number
        assert np.array_equal(one.rgb, file)
        assert np.array_equal(other.rgb, file)
        assert 0 <= one.coverage.min() <= one.coverage.max() <= 1


def test_nothing_is_left_behind(
    clip: np.ndarray, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr("tempfile.tempdir", None)
    options = ColorizeOptions(weights=str(weights), device="cpu", cuts=[])
    frames = color_pictures(clip, clip[:1], options)
    next(frames)
    assert list(tmp_path.iterdir())
    frames.close()
    assert list(tmp_path.iterdir()) == []


def test_deep_pictures(clip: np.ndarray, weights: Path) -> None:
    deep = clip[:2].astype(np.uint16) * 257 + 11
    options = ColorizeOptions(weights=str(weights), device="cpu", cuts=[], png_depth=16)
    made = list(color_pictures(deep, clip[:1], options))
    assert {picture.rgb.dtype for picture in made} == {np.dtype(np.uint16)}


def test_pictures_of_another_kind_are_refused(clip: np.ndarray) -> None:
    with pytest.raises(
        FilmError, match=r"film\[0\] must be `h w 3` of uint8 or uint16, got 46x74x3 of float64; convert it"
    ):
        next(color_pictures(clip / 255.0, clip[:1]))


def test_it_can_be_cancelled(clip: np.ndarray, weights: Path) -> None:
    class Impatient(Progress):
        def cancelled(self) -> bool:
            return True

    with pytest.raises(Cancelled):
        list(color_pictures(clip, clip[:1], ColorizeOptions(weights=str(weights), device="cpu"), Impatient()))


def test_python_m_ca_film(
    frames_folder: Path, still: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(frames_folder), "--refs", str(still), "-o", str(tmp_path / "out"), "--weights", str(weights)]
    assert main([*words, "--device", "cpu", "--size", "96x64"]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "out")
    assert len(written(tmp_path / "out")) == 11
    assert main(words) == 2
    assert "exists" in capsys.readouterr().err
    assert main([*words, "--size", "wide"]) == 2
    assert "--size must be like 384x224, got wide" in capsys.readouterr().err
