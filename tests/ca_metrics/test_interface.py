"""The accumulating metrics behave as torchmetrics' do, and one of them can be one."""

import copy
import pickle

import pytest
import torch
from ca_metrics import CDC, PSNR, SSIM, ClipMean, Colorfulness, WarpingError, psnr

torchmetrics = pytest.importorskip("torchmetrics")

from ca_metrics.processes import ClipMetric  # noqa: E402


def pair(frames: int, error: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.full((frames, 3, 16, 16), error), torch.zeros(frames, 3, 16, 16)


def test_a_call_gives_the_value_of_these_frames_and_adds_them() -> None:
    metric = PSNR()
    assert metric(*pair(2, 0.1)) == pytest.approx(20.0, abs=1e-4)
    assert metric.forward(*pair(2, 0.01)) == pytest.approx(40.0, abs=1e-4)
    assert metric.compute() == pytest.approx(30.0, abs=1e-4)
    metric.reset()
    with pytest.raises(ValueError, match=r"PSNR.compute: expected at least one frame"):
        metric.compute()


def test_a_call_leaves_clips_that_are_closed_alone() -> None:
    metric = PSNR()
    metric.update(*pair(1, 0.1))
    metric.end_clip()
    assert metric(*pair(3, 0.01)) == pytest.approx(40.0, abs=1e-4)
    assert metric.compute() == pytest.approx(30.0, abs=1e-4)


def test_merging_an_object_equals_merging_its_state() -> None:
    one, other = PSNR(), PSNR()
    one.update(*pair(2, 0.1))
    other.update(*pair(5, 0.01))
    copied = copy.deepcopy(one)
    one.merge(other)
    copied.merge(other.state())
    assert one.compute() == copied.compute() == pytest.approx(30.0, abs=1e-4)


@pytest.mark.parametrize(
    "metric", [PSNR(), SSIM(), CDC(), Colorfulness(), WarpingError()], ids=lambda m: type(m).__name__
)
def test_all_of_them_can_be_copied_and_pickled(metric: ClipMean) -> None:
    frames = torch.rand(6, 3, 16, 16)
    given = {
        "PSNR": (frames, frames * 0.9),
        "SSIM": (frames, frames * 0.9),
        "WarpingError": (frames, torch.zeros(5, 2, 16, 16), torch.ones(5, 1, 16, 16, dtype=torch.bool)),
    }.get(type(metric).__name__, (frames,))
    metric.reset()
    metric.update(*given)
    assert copy.deepcopy(metric).compute() == metric.compute()
    assert pickle.loads(pickle.dumps(metric)).compute() == metric.compute()


def test_a_clip_metric_is_torchmetrics_own() -> None:
    metric = ClipMetric(PSNR())
    collection = torchmetrics.MetricCollection({"psnr": metric})
    values = collection(*pair(2, 0.1))
    assert float(values["psnr"]) == pytest.approx(20.0, abs=1e-4)
    collection.update(*pair(7, 0.01))
    assert float(collection.compute()["psnr"]) == pytest.approx(30.0, abs=1e-4)
    collection.reset()
    assert float(collection["psnr"].totals.sum()) == 0


def test_processes_add_up() -> None:
    ranks = [ClipMetric(PSNR()) for _ in range(3)]
    frames = torch.rand(3, 4, 3, 16, 16)
    for rank, clip in zip(ranks, frames, strict=True):
        rank.update(clip, clip * 0.9)
    gathered = ranks[0]
    for other in ranks[1:]:
        gathered.merge_state(other)
    expected = torch.stack([psnr(clip, clip * 0.9).mean() for clip in frames]).mean()
    assert float(gathered.compute()) == pytest.approx(float(expected))
    assert gathered._reductions["totals"] is torch.sum or "sum" in str(gathered._reductions["totals"])
