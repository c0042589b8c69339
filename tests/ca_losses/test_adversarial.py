"""Adversarial losses by hand and as cross-entropy; the discriminator's shape, reach, norm and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from ca_losses import PatchDiscriminator, discriminator_loss, generator_loss
from torch import nn


def logits(seed: int) -> torch.Tensor:
    return torch.randn(2, 1, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * 3


def test_equal_binary_cross_entropy() -> None:
    real, fake = logits(0), logits(1)
    ones, zeros = torch.ones_like(real), torch.zeros_like(real)
    expected = F.binary_cross_entropy(real.sigmoid(), ones) + F.binary_cross_entropy(fake.sigmoid(), zeros)
    torch.testing.assert_close(discriminator_loss(real, fake), expected)
    torch.testing.assert_close(generator_loss(fake), F.binary_cross_entropy(fake.sigmoid(), ones))


def test_hand_worked_values() -> None:
    # P(true) = 3/4 and P(fake) = 1/5: -log 3/4 - log 4/5 = log 5/3; the generator pays log 5.
    real, fake = torch.full((1, 1, 1, 1), math.log(3.0)), torch.full((1, 1, 1, 1), -math.log(4.0))
    assert discriminator_loss(real, fake).item() == pytest.approx(math.log(5 / 3), rel=1e-5)
    assert generator_loss(fake).item() == pytest.approx(math.log(5), rel=1e-5)


def test_a_sure_discriminator_leaves_the_generator_its_gradient() -> None:
    fake = torch.full((1, 1, 1, 1), -200.0, requires_grad=True)
    generator_loss(fake).backward()
    assert fake.grad is not None
    assert fake.grad.item() == pytest.approx(-1.0)
    assert discriminator_loss(-fake.detach() * 5, fake.detach() * 5).item() == 0.0
    assert discriminator_loss(fake.detach(), -fake.detach()).item() == pytest.approx(400.0)


def test_gradcheck() -> None:
    real, fake = logits(0).requires_grad_(), logits(1).requires_grad_()
    assert torch.autograd.gradcheck(discriminator_loss, (real, fake))
    assert torch.autograd.gradcheck(generator_loss, (fake,))


@pytest.mark.parametrize(
    ("size", "layers", "expected"), [((24, 24), 3, (1, 1)), ((59, 83), 3, (5, 8)), ((13, 29), 2, (1, 5))]
)
def test_shape(size: tuple[int, int], layers: int, expected: tuple[int, int]) -> None:
    assert PatchDiscriminator(channels=2, layers=layers)(torch.randn(3, 3, *size)).shape == (3, 1, *expected)


def test_a_patch_sees_70_pixels_and_frames_do_not_mix() -> None:
    discriminator = PatchDiscriminator(channels=4).eval()
    frames = torch.randn(2, 3, 112, 112, requires_grad=True)
    discriminator(frames)[0, 0, 6, 6].backward()
    assert frames.grad is not None
    seen = frames.grad[0].abs().sum(0).nonzero()
    assert (seen.amax(0) - seen.amin(0) + 1).tolist() == [70, 70]
    assert not frames.grad[1].any()


def test_a_cast_is_not_normalised_away() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(channels=8).eval()
    frames = torch.randn(1, 3, 48, 48) * 0.1
    cast = frames + torch.tensor([0.0, 0.5, 0.0]).view(1, 3, 1, 1)
    assert (discriminator(cast) - discriminator(frames)).abs().min() > 1e-4


def test_every_convolution_has_spectral_norm_1() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(channels=4)
    for _ in range(20):  # each training pass sharpens the estimate
        discriminator(torch.randn(1, 3, 24, 24))
    norms = [
        torch.linalg.matrix_norm(m.weight.flatten(1), 2)
        for m in discriminator.modules()
        if isinstance(m, nn.Conv2d)
    ]
    assert len(norms) == 5
    torch.testing.assert_close(torch.stack(norms), torch.ones(5), rtol=0.02, atol=0)


def test_gradients_flow_to_both_and_a_step_of_each_wins_ground() -> None:
    torch.manual_seed(0)
    discriminator = PatchDiscriminator(channels=4)
    lightness, real = torch.rand(2, 1, 32, 32), torch.rand(2, 2, 32, 32)
    ab = torch.zeros(2, 2, 32, 32, requires_grad=True)
    generator_loss(discriminator(torch.cat([lightness, ab], 1))).backward()
    assert ab.grad is not None
    assert ab.grad.abs().sum() > 0

    discriminator.zero_grad()
    optimizer = torch.optim.Adam(discriminator.parameters(), lr=1e-2)
    true, fake = torch.cat([lightness, real], 1), torch.cat([lightness, ab.detach()], 1)
    losses = []
    for _ in range(5):
        optimizer.zero_grad()
        value = discriminator_loss(discriminator(true), discriminator(fake))
        value.backward()
        assert all(p.grad is not None and p.grad.isfinite().all() for p in discriminator.parameters())
        optimizer.step()
        losses.append(value.item())
    assert losses[-1] < losses[0]


def test_error_text() -> None:
    discriminator = PatchDiscriminator(channels=2)
    with pytest.raises(
        ValueError, match=r'expected "b 3 h w" of at least 24 x 24 pixels, got \(1, 2, 32, 32\)'
    ):
        discriminator(torch.zeros(1, 2, 32, 32))
    with pytest.raises(ValueError, match=r"got \(1, 3, 23, 32\)"):
        discriminator(torch.zeros(1, 3, 23, 32))
    with pytest.raises(ValueError, match="flatten time into the batch"):
        discriminator(torch.zeros(1, 2, 3, 32, 32))
    with pytest.raises(ValueError, match="layers: expected at least 1, got 0"):
        PatchDiscriminator(layers=0)
