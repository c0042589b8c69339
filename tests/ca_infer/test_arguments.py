"""What is typed, turned into values."""

from fractions import Fraction

import pytest
from ca_infer.arguments import parse_place, parse_range, spread_values
from ca_infer.errors import InferError


@pytest.mark.parametrize(
    ("typed", "spread"),
    [
        (["--refs", "a.png", "b.png", "-o", "x"], ["--refs", "a.png", "--refs", "b.png", "-o", "x"]),
        (["--refs", "a", "--refs", "b"], ["--refs", "a", "--refs", "b"]),
        (["--refs", "a", "b", "--refs", "c"], ["--refs", "a", "--refs", "b", "--refs", "c"]),
        (["film", "--refs=-odd.png", "-o", "x"], ["film", "--refs=-odd.png", "-o", "x"]),
        (["--refs", "a", "--", "b", "c"], ["--refs", "a", "--", "b", "c"]),
        (["--size", "384x224", "film"], ["--size", "384x224", "film"]),
        (["--refs"], ["--refs"]),
    ],
)
def test_spread_values(typed: list[str], spread: list[str]) -> None:
    assert spread_values(typed, "--refs") == spread


def test_spread_is_idempotent() -> None:
    once = spread_values(["in", "--refs", "a", "b", "c", "-o", "x", "--overwrite"], "--refs")
    assert spread_values(once, "--refs") == once


@pytest.mark.parametrize(
    ("typed", "place"),
    [
        ("0", 0),
        ("1500", 1500),
        ("62.5s", Fraction(125, 2)),
        ("1:02.5", Fraction(125, 2)),
        ("90:00", Fraction(5400)),
        ("1:01:02", Fraction(3662)),
    ],
)
def test_places_are_frames_or_times(typed: str, place: int | Fraction) -> None:
    assert parse_place(typed, "--start") == place
    assert isinstance(parse_place(typed, "--start"), type(place))


@pytest.mark.parametrize("typed", ["", "62.5", "-3", "1:2:3:4", "1:", ":30", "soon", "1:5e1"])
def test_what_is_no_place_is_refused(typed: str) -> None:
    with pytest.raises(InferError, match="--end must be a frame number or a time"):
        parse_place(typed, "--end")


@pytest.mark.parametrize("typed", ["120", "120-480", "a:b", ":480", "120:", "1:2:3", "-1:5"])
def test_what_is_no_range_is_refused(typed: str) -> None:
    with pytest.raises(InferError, match=r"--range must be two frame numbers"):
        parse_range(typed)
