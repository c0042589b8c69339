"""PSNR against scikit-image, by hand, and against the unsigned wrap-around of a rival's script."""

import numpy as np
import pytest
import torch
from ca_metrics import PSNR, psnr
from ca_metrics.frames import quantize
from skimage.metrics import peak_signal_noise_ratio


def noisy_pair(seed: int = 0, shape: tuple[int, ...] = (2, 3, 37, 53)) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    true = torch.randint(0, 256, shape, dtype=torch.uint8, generator=generator)
    noise = 20 * torch.randn(shape, generator=generator)
    return (true + noise).round().clamp(0, 255).byte(), true


def test_equals_scikit_image_on_bytes_and_not_the_wrapped_around_value() -> None:
    pred, true = noisy_pair()
    values = psnr(pred, true)
    expected = [
        peak_signal_noise_ratio(t.numpy(), p.numpy(), data_range=255) for p, t in zip(pred, true, strict=True)
    ]
    np.testing.assert_allclose(values.numpy(), expected, rtol=1e-12)
    # The trap: unsigned bytes subtracted and squared as bytes lose what exceeds 255 and gain several dB.
    wrapped = 10 * np.log10(255**2 / np.mean((pred.numpy() - true.numpy()) ** 2))
    assert wrapped > values.mean() + 3


def test_hand_worked_value() -> None:
    true = torch.zeros(1, 3, 2, 2, dtype=torch.uint8)
    pred = true.clone()
    pred[0, 0, 0, 0] = 60
    # MSE = 60^2 / 12 = 300 and 65025 / 300 = 216.75; a difference below zero is what wraps around first.
    for value in (psnr(pred, true), psnr(true, pred)):
        assert value.item() == pytest.approx(23.35959, abs=1e-5)


def test_bytes_floats_and_a_mixture_agree() -> None:
    pred, true = noisy_pair()
    torch.testing.assert_close(psnr(pred / 255.0, true / 255.0), psnr(pred, true), atol=1e-4, rtol=0)
    torch.testing.assert_close(psnr(pred / 255.0, true), psnr(pred, true), atol=1e-4, rtol=0)


def test_returns_one_float64_value_per_frame_and_frames_do_not_mix() -> None:
    pred, true = noisy_pair(shape=(5, 3, 7, 11))
    values = psnr(pred, true)
    assert values.shape == (5,)
    assert values.dtype == torch.float64
    torch.testing.assert_close(values[3:4], psnr(pred[3:4], true[3:4]))


def test_identical_frames_are_infinitely_good() -> None:
    pred, _ = noisy_pair()
    assert torch.isinf(psnr(pred, pred)).all()


def test_gradcheck() -> None:
    generator = torch.Generator().manual_seed(1)
    pred, true = (torch.rand(2, 3, 2, 5, dtype=torch.float64, generator=generator) for _ in range(2))
    assert torch.autograd.gradcheck(lambda x: psnr(x, true), pred.requires_grad_())


def test_metric_keeps_no_graph_and_averages_frames() -> None:
    pred, true = (torch.full((3, 3, 4, 4), v, requires_grad=True) for v in (0.1, 0.0))
    metric = PSNR()
    metric.update(pred, true)
    assert not any(v.requires_grad for v in vars(metric).values() if isinstance(v, torch.Tensor))
    assert metric.compute() == pytest.approx(20.0, abs=1e-5)


@pytest.mark.parametrize(
    ("pred", "true", "message"),
    [
        (torch.rand(3, 5, 7), torch.rand(3, 5, 7), 'expected frames "t c h w", got shape'),
        (torch.rand(1, 3, 5, 7), torch.rand(1, 3, 7, 5), "expected one shape"),
        (torch.rand(1, 3, 5, 7) * 255, torch.rand(1, 3, 5, 7), "divide 0..255 frames by 255"),
        (torch.full((1, 3, 5, 7), torch.nan), torch.rand(1, 3, 5, 7), r"got \[nan, nan\]"),
        (torch.ones(1, 3, 5, 7, dtype=torch.int64), torch.rand(1, 3, 5, 7), "expected uint8 or float"),
        (torch.rand(0, 3, 5, 7), torch.rand(0, 3, 5, 7), "expected at least one frame"),
    ],
)
def test_error_text(pred: torch.Tensor, true: torch.Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        psnr(pred, true)


def test_quantize_clips_and_rounds_as_writing_an_image_does() -> None:
    values = torch.tensor([-0.2, 0.0, 0.4 / 255, 0.6 / 255, 254.4 / 255, 1.0, 1.3]).view(1, 1, 1, 7)
    assert quantize(values).flatten().tolist() == [0, 0, 0, 1, 254, 255, 255]
    assert quantize(values.bfloat16()).dtype == torch.uint8
    levels = torch.arange(256, dtype=torch.uint8).view(1, 1, 1, 256)
    assert torch.equal(quantize(levels / 255.0), levels)
    assert quantize(levels) is levels
