"""SSIM against scikit-image, by hand, and its window's edge cases."""

import numpy as np
import pytest
import torch
from ca_metrics import SSIM, ssim
from skimage.metrics import structural_similarity


def pair(shape: tuple[int, ...]) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    ramp = torch.linspace(0, 255, shape[-1]).expand(shape)
    true = (ramp + 30 * torch.randn(shape, generator=generator)).round().clamp(0, 255).byte()
    pred = (true + 25 * torch.randn(shape, generator=generator)).round().clamp(0, 255).byte()
    return pred, true


@pytest.mark.parametrize("size", [(11, 11), (11, 29), (23, 37)])
@pytest.mark.parametrize("scale", [1, 255.0])
def test_equals_scikit_image(size: tuple[int, int], scale: float) -> None:
    pred, true = (x if scale == 1 else x.double() / scale for x in pair((3, 3, *size)))
    expected = [
        structural_similarity(
            p.permute(1, 2, 0).numpy(),
            t.permute(1, 2, 0).numpy(),
            channel_axis=2,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
            data_range=255 / scale,
        )
        for p, t in zip(pred, true, strict=True)
    ]
    values = ssim(pred, true)
    assert values.dtype == torch.float64
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-10)


def test_hand_worked_value_of_flat_frames() -> None:
    # No variance: SSIM = (2 x y + C1) / (x^2 + y^2 + C1), x = 100, y = 200, C1 = 2.55^2.
    flat = torch.ones(1, 1, 13, 17, dtype=torch.uint8)
    expected = (2 * 100 * 200 + 6.5025) / (100**2 + 200**2 + 6.5025)
    assert ssim(flat * 100, flat * 200).item() == pytest.approx(expected, rel=1e-9)


def test_gradcheck() -> None:
    generator = torch.Generator().manual_seed(1)
    pred, true = (torch.rand(1, 1, 11, 13, dtype=torch.float64, generator=generator) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: ssim(x, true), pred.requires_grad_())


def test_symmetric_and_one_for_itself() -> None:
    pred, true = pair((2, 3, 19, 31))
    torch.testing.assert_close(ssim(pred, true), ssim(true, pred))
    assert ssim(true, true).tolist() == pytest.approx([1.0, 1.0])


def test_smaller_than_the_window_is_refused() -> None:
    with pytest.raises(ValueError, match=r"at least 11 x 11 pixels .* got 29 x 7"):
        ssim(torch.rand(1, 3, 7, 29), torch.rand(1, 3, 7, 29))


def test_metric_averages_frames() -> None:
    pred, true = pair((3, 3, 13, 17))
    metric = SSIM()
    for i in range(3):
        metric.update(pred[i : i + 1], true[i : i + 1])
    assert metric.compute() == pytest.approx(ssim(pred, true).mean().item())
