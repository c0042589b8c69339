"""SSIM loss: against the formula written out, by hand, and in what it likes."""

import numpy as np
import pytest
import torch
from ca_losses import ssim_loss


def test_equals_the_formula_written_out():
    generator = torch.Generator().manual_seed(0)
    pred, true = (torch.rand(2, 3, 17, 23, generator=generator) for _ in range(2))
    values = []
    for x, y in zip(
        pred.double().numpy().reshape(6, 17, 23), true.double().numpy().reshape(6, 17, 23), strict=True
    ):
        for top in range(0, 17 - 7, 4):
            for left in range(0, 23 - 7, 4):
                a, b = (z[top : top + 8, left : left + 8].ravel() for z in (x, y))
                covariance = np.cov(a, b, bias=True)
                means = a.mean(), b.mean()
                luminance = (2 * means[0] * means[1] + 1e-4) / (means[0] ** 2 + means[1] ** 2 + 1e-4)
                structure = (2 * covariance[0, 1] + 9e-4) / (covariance[0, 0] + covariance[1, 1] + 9e-4)
                values.append(luminance * structure)
    assert ssim_loss(pred, true).item() == pytest.approx(1 - np.mean(values), rel=1e-4)


def test_by_hand():
    """Two flat frames, 0.5 and 0.7: only the means differ."""
    pred, true = torch.full((1, 1, 8, 8), 0.5), torch.full((1, 1, 8, 8), 0.7)
    expected = 1 - (2 * 0.5 * 0.7 + 1e-4) / (0.25 + 0.49 + 1e-4)
    assert ssim_loss(pred, true).item() == pytest.approx(expected, rel=1e-3)


def test_misplaced_costs_more_than_blurred():
    """Of two answers equally far away in the mean, the one with a wrong edge is worse."""
    true = torch.zeros(1, 1, 16, 16) + 0.2
    true[..., 8:] = 0.8
    misplaced = true.roll(2, dims=-1)
    blurred = torch.full_like(true, 0.5) + (true - 0.5) * (1 - (misplaced - true).abs().mean() / 0.3)
    torch.testing.assert_close((blurred - true).abs().mean(), (misplaced - true).abs().mean())
    assert ssim_loss(misplaced, true) > 1.5 * ssim_loss(blurred, true)


def test_gradient_and_any_leading_axes():
    generator = torch.Generator().manual_seed(1)
    pred = torch.rand(2, 2, 3, 12, 9, generator=generator, requires_grad=True)
    true = torch.rand(2, 2, 3, 12, 9, generator=generator)
    loss = ssim_loss(pred, true)
    loss.backward()
    assert loss.item() == pytest.approx(ssim_loss(pred.flatten(0, 1), true.flatten(0, 1)).item())
    with torch.no_grad():
        assert ssim_loss(pred - 0.1 * pred.grad / pred.grad.norm(), true) < loss


def test_errors():
    with pytest.raises(ValueError, match="expected one shape"):
        ssim_loss(torch.zeros(1, 3, 9, 9), torch.zeros(1, 1, 9, 9))
    with pytest.raises(ValueError, match=r"at least 8 x 8 pixels, got \(9, 7\)"):
        ssim_loss(torch.zeros(1, 3, 9, 7), torch.zeros(1, 3, 9, 7))
