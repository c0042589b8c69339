"""Accumulating objects: frames, then clips; several ranks as one."""

import pytest
import torch
from ca_metrics import PSNR, SSIM, Colorfulness, psnr


def clips() -> list[tuple[torch.Tensor, torch.Tensor]]:
    generator = torch.Generator().manual_seed(0)
    return [tuple(torch.rand(2, t, 3, 5, 7, generator=generator)) for t in (2, 3, 11)]  # type: ignore[misc]


def scored(pairs: list[tuple[torch.Tensor, torch.Tensor]], piece: int = 100) -> PSNR:
    metric = PSNR()
    for pred, true in pairs:
        for p, t in zip(pred.split(piece), true.split(piece), strict=True):
            metric.update(p, t)
        metric.end_clip()
    return metric


def test_mean_over_frames_then_over_clips() -> None:
    expected = sum(psnr(pred, true).mean().item() for pred, true in clips()) / 3
    assert scored(clips()).compute() == pytest.approx(expected, rel=1e-12)
    assert scored(clips(), piece=1).compute() == pytest.approx(expected, rel=1e-12)


def test_several_ranks_equal_one_whatever_each_of_them_saw() -> None:
    ranks = [scored(clips()[:1]), scored(clips()[1:]), PSNR()]
    total = PSNR()
    total.merge(torch.stack([rank.state() for rank in ranks]).sum(0))  # what all_reduce(SUM) gives every rank
    assert total.compute() == pytest.approx(scored(clips()).compute(), rel=1e-12)
    one_by_one = PSNR()
    for rank in ranks:
        one_by_one.merge(rank.state())
    assert one_by_one.compute() == pytest.approx(total.compute(), rel=1e-12)


def test_an_open_clip_counts_and_reading_does_not_end_it() -> None:
    pred, true = clips()[2]
    metric = PSNR()
    metric.update(pred[:5], true[:5])
    first = metric.compute()
    assert first == metric.compute() == pytest.approx(psnr(pred[:5], true[:5]).mean().item())
    metric.update(pred[5:], true[5:])
    assert metric.state()[1] == 1
    assert metric.compute() == pytest.approx(psnr(pred, true).mean().item())


def test_ending_twice_or_without_frames_adds_no_clip() -> None:
    metric = scored(clips())
    before = metric.state()
    metric.end_clip()
    assert torch.equal(metric.state(), before)


def test_state_is_a_copy() -> None:
    metric = scored(clips())
    metric.state().zero_()
    assert metric.state()[1] == 3


def test_reset_forgets() -> None:
    metric = scored(clips())
    metric.reset()
    with pytest.raises(
        ValueError, match=r"PSNR.compute: expected at least one frame, got none; call update first"
    ):
        metric.compute()


@pytest.mark.parametrize("metric", [PSNR(), SSIM(), Colorfulness()])
def test_merging_something_else_is_refused(metric: PSNR) -> None:
    with pytest.raises(ValueError, match="state: expected 2 float64 sums"):
        metric.merge(torch.zeros(3, dtype=torch.float64))
