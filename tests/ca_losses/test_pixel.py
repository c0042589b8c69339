"""L1: by hand, against numpy, and its gradient."""

import numpy as np
import pytest
import torch
from ca_losses import l1_loss


def test_equals_numpy_at_any_rank() -> None:
    pred, true = torch.randn(
        2, 3, 5, 2, 7, 11, dtype=torch.float64, generator=torch.Generator().manual_seed(0)
    )
    assert l1_loss(pred, true).item() == pytest.approx(np.abs(pred.numpy() - true.numpy()).mean(), rel=1e-12)


def test_hand_worked_value_does_not_grow_with_the_frame() -> None:
    pred = torch.tensor([0.5, -0.25]).view(1, 2, 1, 1)
    for size in (1, 13):
        frames = pred.expand(1, 2, size, size)
        assert l1_loss(frames, torch.zeros_like(frames)).item() == pytest.approx(0.375)


def test_gradient_is_the_sign_divided_by_the_number_of_values() -> None:
    pred = torch.tensor([0.5, -0.25, 0.75], dtype=torch.float64).view(1, 1, 1, 3).requires_grad_()
    true = torch.full_like(pred, 0.1, requires_grad=False)
    l1_loss(pred, true).backward()
    assert pred.grad is not None
    assert pred.grad.flatten().tolist() == pytest.approx([1 / 3, -1 / 3, 1 / 3])
    assert torch.autograd.gradcheck(lambda x: l1_loss(x, true), pred)


def test_shapes_that_would_broadcast_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected one shape, got \(1, 2, 5, 7\) and \(2, 5, 7\)"):
        l1_loss(torch.zeros(1, 2, 5, 7), torch.zeros(2, 5, 7))
