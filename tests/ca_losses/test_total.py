"""The weighted total: the paper's weights, its parts, and what weight 0 never builds."""

import math

import ca_losses.total
import pytest
import torch
from ca_losses import ColorizationLoss, LossWeights, VGGUnavailable
from torch import nn


class Brightness(nn.Module):
    """Stands for the perceptual loss: the difference of the mean brightness."""

    def __init__(self, weights: object) -> None:
        super().__init__()
        self.weights = weights

    def forward(self, pred: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        return (pred.mean() - true.mean()).abs()


@pytest.fixture
def no_vgg(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ca_losses.total, "PerceptualLoss", Brightness)


@pytest.mark.usefixtures("no_vgg")
def test_hand_worked_total_with_the_weights_of_the_paper() -> None:
    loss = ColorizationLoss(vgg_weights="given.pth")
    ab, rgb = (
        torch.full((2, 2, 5, 7), 0.5, requires_grad=True),
        torch.full((2, 3, 5, 7), 0.75, requires_grad=True),
    )
    logits = torch.zeros(2, 1, 3, 3, requires_grad=True)
    total, parts = loss(ab, ab.detach() - 0.25, pred_rgb=rgb, true_rgb=rgb.detach() - 0.5, fake_logits=logits)
    assert total.item() == pytest.approx(1 * 0.25 + 1 * 0.5 + 0.01 * math.log(2), rel=1e-6)
    values = {name: value.item() for name, value in parts.items()}
    assert values == pytest.approx({"pixel": 0.25, "perceptual": 0.5, "adversarial": math.log(2)}, rel=1e-6)
    assert not any(value.requires_grad for value in parts.values())
    total.backward()
    assert all(x.grad is not None and x.grad.abs().sum() > 0 for x in (ab, rgb, logits))
    assert loss.perceptual.weights == "given.pth"
    assert (loss.needs_rgb, loss.needs_discriminator) == (True, True)


def test_weight_0_never_builds_nor_asks_for_a_part(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path))
    with pytest.raises(VGGUnavailable):
        ColorizationLoss()
    ab = torch.full((1, 2, 5, 7), 0.5)
    loss = ColorizationLoss(LossWeights(perceptual=0, adversarial=0))
    assert list(loss.modules()) == [loss]
    assert (loss.needs_rgb, loss.needs_discriminator) == (False, False)
    total, parts = loss(ab, ab - 0.25)
    assert (total.item(), list(parts)) == (0.25, ["pixel"])
    only = ColorizationLoss(LossWeights(pixel=0, perceptual=0, adversarial=2))
    total, parts = only(ab, ab, fake_logits=torch.zeros(1, 1, 1, 1))
    assert list(parts) == ["adversarial"]
    assert total.item() == pytest.approx(2 * math.log(2), rel=1e-6)


@pytest.mark.usefixtures("no_vgg")
def test_missing_inputs_are_named() -> None:
    ab, rgb = torch.zeros(1, 2, 5, 7), torch.zeros(1, 3, 5, 7)
    with pytest.raises(
        ValueError, match=r"pred_rgb and true_rgb: expected RGB frames .* or set its weight to 0"
    ):
        ColorizationLoss()(ab, ab, pred_rgb=rgb)
    with pytest.raises(ValueError, match=r"fake_logits: expected logits .* or set its weight to 0"):
        ColorizationLoss()(ab, ab, pred_rgb=rgb, true_rgb=rgb)


@pytest.mark.parametrize("value", [-1.0, math.nan, math.inf])
def test_weights_are_validated(value: float) -> None:
    with pytest.raises(ValueError, match="perceptual: expected a finite weight of at least 0"):
        LossWeights(perceptual=value)
    with pytest.raises(ValueError, match="expected at least one above 0"):
        LossWeights(pixel=0, perceptual=0, adversarial=0)


def test_defaults_are_those_of_the_paper() -> None:
    assert vars(LossWeights()) == {
        "pixel": 1.0,
        "perceptual": 1.0,
        "adversarial": 0.01,
        "psnr": 0.0,
        "ssim": 0.0,
    }


def test_the_psnr_part_needs_rgb_and_counts():
    loss = ColorizationLoss(LossWeights(pixel=1, perceptual=0, adversarial=0, psnr=0.01))
    assert loss.needs_rgb
    ab, rgb = torch.rand(1, 2, 3, 5), torch.rand(1, 3, 3, 5)
    total, parts = loss(ab, ab + 0.5, pred_rgb=rgb, true_rgb=rgb + 0.1)
    assert parts["psnr"].item() == pytest.approx(10 * math.log10(0.01001), rel=1e-4)
    assert total.item() == pytest.approx(0.5 + 0.01 * parts["psnr"].item(), rel=1e-5)
    with pytest.raises(ValueError, match="RGB frames for the perceptual, PSNR or SSIM loss, got none"):
        loss(ab, ab)


def test_the_ssim_part_needs_rgb_and_counts():
    loss = ColorizationLoss(LossWeights(pixel=0, perceptual=0, adversarial=0, ssim=0.5))
    assert loss.needs_rgb
    ab, rgb = torch.zeros(1, 2, 16, 16), torch.rand(1, 3, 16, 16)
    total, parts = loss(ab, ab, pred_rgb=rgb, true_rgb=1 - rgb)
    assert sorted(parts) == ["ssim"]
    assert total.item() == pytest.approx(0.5 * parts["ssim"].item(), rel=1e-5)
