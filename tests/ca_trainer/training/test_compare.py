"""`report`: several runs in one figure and one page."""

import re
from pathlib import Path

import pytest
from ca_trainer.cli import main
from ca_trainer.recipe_toml import load_recipe
from ca_trainer.training.run import train
from PIL import Image


def run(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ending:
        main(arguments)
    told = capsys.readouterr()
    return int(ending.value.code or 0), told.out, told.err


def test_report_draws_several_runs(
    tmp_path: Path, quick: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    for name, rate in (("slow", 1e-4), ("fast", 1e-3)):
        change = f"optimizer.learning_rate={rate}"
        train(load_recipe("demo", [*quick, "steps=2", change]), out=tmp_path / name)
    Image.new("RGB", (8, 8)).save(tmp_path / "fast" / "preview.png")
    runs = [str(tmp_path / name) for name in ("slow", "fast")]
    assert run(["report", *runs, "--out", str(tmp_path / "out")], capsys)[0] == 0
    assert Image.open(tmp_path / "out" / "curves.png").width > 500
    page = (tmp_path / "out" / "curves.html").read_text()
    assert page.count("data:image/png;base64,") == 2
    row = re.search(r"<code>optimizer.learning_rate</code></td>\s*<td>0.0001</td><td>0.001</td>", page)
    assert row
    code, _, error = run(["report", str(tmp_path)], capsys)
    assert (code, error.count("\n")) == (2, 1)
    assert "holds no run" in error
