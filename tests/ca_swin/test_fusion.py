"""Soft-mask fusion, Eq. 6 and 7."""

import math

import pytest
import torch
from ca_swin import SoftMaskFusion


def make(channels: int = 5) -> SoftMaskFusion:
    torch.manual_seed(0)
    return SoftMaskFusion(channels)


def test_equals_the_equations():
    fusion = make()
    current, prior = torch.randn(2, 5, 7, 11), torch.randn(2, 5, 7, 11)
    fused, mask = fusion(current, prior)
    expected = torch.sigmoid(fusion.to_logit(torch.cat([current, prior], dim=1)))
    torch.testing.assert_close(mask, expected)
    for c in range(5):
        torch.testing.assert_close(
            fused[:, c], expected[:, 0] * current[:, c] + (1 - expected[:, 0]) * prior[:, c]
        )
    assert mask.shape == (2, 1, 7, 11)


def test_value_by_hand():
    """A logit of ln 3 is a mask of 3/4: 0.75 * 8 + 0.25 * 4 = 7."""
    fusion = make(1)
    for parameter in fusion.parameters():
        torch.nn.init.zeros_(parameter)
    torch.nn.init.constant_(fusion.to_logit[-1].bias, math.log(3))
    fused, mask = fusion(torch.full((1, 1, 2, 3), 8.0), torch.full((1, 1, 2, 3), 4.0))
    torch.testing.assert_close(mask, torch.full((1, 1, 2, 3), 0.75))
    torch.testing.assert_close(fused, torch.full((1, 1, 2, 3), 7.0))


def test_without_a_prior_the_mask_is_1():
    fusion = make()
    current = torch.randn(2, 5, 7, 11)
    fused, mask = fusion(current, None)
    assert torch.equal(fused, current)
    assert torch.equal(mask, torch.ones(2, 1, 7, 11))


def test_gradcheck():
    fusion = make(2).double()
    inputs = [torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda current, prior: fusion(current, prior), inputs)


def test_errors():
    fusion = make()
    x = torch.rand(2, 5, 7, 11)
    with pytest.raises(ValueError, match=r"current: expected .*\(b, 5, h, w\), got \(2, 4, 7, 11\)"):
        fusion(x[:, :4], x)
    with pytest.raises(
        ValueError, match=r"prior: expected batch 2 and height, width \(7, 11\) \(those of current\)"
    ):
        fusion(x, x[..., :3])
    with pytest.raises(ValueError, match=r"channels: expected a positive number, got 0"):
        SoftMaskFusion(0)
