"""PSNR loss: a value by hand, against scikit-image, its gradient and its error text."""

import math

import pytest
import torch
from ca_losses import psnr_loss
from skimage.metrics import peak_signal_noise_ratio


def test_by_hand():
    """Squared errors of 0.01 and 0.04 with the floor of 0.00001: the mean of two logarithms, not the log of a mean."""
    pred = torch.zeros(2, 3, 5, 7)
    true = torch.tensor([0.1, -0.2]).view(2, 1, 1, 1).expand_as(pred)
    expected = (10 * math.log10(0.01001) + 10 * math.log10(0.04001)) / 2
    assert psnr_loss(pred, true).item() == pytest.approx(expected, rel=1e-5)


def test_against_scikit_image():
    true = torch.rand(3, 3, 11, 13)
    pred = (true + 0.1 * torch.randn_like(true)).clamp(0, 1)
    pairs = zip(true.numpy(), pred.numpy(), strict=True)
    expected = sum(peak_signal_noise_ratio(a, b, data_range=1.0) for a, b in pairs) / 3
    assert psnr_loss(pred, true).item() == pytest.approx(-expected, abs=0.02)  # the floor


def test_equal_frames_are_bounded_and_the_gradient_is_right():
    assert psnr_loss(torch.ones(1, 3, 2, 2), torch.ones(1, 3, 2, 2)).item() == pytest.approx(-50, abs=1e-3)
    pred = torch.rand(2, 3, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: psnr_loss(x, torch.zeros_like(x)), [pred])


def test_uncertainty_is_answered_by_the_mean():
    """Two of three times 0, once 0.9: L1 answers 0, this loss more."""
    true = torch.tensor([0.0, 0.0, 0.9]).view(1, 3, 1, 1)
    answers = torch.linspace(0, 0.9, 91)
    best = min(answers.tolist(), key=lambda x: psnr_loss(torch.full_like(true, x), true).item())
    assert best == pytest.approx(0.3, abs=0.01)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"expected one shape, got \(1, 3, 2, 2\) and \(1, 3, 2, 3\)"):
        psnr_loss(torch.zeros(1, 3, 2, 2), torch.zeros(1, 3, 2, 3))
