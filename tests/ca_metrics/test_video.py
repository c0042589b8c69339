"""A clip's scores: the protocol, what is missing and why, pieces, and the mean over clips."""

import json
import math

import pytest
import torch
from ca_metrics import (
    METRICS,
    ClipScorer,
    ClipScores,
    cdc,
    colorfulness,
    mean_scores,
    psnr,
    score_clip,
    ssim,
    visibility_mask,
    warping_error,
)
from ca_metrics.frames import quantize
from torch import nn


def pair(frames: int = 7, size: tuple[int, int] = (37, 41)) -> tuple[torch.Tensor, torch.Tensor]:
    pred, true = torch.rand(2, frames, 3, *size, generator=torch.Generator().manual_seed(0))
    return pred, true


class Distance(nn.Module):
    """Stands for the LPIPS network: a number that shows which frames it saw."""

    def forward(self, pred: torch.Tensor, true: torch.Tensor) -> torch.Tensor:
        return (pred - true).abs().mean((1, 2, 3), keepdim=True)


def test_first_frame_protocol_skips_frame_0_for_all_but_cdc() -> None:
    pred, true = pair()
    scores = score_clip(pred, true, skip_first=True, lpips=Distance())
    p, t = quantize(pred), quantize(true)
    assert (scores.frames, scores.scored_frames) == (7, 6)
    assert scores.psnr == pytest.approx(psnr(p, t)[1:].mean().item())
    assert scores.ssim == pytest.approx(ssim(p, t)[1:].mean().item())
    assert scores.lpips == pytest.approx(2 * (p[1:] / 255.0 - t[1:] / 255.0).abs().mean().item(), rel=1e-5)
    assert scores.colorfulness == pytest.approx(colorfulness(p)[1:].mean().item())
    assert scores.colorfulness_truth == pytest.approx(colorfulness(t)[1:].mean().item())
    assert scores.cdc == pytest.approx(cdc(p).item())
    assert scores.cdc_truth == pytest.approx(cdc(t).item())
    assert scores.cdc_distance == pytest.approx(abs(cdc(p).item() - cdc(t).item()))
    assert scores.per_frame["psnr"] == pytest.approx(psnr(p, t)[1:].tolist())


def test_without_skip_first_every_frame_counts() -> None:
    pred, true = pair()
    scores = score_clip(pred, true)
    assert scores.scored_frames == 7
    assert scores.psnr == pytest.approx(psnr(quantize(pred), quantize(true)).mean().item())


@pytest.mark.parametrize("piece", [1, 2, 6])
def test_pieces_equal_the_whole_clip(piece: int) -> None:
    pred, true = pair()
    scorer = ClipScorer(skip_first=True)
    for p, t in zip(pred.split(piece), true.split(piece), strict=True):
        scorer.update(p, t)
    pieces, whole = scorer.scores().as_dict(), score_clip(pred, true, skip_first=True).as_dict()
    assert pieces.pop("per_frame") == whole.pop("per_frame")
    assert pieces.pop("notes") == whole.pop("notes")
    assert pieces.keys() == whole.keys()
    for name, value in whole.items():
        assert pieces[name] == (value if value is None else pytest.approx(value, rel=1e-12)), name


def test_warping_error_of_prediction_and_truth() -> None:
    pred, true = pair()
    forward, backward = torch.full((6, 2, 37, 41), 0.3), torch.full((6, 2, 37, 41), -0.3)
    scores = score_clip(pred, true, flows=(forward, backward))
    visible = visibility_mask(forward, backward)
    for frames, value in ((pred, scores.warping_error), (true, scores.warping_error_truth)):
        assert value == pytest.approx(warping_error(quantize(frames), forward, visible).mean().item())
    assert not any(name.startswith("warping") for name in scores.notes)


def test_what_is_missing_is_none_and_says_why() -> None:
    pred, true = pair(frames=3, size=(5, 7))
    scores = score_clip(pred, true)
    missing = {name for name in METRICS if getattr(scores, name) is None}
    assert missing == set(METRICS) - {"psnr", "colorfulness", "colorfulness_truth"}
    assert set(scores.notes) == missing
    assert scores.notes["ssim"] == "needs frames of at least 11 x 11 pixels"
    assert scores.notes["cdc_distance"] == "needs more than 4 frames"
    assert (
        score_clip(pred, true, lpips=Distance()).notes["lpips"] == "needs frames of at least 32 x 32 pixels"
    )


def test_identical_frames_give_valid_json() -> None:
    pred, true = pair()
    pred[2] = true[2]
    scores = score_clip(pred, true).as_dict()
    assert scores["psnr"] is None
    assert scores["notes"]["psnr"] == "infinite: 1 of 7 frames equal the truth"
    assert [math.isfinite(v) if v is not None else v for v in scores["per_frame"]["psnr"]].index(None) == 2
    json.dumps(scores, allow_nan=False)


def test_no_frame_to_score_is_refused() -> None:
    with pytest.raises(ValueError, match="got 1 frames with skip_first=True; skip_first needs at least two"):
        score_clip(torch.rand(1, 3, 5, 7), torch.rand(1, 3, 5, 7), skip_first=True)
    with pytest.raises(ValueError, match='expected frames "t 3 h w"'):
        score_clip(torch.rand(2, 1, 5, 7), torch.rand(2, 1, 5, 7))


def test_mean_is_over_clips_and_the_distance_is_of_the_means() -> None:
    a = ClipScores(frames=3, scored_frames=2, psnr=20.0, cdc=3.0, cdc_truth=1.0, cdc_distance=2.0)
    b = ClipScores(frames=100, scored_frames=99, psnr=30.0, cdc=1.0, cdc_truth=3.0, cdc_distance=2.0)
    mean = mean_scores({"a": a, "b": b})
    assert (mean.psnr, mean.cdc, mean.cdc_truth, mean.cdc_distance) == (25.0, 2.0, 2.0, 0.0)
    assert (mean.frames, mean.scored_frames) == (103, 101)


def test_mean_misses_what_a_clip_misses() -> None:
    a = ClipScores(frames=9, scored_frames=9, psnr=20.0, ssim=0.5, notes={"lpips": "no weights"})
    b = ClipScores(frames=3, scored_frames=3, psnr=30.0, notes={"ssim": "too small", "lpips": "no weights"})
    mean = mean_scores({"a": a, "b": b})
    assert (mean.psnr, mean.ssim, mean.lpips) == (25.0, None, None)
    assert mean.notes["ssim"] == "b: too small"
    assert mean.notes["lpips"] == "no weights"
    with pytest.raises(ValueError, match="expected at least one scored clip"):
        mean_scores({})
