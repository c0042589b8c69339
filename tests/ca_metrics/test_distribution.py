"""CDC: hand-worked histograms, scipy, the check values of EVAL.md, and streams."""

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from ca_metrics import CDC, cdc
from PIL import Image
from scipy.stats import entropy

DAVIS = Path(__file__).resolve().parents[3] / "shared" / "data" / "davis"


def clip(frames: int = 7) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randint(0, 256, (frames, 3, 11, 13), dtype=torch.uint8, generator=generator)


def test_equals_scipy() -> None:
    frames = clip()
    entries = np.stack([[np.bincount(c.flatten(), minlength=256) / 143 for c in f] for f in frames.numpy()])
    values = []
    for d in (1, 2, 4):
        for c in range(3):
            pairs = [(entries[i, c], entries[i + d, c]) for i in range(7 - d)]
            values.append(
                np.mean([(entropy(p, (p + q) / 2) + entropy(q, (p + q) / 2)) / 2 for p, q in pairs])
            )
    assert cdc(frames).item() == pytest.approx(np.mean(values), rel=1e-10)


def test_hand_worked_value_of_disjoint_histograms() -> None:
    # Black and white frames in turn: at distance 1 no bin is shared (JS = log 2), at 2 and 4 all are (0).
    frames = torch.zeros(6, 3, 2, 5, dtype=torch.uint8)
    frames[1::2] = 255
    assert cdc(frames).item() == pytest.approx(math.log(2) / 3, rel=1e-12)
    assert cdc(frames, distances=(1,)).item() == pytest.approx(math.log(2), rel=1e-12)


def test_hand_worked_value_of_overlapping_histograms() -> None:
    # p = (3/4, 1/4), q = (1/4, 3/4), m = (1/2, 1/2) in one of three channels: JS = 3/4 log 3/2 + 1/4 log 1/2.
    frames = torch.zeros(2, 3, 1, 4, dtype=torch.uint8)
    frames[0, 1, 0, 0] = frames[1, 1, 0, 1:] = 9
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    assert cdc(frames, distances=(1,)).item() == pytest.approx(expected / 3, rel=1e-12)


@pytest.mark.parametrize(
    ("name", "expected"), [("blackswan", 0.001043302), ("camel", 0.000851566), ("dog", 0.002375311)]
)
def test_check_values_of_the_authors_script(name: str, expected: float) -> None:
    paths = sorted((DAVIS / name).glob("*.jpg"))
    if not paths:
        pytest.skip("the DAVIS clips of the shared data folder are not here")
    frames = torch.stack([torch.from_numpy(np.array(Image.open(path).convert("RGB"))) for path in paths])
    # Five digits, as far as the script's float32 histograms carry: with them camel gives 0.00085156556.
    assert cdc(frames.permute(0, 3, 1, 2)).item() == pytest.approx(expected, rel=6e-6)


def test_floats_are_rounded_to_8_bit() -> None:
    frames = clip()
    jitter = (torch.rand(frames.shape, generator=torch.Generator().manual_seed(2)) - 0.5) * 0.9 / 255
    assert cdc((frames / 255.0 + jitter).clamp(0, 1)) == cdc(frames)


def test_pixels_may_move_within_a_frame_but_not_between_channels() -> None:
    frames = clip()
    assert cdc(frames.flip(-1)).item() == pytest.approx(cdc(frames).item())
    flat = torch.tensor([0, 50, 100], dtype=torch.uint8).view(1, 3, 1, 1).repeat(6, 1, 2, 5)
    flat[::2] = flat[::2].roll(1, dims=1)
    assert cdc(flat).item() == pytest.approx(math.log(2) / 3, rel=1e-12)


@pytest.mark.parametrize("piece", [1, 2, 3, 5, 7])
def test_stream_equals_the_whole_clip(piece: int) -> None:
    metric = CDC()
    for part in clip().split(piece):
        metric.update(part)
    assert metric.compute() == pytest.approx(cdc(clip()).item(), rel=1e-12)


def test_metric_averages_clips_not_frames() -> None:
    metric, short, long = CDC(), clip(5), torch.zeros(23, 3, 11, 13, dtype=torch.uint8)
    for frames in (short, long):
        metric.update(frames)
        metric.end_clip()
    assert metric.compute() == pytest.approx(cdc(short).item() / 2)


def test_short_clips_are_refused() -> None:
    with pytest.raises(ValueError, match=r"expected more than 4 frames .* got 4"):
        cdc(clip(4))
    metric = CDC()
    metric.update(clip(4))
    with pytest.raises(ValueError, match=r"expected more than 4 frames .* got 4"):
        metric.end_clip()
    with pytest.raises(ValueError, match="expected positive frame distances"):
        cdc(clip(), distances=(0, 1))
