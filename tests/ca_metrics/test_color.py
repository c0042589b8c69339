"""Colorfulness by hand and against numpy."""

import numpy as np
import pytest
import torch
from ca_metrics import Colorfulness, colorfulness


def test_equals_the_formula_in_numpy() -> None:
    frames = torch.randint(
        0, 256, (2, 3, 5, 7), dtype=torch.uint8, generator=torch.Generator().manual_seed(0)
    )
    for frame, value in zip(frames.numpy().astype(float), colorfulness(frames), strict=True):
        rg, yb = frame[0] - frame[1], 0.5 * (frame[0] + frame[1]) - frame[2]
        expected = np.hypot(rg.std(), yb.std()) + 0.3 * np.hypot(rg.mean(), yb.mean())
        assert value.item() == pytest.approx(expected, rel=1e-12)


def test_hand_worked_value() -> None:
    # One red and one black pixel: rg = (255, 0), yb = (127.5, 0); deviations 127.5 and 63.75, means the same.
    frame = torch.zeros(1, 3, 1, 2, dtype=torch.uint8)
    frame[0, 0, 0, 0] = 255
    assert colorfulness(frame).item() == pytest.approx(1.3 * np.hypot(127.5, 63.75), rel=1e-12)


def test_grey_is_not_colorful_and_floats_equal_bytes() -> None:
    grey = torch.randint(0, 256, (3, 1, 5, 7), dtype=torch.uint8).expand(3, 3, 5, 7)
    assert colorfulness(grey).tolist() == [0.0, 0.0, 0.0]
    frames = torch.randint(0, 256, (3, 3, 5, 7), dtype=torch.uint8)
    torch.testing.assert_close(colorfulness(frames / 255.0), colorfulness(frames), rtol=1e-6, atol=0)


def test_gradcheck() -> None:
    frames = torch.rand(2, 3, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(colorfulness, frames.requires_grad_())


def test_two_channels_are_refused() -> None:
    with pytest.raises(ValueError, match='expected frames "t 3 h w", got shape'):
        colorfulness(torch.rand(1, 2, 5, 7))


def test_metric() -> None:
    frames = torch.rand(4, 3, 5, 7)
    metric = Colorfulness()
    metric.update(frames[:1])
    metric.update(frames[1:])
    assert metric.compute() == pytest.approx(colorfulness(frames).mean().item())
