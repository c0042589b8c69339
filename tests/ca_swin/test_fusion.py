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
    fused, mask = fusion(current, prior, True)
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
    fused, mask = fusion(torch.full((1, 1, 2, 3), 8.0), torch.full((1, 1, 2, 3), 4.0), True)
    torch.testing.assert_close(mask, torch.full((1, 1, 2, 3), 0.75))
    torch.testing.assert_close(fused, torch.full((1, 1, 2, 3), 7.0))


def test_without_a_prior_the_mask_is_1():
    fusion = make()
    current, prior = torch.randn(2, 5, 7, 11), torch.randn(2, 5, 7, 11)
    fused, mask = fusion(current, prior, False)
    assert torch.equal(fused, current)
    assert torch.equal(mask, torch.ones(2, 1, 7, 11))


def test_has_prior_per_sample():
    fusion = make()
    current, prior = torch.randn(3, 5, 7, 11), torch.randn(3, 5, 7, 11)
    fused, mask = fusion(current, prior, torch.tensor([True, False, True]))
    every, every_mask = fusion(current, prior, True)
    assert torch.equal(fused[1], current[1])
    assert mask[1].min() == 1
    for index in (0, 2):
        assert torch.equal(fused[index], every[index])
        assert torch.equal(mask[index], every_mask[index])


def test_gradcheck():
    fusion = make(2).double()
    inputs = [torch.randn(1, 2, 2, 3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda current, prior: fusion(current, prior, True), inputs)


def test_errors():
    fusion = make()
    x = torch.rand(2, 5, 7, 11)
    with pytest.raises(ValueError, match=r"current: expected .*\(b, 5, h, w\), got \(2, 4, 7, 11\)"):
        fusion(x[:, :4], x, True)
    with pytest.raises(
        ValueError, match=r"prior: expected batch 2 and height, width \(7, 11\) \(those of current\)"
    ):
        fusion(x, x[..., :3], True)
    with pytest.raises(
        ValueError, match=r"has_prior: expected one truth value per sample, shape \(2,\), got \(3,\)"
    ):
        fusion(x, x, torch.ones(3, dtype=torch.bool))
    with pytest.raises(ValueError, match=r"channels: expected a positive number, got 0"):
        SoftMaskFusion(0)
