"""What is typed, turned into values."""

import pytest
from ca_infer.arguments import choose_device, parse_size, spread_values
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


def test_parse_size_gives_height_first() -> None:
    assert parse_size("384x224") == (224, 384)
    assert parse_size(" 64X32 ") == (32, 64)


@pytest.mark.parametrize(
    "text", ["384", "384x", "x224", "384x224x3", "8x224", "-384x224", "384x99999", "a x b", ""]
)
def test_parse_size_refuses(text: str) -> None:
    with pytest.raises(InferError, match=r"--size .* got .*384x224"):
        parse_size(text)


def test_choose_device() -> None:
    assert choose_device("cpu").type == "cpu"
    assert choose_device("auto").type in ("cpu", "cuda", "mps")
    for name in ("toaster", "cuda:99"):
        with pytest.raises(InferError, match=name):
            choose_device(name)
