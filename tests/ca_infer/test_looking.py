"""Looking before and after: plan, preview, split screen, coverage report."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from ca_data import plane
from ca_film.source.video import VideoFilm
from ca_infer.cli import main
from PIL import Image

MakeFilm = Callable[..., Path]


def run(*typed: object) -> int:
    return main([str(part) for part in typed])


def test_plan_writes_stills_that_name_their_frames(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film, folder = make_film(), tmp_path / "plan"
    assert run("plan", film, "-o", folder, "--cuts", "2", "--stills", 1) == 0
    assert sorted(p.name for p in folder.iterdir()) == ["contact-sheet.png", "frame_000004.png"]
    said = capsys.readouterr().out
    assert "shot   1  frames           0-1" in said
    assert "frame 4  <- colour this" in said
    image = np.asarray(Image.open(folder / "frame_000004.png"))
    assert image.shape == (46, 74, 3)
    assert (image[..., 0] == image[..., 1]).all()
    refs = ("--refs", still, "--weights", weights, "--size", "80x48")
    assert run("plan", film, "-o", tmp_path / "covered", *refs, "--cuts", "2") == 0
    assert "coverage" in capsys.readouterr().out
    assert run("plan", film, "-o", folder) == 2


def test_preview_writes_a_sheet_and_no_film(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.mp4"
    typed = ("colorize", make_film(), "--refs", still, "--weights", weights, "--size", "80x48", "-o", out)
    assert run(*typed, "--preview", "--cuts", "3") == 0
    assert not out.exists()
    sheet = Image.open(tmp_path / "out.mp4.preview.png")
    # Two shots below each other; three pairs of grey and coloured beside each other.
    assert sheet.width == 6 * (74 + 4)
    assert sheet.height == 2 * (46 + 18 + 4)
    said = capsys.readouterr().out
    assert "the whole film: about 0 min" in said
    assert "MB of frames" in said


def test_split_screen_and_report(make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.mkv"
    typed = ("colorize", make_film(rotation=180), "--refs", still, "--weights", weights, "--size", "80x48")
    assert run(*typed, "-o", out, "--compare", "--cuts", "4") == 0
    frame = next(VideoFilm(out).frames())
    assert frame.decoded is not None
    red = plane(frame.decoded, 2)
    # Shown upside down, so that the grey half is stored on the right.
    assert (red[:, 20:] == 128).all()
    assert (red[:, :16] != 128).any()
    page = (tmp_path / "out.mkv.coverage.html").read_text()
    assert page.count("<tr><td>") == 2
    assert page.count("data:image/jpeg;base64,") == 4
