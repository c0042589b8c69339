"""Colouring from the command line: what is printed, and the exit codes."""

from collections.abc import Callable
from pathlib import Path

import av
import pytest
from ca_film import ColorizeOptions, colorize, open_film
from ca_infer.cli import main

MakeFilm = Callable[..., Path]


def damage_second_half(path: Path) -> None:
    """Overwrite the coded frames of the second half of an MP4 file, whose index stays."""
    with av.open(str(path)) as container:
        places = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    data = bytearray(path.read_bytes())
    for position, size in places[len(places) // 2 :]:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)


def test_damaged_film_is_colored_as_far_as_it_decodes(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = tmp_path / "film.mp4"
    options = ColorizeOptions(still, str(weights), (48, 80), "cpu", cuts=(), segment=2)
    colorize(make_film(timestamps=range(0, 12000, 1000)), film, options)
    damage_second_half(film)
    out = tmp_path / "out.mp4"
    typed = ["colorize", film, "--refs", still, "--weights", weights, "--size", "80x48", "-o", out]
    code = main([str(part) for part in typed])
    assert code == 3
    assert "did not decode" in capsys.readouterr().err
    assert 6 <= sum(1 for _ in open_film(out).frames()) < 12


def test_streams_can_be_left_out_and_unfit_ones_are_named(
    make_film: MakeFilm, still: Path, weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    film = make_film(sound="pcm_s16le")
    common = ["--refs", str(still), "--weights", str(weights), "--size", "80x48", "--cuts", "none"]
    assert main(["colorize", str(film), *common, "-o", str(tmp_path / "a.mov"), "--no-copy-audio"]) == 0
    assert main(["colorize", str(film), *common, "-o", str(tmp_path / "b.webm")]) == 0
    said = capsys.readouterr()
    assert "note: audio stream 1 (pcm_s16le) is left out: .webm" in said.err
    assert f"{tmp_path / 'b.webm'}: 7 frames in 1 shots" in said.out
    with av.open(str(tmp_path / "a.mov")) as container:
        assert not container.streams.audio
