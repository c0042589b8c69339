"""Flow: warping, correlation and the training-free estimate, against sums written out and known motion."""

import pytest
import torch
from ca_align import FlowPropagation, KeyframeTracking, StillPropagation, estimate_flow, warp
from ca_align.flow import box_mean, local_correlation, refine_flow, resize_flow
from torch import Tensor
from torch.nn import functional as F


def constant(dx: float, dy: float, b: int, h: int, w: int, dtype=torch.float32) -> Tensor:
    return torch.tensor([dx, dy], dtype=dtype).view(1, 2, 1, 1).expand(b, 2, h, w)


def picture(h: int, w: int) -> Tensor:
    """A smooth pattern within [-1, 1] that repeats nowhere."""
    noise = torch.randn(1, 1, h + 16, w + 16, generator=torch.Generator().manual_seed(3))
    smooth = F.avg_pool2d(F.avg_pool2d(noise, 9, 1), 9, 1)
    return 0.8 * smooth / smooth.abs().max()


@pytest.mark.parametrize("mode", ["bilinear", "nearest"])
def test_identity_returns_the_input(mode: str):
    x = torch.randn(2, 3, 7, 11, dtype=torch.float64)
    torch.testing.assert_close(warp(x, torch.zeros(2, 2, 7, 11, dtype=torch.float64), mode=mode), x)


def test_whole_pixels_shift_and_replicate_the_border():
    x = torch.randn(2, 3, 7, 11, dtype=torch.float64)
    out = warp(x, constant(3, -2, 2, 7, 11, torch.float64))
    rows = torch.arange(7).sub(2).clamp(min=0)
    columns = torch.arange(11).add(3).clamp(max=10)
    torch.testing.assert_close(out, x[..., rows, :][..., columns])


def test_warp_by_hand():
    """Of a row 0 1 3, half a pixel to the right reads 0.5 and 2, and the border beyond the end."""
    out = warp(torch.tensor([[[[0.0, 1, 3]]]]), constant(0.5, 0, 1, 1, 3))
    torch.testing.assert_close(out, torch.tensor([[[[0.5, 2, 3]]]]))


def test_warp_equals_grid_sample_by_hand():
    x, flow = torch.randn(2, 3, 7, 11).double(), 4 * torch.randn(2, 2, 5, 13).double()
    y, z = torch.meshgrid(torch.arange(5.0).double(), torch.arange(13.0).double(), indexing="ij")
    grid = torch.stack([(z + flow[:, 0]) * 2 / 10 - 1, (y + flow[:, 1]) * 2 / 6 - 1], -1)
    expected = F.grid_sample(x, grid, padding_mode="border", align_corners=True)
    torch.testing.assert_close(warp(x, flow), expected)


def test_warp_far_outside_reads_the_border_and_keeps_half_precision():
    x = torch.randn(1, 3, 5, 7).bfloat16()
    out = warp(x, constant(1e30, 0, 1, 5, 7))
    assert out.dtype == torch.bfloat16
    torch.testing.assert_close(out, x[..., -1:].expand_as(x))


def test_warp_gradcheck():
    x = torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    flow = (torch.randint(-1, 1, (1, 2, 3, 4)) + 0.2 + 0.6 * torch.rand(1, 2, 3, 4)).double().requires_grad_()
    assert torch.autograd.gradcheck(warp, (x, flow))


def test_warp_errors():
    with pytest.raises(
        ValueError, match=r"flow: expected \(2, 2, h, w\) in \(x, y\) pixels, got \(1, 2, 5, 7\)"
    ):
        warp(torch.zeros(2, 3, 5, 7), torch.zeros(1, 2, 5, 7))
    with pytest.raises(ValueError, match="flow: expected"):
        warp(torch.zeros(2, 3, 5, 7), torch.zeros(2, 3, 5, 7))


def test_resized_flow_keeps_its_meaning():
    flow = resize_flow(constant(1, -2, 1, 5, 7), (15, 14))
    torch.testing.assert_close(flow, constant(2, -6, 1, 15, 14))


