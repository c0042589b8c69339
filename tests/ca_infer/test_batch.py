"""`batch` on the command line: the table, JSON, and the exit codes."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from ca_film import ColorizeOptions, colorize
from ca_infer.cli import main

MakeFilm = Callable[..., Path]


def test_films_of_a_folder_and_a_list(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    library, other, out = tmp_path / "library", tmp_path / "other", tmp_path / "out"
    library.mkdir()
    other.mkdir()
    film = make_film("reel.mkv").rename(library / "reel.mkv")
    make_film("reel.mkv", timestamps=range(0, 3000, 1000)).rename(other / "reel.mkv")
    (library / "broken.mkv").write_bytes(b"no film")
    listed = tmp_path / "films.toml"
    listed.write_text('[[film]]\nfilm = "other/reel.mkv"\noptions = { codec = "ffv1" }\n')
    common = ["--refs", str(still), "--weights", str(weights), "--size", "80x48", "--out", str(out)]
    typed = ["batch", str(library), str(listed), *common, "--devices", "cpu"]
    assert main(typed) == 4
    said = capsys.readouterr()
    assert "2 done, 1 failed" in said.out
    assert f"failed: {library / 'broken.mkv'}: video" in said.err
    options = ColorizeOptions(still, str(weights), (48, 80), "cpu")
    colorize(film, tmp_path / "one.mkv", options)
    assert (out / "reel.mkv").read_bytes() == (tmp_path / "one.mkv").read_bytes()
    (library / "broken.mkv").unlink()
    assert main([*typed, "--json"]) == 0
    found = {Path(entry["film"]).parent.name: entry for entry in json.loads(capsys.readouterr().out)}
    assert (found["library"]["out"], found["library"]["frames"]) == ("reel.mkv", 7)
    assert (found["other"]["out"], found["other"]["frames"]) == ("reel-2.mkv", 3)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ([], "batch needs films"),
        (["nowhere.toml"], "film list nowhere.toml cannot be read"),
        (["film.mkv", "--devices", "cpu:none"], "--devices must name cpu:N"),
        (["--watch", "nowhere"], "--watch nowhere is no folder"),
        (["film.mkv", "--size", "big"], "--size"),
    ],
)
def test_bad_input_is_one_line_and_makes_no_folder(
    typed: list[str],
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["batch", *typed, "--out", "out"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert list(tmp_path.iterdir()) == []
