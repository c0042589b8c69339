"""Local copies of what lies behind addresses: a film made in parts, of which each task sees only what it needs."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from ca_film import ColorizeOptions, FilmError, Progress, colorize
from ca_film.batch.mirror import Mirror
from ca_film.parts import FilmParts

MakeFilm = Callable[..., Path]


@pytest.fixture
def mirror(tmp_path: Path) -> Mirror:
    return Mirror(tmp_path / "mirror")


def test_a_film_in_parts_behind_addresses(
    make_film: MakeFilm, still: Path, weights: Path, mirror: Mirror, tmp_path: Path
) -> None:
    film = make_film("film.mkv", timestamps=range(0, 6000, 1000))
    given = ColorizeOptions(
        (f"file://{still}",), str(weights), (48, 80), "cpu", cuts=(3,), segment=3, codec="ffv1"
    )
    source, options = mirror.film(f"file://{film}"), mirror.options(given)
    assert source != film
    address = f"file://{tmp_path / 'store' / 'film.mkv'}"
    with mirror.work(address, None) as out:
        parts = FilmParts().outline(source, out, options, Progress()).parts
    store = tmp_path / "store" / "film.mkv.partial"
    assert (store / "manifest.json").exists()
    for part in parts:
        with mirror.work(address, part.frames) as out:
            others = [file.name for file in out.with_name(f"{out.name}.partial").glob("*.packets")]
            assert others == [], "segments of other parts are not fetched"
            FilmParts().color(source, out, options, part, Progress())
    assert sorted(file.name for file in store.glob("*.packets")) == [
        "00000000-00000003.packets",
        "00000003-00000006.packets",
    ]
    with mirror.work(address, None) as out:
        FilmParts().finish(source, out, options, Progress())
    assert [file.name for file in store.parent.iterdir()] == ["film.mkv"]
    colorize(film, tmp_path / "alone.mkv", replace(given, references=still))
    assert (store.parent / "film.mkv").read_bytes() == (tmp_path / "alone.mkv").read_bytes()
    with pytest.raises(FilmError, match="exists; choose another folder"), mirror.work(address, None):
        pass


def test_what_is_not_there_is_one_line(mirror: Mirror) -> None:
    with pytest.raises(FilmError, match="does not exist; check it"):
        mirror.film("file:///nowhere/film.mkv")
    with pytest.raises(FilmError, match="cannot be used"):
        mirror.film("nonsense://film.mkv")