@pytest.mark.parametrize("radius", [0, 1, 3])
def test_correlation_equals_unfolding(radius: int):
    target, moving = torch.randn(2, 3, 5, 7).double(), torch.randn(2, 3, 5, 7).double()
    side = 2 * radius + 1
    patches = F.unfold(moving, side, padding=radius).view(2, 3, side * side, 5, 7)
    expected = (target[:, :, None] * patches).mean(1)
    torch.testing.assert_close(local_correlation(target, moving, radius), expected)


def test_correlation_by_hand():
    """A 1 in the target meets the 5 one row above and one column to its right in channel (dy=-1, dx=1)."""
    target, moving = torch.zeros(1, 1, 3, 4), torch.zeros(1, 1, 3, 4)
    target[0, 0, 1, 1], moving[0, 0, 0, 2] = 1, 5
    out = local_correlation(target, moving, 1)
    assert out[0, 2, 1, 1] == 5
    assert out.count_nonzero() == 1


def test_correlation_gradcheck_and_errors():
    maps = [torch.randn(1, 2, 3, 4, dtype=torch.float64, requires_grad=True) for _ in range(2)]
    assert torch.autograd.gradcheck(lambda a, b: local_correlation(a, b, 1), maps)
    with pytest.raises(
        ValueError, match=r"moving: expected the target's shape \(1, 2, 3, 4\), got \(1, 2, 4, 3\)"
    ):
        local_correlation(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 4, 3), 1)
    with pytest.raises(ValueError, match="radius: expected 0 or more, got -1"):
        local_correlation(torch.zeros(1, 2, 3, 4), torch.zeros(1, 2, 3, 4), -1)


