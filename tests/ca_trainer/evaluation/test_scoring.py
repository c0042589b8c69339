"""Scoring frame by frame against scoring whole clips."""

from itertools import pairwise

import ca_metrics
import pytest
import torch
from ca_data import rgb_to_lab, synthetic_clip
from ca_trainer.evaluation.motion import dis_flow
from ca_trainer.evaluation.protocols import EvaluationProtocol
from ca_trainer.evaluation.scoring import ProtocolScorer

TRUTH = synthetic_clip(3, frames=7, size=(37, 53))
OUTPUT = synthetic_clip(4, frames=7, size=(37, 53))


def scored(protocol: EvaluationProtocol, output: torch.Tensor) -> ca_metrics.ClipScores:
    scorer = ProtocolScorer(protocol.scored_frames(len(output)))
    for number in range(len(output)):
        scorer.add(number, output[number], TRUTH[number])
    return scorer.scores()


def test_first_frame_equals_ca_metrics_on_the_whole_clip():
    light = rgb_to_lab(TRUTH)[:, :1]
    forward = torch.stack([dis_flow(a, b) for a, b in pairwise(light)])
    backward = torch.stack([dis_flow(b, a) for a, b in pairwise(light)])
    given = torch.cat([TRUTH[:1], OUTPUT[1:]])  # the reference stands in the output as it was given
    expected = ca_metrics.score_clip(given, TRUTH, skip_first=True, flows=(forward, backward))
    found = scored(EvaluationProtocol(), OUTPUT)
    assert found.lpips is expected.lpips is None
    for name in set(ca_metrics.METRICS) - {"lpips"}:
        assert getattr(found, name) == pytest.approx(getattr(expected, name), rel=1e-9), name
    assert found.frames == 7
    assert found.scored_frames == 6


def test_every_k_scores_the_other_frames_only():
    found = scored(EvaluationProtocol(3), OUTPUT)
    others = [1, 2, 4, 5]
    expected = ca_metrics.psnr(OUTPUT[others], TRUTH[others])
    assert found.per_frame["psnr"] == pytest.approx(expected.tolist())
    assert found.psnr == pytest.approx(expected.mean().item())


def test_what_a_system_says_of_its_reference_does_not_count():
    spoiled = OUTPUT.clone()
    spoiled[0] = 0
    assert scored(EvaluationProtocol(), spoiled) == scored(EvaluationProtocol(), OUTPUT)


def test_truth_has_no_distance_and_no_psnr():
    found = scored(EvaluationProtocol(), TRUTH)
    assert found.cdc_distance == 0
    assert found.cdc == found.cdc_truth
    assert found.warping_error == found.warping_error_truth
    assert found.psnr is None
    assert "equal the truth" in found.notes["psnr"]


def test_a_clip_too_short_for_cdc_says_so():
    scorer = ProtocolScorer([1, 2])
    for number in range(3):
        scorer.add(number, OUTPUT[number], TRUTH[number])
    scores = scorer.scores()
    assert scores.cdc is None
    assert "more than 4 frames" in scores.notes["cdc"]
    assert scores.ssim is not None
