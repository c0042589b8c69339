"""The size at which the network sees a frame."""

from fractions import Fraction

import pytest
import torch
from ca_film.source.geometry import network_size, turn


@pytest.mark.parametrize(
    ("frame", "aspect", "expected"),
    [
        ((224, 384), Fraction(1), (224, 384)),
        ((1080, 1920), Fraction(1), (224, 384)),
        ((1920, 1080), Fraction(1), (384, 224)),
        ((320, 432), Fraction(1), (256, 336)),
        # 704x576 with pixels 16:11 wide is shown as 16:9.
        ((576, 704), Fraction(16, 11), (224, 384)),
        # Never enlarged.
        ((48, 80), Fraction(1), (48, 80)),
        ((7, 900), Fraction(1), (32, 896)),
    ],
)
def test_network_size(frame: tuple[int, int], aspect: Fraction, expected: tuple[int, int]) -> None:
    assert network_size(frame, (224, 384), aspect) == expected


def test_turn_is_counter_clockwise_and_undone_by_its_negative() -> None:
    frame = torch.arange(2 * 3 * 5).view(2, 3, 5)
    turned = turn(frame, 90)
    assert turned.shape == (2, 5, 3)
    assert torch.equal(turned[:, 0], frame[:, :, -1])
    for degrees in (0, 90, 180, -90, 270):
        assert torch.equal(turn(turn(frame, degrees), -degrees), frame)