@pytest.mark.parametrize("window", [1, 3, 5, 7, 11])
def test_box_mean_equals_pooling(window: int):
    x = torch.randn(2, 3, 13, 17, dtype=torch.float64)
    padded = F.pad(x, (window // 2,) * 4, mode="replicate")
    torch.testing.assert_close(box_mean(x, window), F.avg_pool2d(padded, window, 1))


def test_refinement_finds_a_fraction_of_a_pixel():
    wide = picture(43, 61)
    true = constant(0.6, -0.4, 1, 43, 61)
    moving, target = wide, warp(wide, true)
    flow = refine_flow(torch.zeros_like(true), target, moving, iterations=3, damping=1e-5)
    assert (flow - true)[..., 8:-8, 8:-8].abs().mean() < 0.05


def test_refinement_never_raises_the_error_it_lowers():
    wide = picture(43, 61)
    target, moving = wide, wide.roll((5, -9), (2, 3)) + 0.3 * picture(43, 61).flip(-1)
    flow = torch.zeros(1, 2, 43, 61)
    before = box_mean((target - moving).square(), 7)
    after = box_mean((target - warp(moving, refine_flow(flow, target, moving, iterations=3))).square(), 7)
    assert after.mean() <= before.mean()


@pytest.mark.parametrize("shift", [(0, 0), (3, -2), (-7, 5)])
def test_estimate_finds_a_translation(shift: tuple[int, int]):
    """``target(p) = moving(p + flow)``: content cut ``shift`` further in lies ``shift`` back."""
    dy, dx = shift
    wide = picture(83, 107)
    target = wide[..., 10:73, 10:97]
    moving = wide[..., 10 + dy : 73 + dy, 10 + dx : 97 + dx]
    flow = estimate_flow(target, moving)
    assert flow.shape == (1, 2, 63, 87)
    error = (flow - constant(-dx, -dy, 1, 63, 87))[..., 12:-12, 12:-12]
    assert error.abs().mean() < 0.1


def test_estimate_of_a_batch_equals_one_by_one():
    first, second = picture(37, 53), picture(37, 53).flip(-1)
    target = torch.cat([first, second])
    moving = torch.cat([first.roll(1, 3), second.roll(2, 2)])
    together = estimate_flow(target, moving)
    for i in range(2):
        torch.testing.assert_close(together[i, None], estimate_flow(target[i, None], moving[i, None]))


def test_refinement_errors():
    x = torch.zeros(1, 1, 9, 9)
    with pytest.raises(ValueError, match="window: expected a positive odd number of pixels, got 4"):
        refine_flow(torch.zeros(1, 2, 9, 9), x, x, window=4)
    with pytest.raises(ValueError, match=r"lightness of one batch \(b, 1, h, w\), got \(1, 1, 9, 9\) and"):
        refine_flow(torch.zeros(1, 2, 9, 9), x, x.repeat(2, 1, 1, 1))


def test_propagation_carries_color_along_the_motion():
    wide = picture(83, 107)
    lightness, previous = wide[..., 10:73, 10:97], wide[..., 12:75, 7:94]
    color = torch.cat([wide, -wide], 1)
    ab, previous_ab = color[..., 10:73, 10:97], color[..., 12:75, 7:94].clone().requires_grad_()
    carried = FlowPropagation()(lightness, previous, previous_ab)
    inside = (..., slice(12, -12), slice(12, -12))
    still = StillPropagation()(lightness, previous, previous_ab)
    torch.testing.assert_close(still.ab, previous_ab)
    torch.testing.assert_close(still.residual, lightness - previous)
    error, naive = ((x.ab - ab)[inside].abs().mean() for x in (carried, still))
    assert error < 0.1 * naive
    assert carried.residual[inside].abs().mean() < 0.1 * still.residual[inside].abs().mean()
    carried.ab.sum().backward()
    assert previous_ab.grad.any()


def track(lightness, previous, key, key_ab, flow, trust):
    step = FlowPropagation()(lightness, previous, key_ab)
    return KeyframeTracking()(lightness, step.flow, step.residual, key, key_ab, flow, trust)


def test_a_keyframe_is_followed_over_many_frames():
    """The picture moves 1.5 pixels to the left a frame; after 6 frames its finest colours are not blurred away."""
    wide = picture(166, 254)
    color = F.avg_pool2d(torch.rand(1, 2, 166, 254), 3, 1, 1)
    cuts = [(..., slice(20, 146), slice(20 + 3 * i, 194 + 3 * i)) for i in range(7)]
    frames, truth = ([F.avg_pool2d(plane[cut], 2) for cut in cuts] for plane in (wide, color))
    flow, trust, carried = torch.zeros(1, 2, 63, 87), torch.ones(1, 1, 63, 87), truth[0]
    for i in range(1, 7):
        found = track(frames[i], frames[i - 1], frames[0], truth[0], flow, trust)
        carried = FlowPropagation()(frames[i], frames[i - 1], carried).ab
        flow, trust = found.flow, found.trust
    inside = (..., slice(14, -14), slice(14, -26))
    torch.testing.assert_close(flow[inside].mean(dim=(0, 2, 3)), torch.tensor([9.0, 0.0]), atol=0.1, rtol=0)
    tracked_error = (found.ab - truth[6])[inside].abs().mean()
    assert tracked_error < 0.5 * (carried - truth[6])[inside].abs().mean(), "sampled once, it does not fade"
    assert found.residual[inside].abs().mean() < 0.01
    assert trust[inside].min() > 0.9
    assert trust[..., 14:-14, -6:].mean() < 0.05, "what came in at the right edge was never in the keyframe"


def test_trust_ends_where_something_came_between_and_does_not_come_back():
    still = picture(31, 43)
    covered = still.clone()
    covered[..., 10:20, 10:20] = -covered[..., 10:20, 10:20].sign()
    color = still.repeat(1, 2, 1, 1)
    flow, trust = torch.zeros(1, 2, 31, 43), torch.ones(1, 1, 31, 43)
    step_flow = torch.zeros(1, 2, 31, 43)
    for now, before in ((covered, still), (still, covered), (still, still)):
        found = KeyframeTracking()(now, step_flow, now - before, still, color, flow, trust)
        flow, trust = found.flow, found.trust
    assert trust[..., 12:18, 12:18].max() < 0.1
    torch.testing.assert_close(trust[..., 25:, 30:], torch.ones(1, 1, 6, 13))


def test_gradients_reach_the_keyframes_color_and_not_the_flow():
    frame, ab = picture(17, 19), torch.rand(1, 2, 17, 19, requires_grad=True)
    still, sure = torch.zeros(1, 2, 17, 19), torch.ones(1, 1, 17, 19)
    found = track(frame, frame, frame, ab, still, sure)
    assert not found.flow.requires_grad
    assert not found.trust.requires_grad
    found.ab.sum().backward()
    torch.testing.assert_close(ab.grad.sum(), torch.tensor(2.0 * 17 * 19))
