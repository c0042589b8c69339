"""Alignment of one map to another: against convolutions written out, and learnt on a translation."""

import pytest
import torch
from ca_align import DeformAlign
from ca_align.align import FlowAlign, MotionEstimator
from torch import nn
from torch.nn import functional as F


def randomize(module: nn.Module) -> nn.Module:
    for parameter in module.parameters():
        nn.init.normal_(parameter, std=0.3)
    return module.double()


@pytest.mark.parametrize("modulated", [False, True])
@pytest.mark.parametrize("kernel_size", [1, 3])
def test_first_output_is_a_plain_convolution(kernel_size: int, modulated: bool):
    align = DeformAlign(6, offset_groups=3, kernel_size=kernel_size, modulated=modulated)
    moving, target = torch.randn(2, 6, 7, 11), torch.randn(2, 6, 7, 11)
    plain = F.conv2d(moving, align.convolve.weight, align.convolve.bias, padding=kernel_size // 2)
    torch.testing.assert_close(align(moving, target), plain)


def test_first_output_of_flow_alignment_is_a_plain_convolution():
    align = FlowAlign(6)
    moving, target = torch.randn(2, 6, 7, 11), torch.randn(2, 6, 7, 11)
    plain = F.conv2d(moving, align.convolve.weight, align.convolve.bias, padding=1)
    torch.testing.assert_close(align.align(moving, target)[0], plain, rtol=1e-4, atol=1e-4)


def test_estimator_is_a_convolution_of_the_concatenation():
    estimate = randomize(MotionEstimator(3, 5, below_channels=4, clue_channels=2))
    moving, target, clue, below = (torch.randn(2, c, 7, 11).double() for c in (3, 3, 2, 4))
    kernel = torch.cat([estimate.moving.weight, estimate.target.weight, estimate.clue.weight], dim=1)
    joined = torch.cat([moving, target, clue], dim=1)
    hidden = F.leaky_relu(F.conv2d(joined, kernel, estimate.moving.bias, padding=1), 0.1)
    last = F.conv2d(hidden, estimate.last.weight, estimate.last.bias, padding=1)
    expected = last + torch.einsum("op,bphw->bohw", estimate.below.weight[:, :, 0, 0], below)
    torch.testing.assert_close(estimate(moving, target, below, clue), expected)


def test_estimator_at_first_repeats_the_motion_handed_up():
    estimate = MotionEstimator(3, 6, below_channels=4)
    below = torch.randn(2, 4, 7, 11)
    motion = estimate(torch.randn(2, 3, 7, 11), torch.randn(2, 3, 7, 11), below)
    torch.testing.assert_close(motion[:, :4], below)
    assert not motion[:, 4:].any()


@pytest.mark.parametrize("make", [DeformAlign, FlowAlign])
def test_several_maps_per_target_are_aligned_as_one_by_one(make):
    align = randomize(make(8, handed_up=True))
    channels = align.estimate.below.weight.shape[1]
    moving, below = torch.randn(6, 8, 5, 7).double(), torch.randn(6, channels, 5, 7).double()
    target = torch.randn(2, 8, 5, 7).double()
    together, motion = align.align(moving, target, below)
    for i in range(6):
        alone, own = align.align(moving[i, None], target[i // 3, None], below[i, None])
        torch.testing.assert_close(together[i, None], alone)
        torch.testing.assert_close(motion[i, None], own)


def test_mask_is_twice_a_sigmoid_and_offsets_are_split_off():
    align = randomize(DeformAlign(4, offset_groups=2, kernel_size=1, modulated=True))
    nn.init.zeros_(align.estimate.last.weight)
    # Both groups read one pixel to the right; the first is weighed by 2 sigmoid(0) = 1, the second by 3/2.
    align.estimate.last.bias.data = torch.tensor([0, 1, 0, 1, 0, torch.tensor(3.0).log()]).double()
    x = torch.randn(1, 4, 5, 7).double()
    factor = torch.tensor([1, 1, 1.5, 1.5])[:, None, None].double()
    right = F.pad(x, (0, 1))[..., 1:] * factor
    expected = F.conv2d(right, align.convolve.weight, align.convolve.bias)
    torch.testing.assert_close(align(x, torch.randn_like(x)), expected)


@pytest.mark.parametrize(
    "make", [lambda: DeformAlign(2, offset_groups=1, modulated=True), lambda: FlowAlign(2)]
)
def test_gradcheck(make):
    align = randomize(make())
    with torch.no_grad():  # offsets near 0.4 of a pixel, away from whole ones, where the derivative jumps
        align.estimate.last.weight.mul_(0.02)
        align.estimate.last.bias.fill_(0.4)
    moving, target = (torch.randn(1, 2, 3, 2, dtype=torch.float64, requires_grad=True) for _ in range(2))
    assert torch.autograd.gradcheck(lambda a, b: align.align(a, b)[0], (moving, target))


def test_errors():
    with pytest.raises(
        ValueError, match=r"target: expected the shape of moving .*\(1, 8, 5, 7\), got \(1, 8, 7, 5\)"
    ):
        DeformAlign(8)(torch.zeros(1, 8, 5, 7), torch.zeros(1, 8, 7, 5))
    with pytest.raises(ValueError, match="offset_groups: expected a divisor of in_channels = 6, got 8"):
        DeformAlign(6)
    with pytest.raises(ValueError, match="kernel_size: expected an odd number, got 4"):
        FlowAlign(6, kernel_size=4)


@pytest.mark.parametrize("make", [lambda: DeformAlign(8, offset_groups=2), lambda: FlowAlign(8)])
def test_learns_a_translation_a_plain_convolution_cannot_reach(make):
    """Content moves by 2 rows and -3 columns, which is beyond a 3 x 3 kernel without offsets."""
    smooth = 3 * F.avg_pool2d(torch.randn(4, 8, 20, 24), 3, 1)
    target, moving = smooth[..., 3:15, 3:19], smooth[..., 1:13, 6:22]

    def train(learn_motion: bool) -> float:
        torch.manual_seed(0)
        align = make()
        align.estimate.requires_grad_(learn_motion)
        optimizer = torch.optim.Adam([p for p in align.parameters() if p.requires_grad], 1e-2)
        for _ in range(100):
            loss = (align.align(moving, target)[0] - target)[..., 3:-3, 4:-4].square().mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        return loss.item()

    without = train(learn_motion=False)
    assert without > 0.3
    assert train(learn_motion=True) < 0.4 * without
