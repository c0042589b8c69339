"""What an accelerator computes many frames at a time equals what a processor computes one by one."""

from collections.abc import Callable

import pytest
import torch
from ca_metrics import colorfulness, psnr, ssim


@pytest.mark.parametrize(
    ("module", "metric"),
    [
        ("pixel", psnr),
        ("structural", ssim),
        ("color", lambda pred, _: colorfulness(pred)),
    ],
)
def test_frames_at_once_change_nothing(
    module: str, metric: Callable[..., torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    pred, true = torch.rand(2, 5, 3, 13, 17, generator=torch.Generator().manual_seed(0))
    one_by_one = metric(pred, true)
    for size in (2, 16):
        monkeypatch.setattr(f"ca_metrics.{module}.frames_at_once", lambda _, size=size: size)
        torch.testing.assert_close(metric(pred, true), one_by_one, rtol=1e-12, atol=0)
