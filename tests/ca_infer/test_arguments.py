"""What is typed, turned into values."""

import pytest
from ca_infer.arguments import spread_values


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
