"""Warping error and its mask: shifts that must cost nothing, and hand-worked errors and occlusions."""

import pytest
import torch
from ca_metrics import WarpingError, visibility_mask, warping_error


def shifted_clip(dx: int, dy: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Three windows of one image; the image moves by (dx, dy) pixels a frame, and so does every pixel."""
    image = torch.rand(3, 41, 47, generator=torch.Generator().manual_seed(0))
    frames = torch.stack([image[:, 10 - t * dy : 29 - t * dy, 10 - t * dx : 33 - t * dx] for t in range(3)])
    flow = torch.tensor([float(dx), float(dy)]).view(1, 2, 1, 1).expand(2, 2, 19, 23)
    return frames, flow


@pytest.mark.parametrize(("dx", "dy"), [(0, 0), (3, 0), (0, 2), (-2, 3)])
def test_what_moves_as_the_flow_says_costs_nothing_and_what_leaves_the_frame_is_not_visible(
    dx: int, dy: int
) -> None:
    frames, flow = shifted_clip(dx, dy)
    visible = visibility_mask(flow, -flow)
    assert visible.sum().item() == 2 * (19 - abs(dy)) * (23 - abs(dx))
    assert warping_error(frames, flow, visible).tolist() == pytest.approx([0.0, 0.0], abs=1e-12)
    if dx or dy:
        assert warping_error(frames, -flow, visible).min() > 0.01


def test_hand_worked_value_with_half_a_pixel_and_a_mask() -> None:
    frames = torch.zeros(2, 1, 1, 3)
    frames[0, 0, 0] = torch.tensor([0.5, 0.0, 1.0])
    frames[1, 0, 0] = torch.tensor([0.2, 0.6, 0.0])
    flow = torch.tensor([0.5, 0.0]).view(1, 2, 1, 1).expand(1, 2, 1, 3)
    # Sampled half a pixel to the right: 0.4, 0.3, (outside). Squares 0.01 and 0.09.
    visible = torch.tensor([True, True, False]).view(1, 1, 1, 3)
    assert warping_error(frames, flow, visible).item() == pytest.approx(0.05, rel=1e-6)
    visible[..., 1] = False
    assert warping_error(frames, flow, visible).item() == pytest.approx(0.01, rel=1e-6)


def test_inconsistent_flow_is_occluded() -> None:
    # |f + g|^2 > 0.01 (|f|^2 + |g|^2) + 0.5, f = (1, 0), g = (-1 + e, 0): e = 0.71 passes, e = 0.72 does not.
    for error, seen in ((0.71, True), (0.72, False)):
        forward = torch.tensor([1.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 3, 5)
        backward = torch.tensor([-1.0 + error, 0.0]).view(1, 2, 1, 1).expand(1, 2, 3, 5)
        assert bool(visibility_mask(forward, backward)[0, 0, 1, 1]) is seen


def test_motion_boundary_is_left_out() -> None:
    # Too small a step to fail the forward-backward check, steep enough for a boundary; the end leaves the frame.
    forward = torch.zeros(1, 2, 5, 7)
    forward[:, 0, :, 4:] = 0.25
    for flow in (forward, forward.transpose(-1, -2).flip(1)):
        hidden = ~visibility_mask(flow, torch.zeros_like(flow))[0, 0]
        across = hidden if flow is forward else hidden.T
        assert across.nonzero()[:, 1].unique().tolist() == [3, 6]
        assert across.sum() == 2 * 5


def test_forward_flow_decides_where_the_backward_flow_is_read() -> None:
    forward = torch.tensor([2.0, 0.0]).view(1, 2, 1, 1).expand(1, 2, 5, 11).clone()
    backward = -forward
    backward[..., 6] = 9.0
    visible = visibility_mask(forward, backward)[0, 0, 2]
    assert visible.nonzero().flatten().tolist() == [0, 1, 2, 3, 5, 6, 7, 8]


def test_no_visible_pixel_counts_zero_and_pieces_overlap_by_one_frame() -> None:
    frames, flow = torch.rand(3, 3, 5, 7), torch.zeros(2, 2, 5, 7)
    visible = torch.ones(2, 1, 5, 7, dtype=torch.bool)
    visible[0] = False
    errors = warping_error(frames, flow, visible)
    assert errors[0] == 0
    assert errors[1] == pytest.approx((frames[1] - frames[2]).square().mean().item(), rel=1e-5)
    metric = WarpingError()
    metric.update(frames[:2], flow[:1], visible[:1])
    metric.update(frames[1:], flow[1:], visible[1:])
    assert metric.compute() == pytest.approx(errors.mean().item())


def test_bytes_equal_floats() -> None:
    frames = torch.randint(0, 256, (3, 3, 5, 7), dtype=torch.uint8)
    flow, visible = torch.rand(2, 2, 5, 7), torch.ones(2, 1, 5, 7, dtype=torch.bool)
    torch.testing.assert_close(
        warping_error(frames / 255.0, flow, visible), warping_error(frames, flow, visible)
    )


def test_gradcheck() -> None:
    generator = torch.Generator().manual_seed(1)
    frames = torch.rand(3, 2, 3, 5, dtype=torch.float64, generator=generator).requires_grad_()
    flow, visible = torch.rand(2, 2, 3, 5, generator=generator), torch.ones(2, 1, 3, 5, dtype=torch.bool)
    assert torch.autograd.gradcheck(lambda x: warping_error(x, flow, visible), frames)


def test_error_text() -> None:
    frames, flow = torch.rand(3, 3, 5, 7), torch.zeros(2, 2, 5, 7)
    visible = torch.ones(2, 1, 5, 7, dtype=torch.bool)
    with pytest.raises(ValueError, match=r"one flow per pair, here \(2, 2, 5, 7\), got \(1, 2, 5, 7\)"):
        warping_error(frames, flow[:1], visible)
    with pytest.raises(ValueError, match=r"visible: expected shape \(2, 1, 5, 7\)"):
        warping_error(frames, flow, visible[:, 0])
    with pytest.raises(ValueError, match=r"permute\(2, 0, 1\)"):
        visibility_mask(torch.zeros(1, 5, 7, 2), flow)
    with pytest.raises(ValueError, match="forward and backward: expected one shape"):
        visibility_mask(flow, flow[:1])
