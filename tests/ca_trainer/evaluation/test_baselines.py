"""The four colorizers without a network."""

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from ca_data import FrameFolder, rgb_to_lab
from ca_metrics import psnr
from ca_trainer.evaluation.baselines import BASELINES, flow, grey, mean, static
from ca_trainer.evaluation.colorizers import BaselineColorizer
from ca_trainer.evaluation.motion import dis_flow
from torch import Tensor

STILLS = {0: torch.tensor([[[1.0, 5.0]], [[-2.0, 4.0]]]), 2: torch.tensor([[[9.0, 9.0]], [[0.0, 1.0]]])}


def lightness(count: int, height: int = 1, width: int = 2) -> list[Tensor]:
    return [torch.full((1, height, width), 50.0) for _ in range(count)]


def texture(shift: int) -> Tensor:
    """L of a photograph seen through a window that moves to the right."""
    picture = torch.from_numpy(skimage.data.camera()).float() / 2.55
    return picture[None, 101 : 101 + 97, 100 + shift : 100 + shift + 131]


def test_grey_has_no_color():
    assert all(ab.shape == (2, 1, 2) and not ab.any() for ab in grey(lightness(3), STILLS))


def test_mean_is_the_mean_of_the_latest_reference():
    tints = [ab.tolist() for ab in mean(lightness(4), STILLS)]
    assert tints[0] == tints[1] == [[[3.0, 3.0]], [[1.0, 1.0]]]
    assert tints[2] == tints[3] == [[[9.0, 9.0]], [[0.5, 0.5]]]


def test_static_is_the_latest_reference():
    copies = list(static(lightness(4), STILLS))
    assert torch.equal(copies[1], STILLS[0])
    assert torch.equal(copies[3], STILLS[2])


def test_flow_points_from_the_first_frame_into_the_second():
    motion = dis_flow(texture(0), texture(4))[:, 20:70, 20:100]
    assert motion[0].mean() == pytest.approx(-4, abs=0.3)
    assert motion[1].mean() == pytest.approx(0, abs=0.3)


def test_flow_equals_opencv_written_out():
    frames, still = [texture(0), texture(3)], torch.randn(2, 97, 131)
    first, second = ((frame[0].numpy() * 2.55).astype(np.uint8) for frame in frames)
    motion = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM).calc(second, first, None)
    x, y = np.meshgrid(np.arange(131), np.arange(97))
    grid = (x + motion[..., 0]).astype(np.float32), (y + motion[..., 1]).astype(np.float32)
    expected = cv2.remap(
        still.permute(1, 2, 0).numpy(), *grid, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    *_, carried = flow(frames, {0: still})
    torch.testing.assert_close(carried, torch.from_numpy(expected).permute(2, 0, 1))


def test_flow_chains_and_starts_anew_at_a_reference():
    ramp = torch.arange(131.0).expand(2, 97, 131)
    stills = {0: ramp, 3: -ramp}
    carried = list(flow([texture(3 * step) for step in range(5)], stills))
    middle = (0, 48, slice(40, 90))
    for step in range(3):  # the window moves right, so what is seen at x stood at x + 3 per step before
        assert (carried[step][middle] - ramp[middle]).mean() == pytest.approx(3 * step, abs=0.5)
    assert torch.equal(carried[3], -ramp)
    assert (carried[4][middle] + ramp[middle]).mean() == pytest.approx(-3, abs=0.5)


@pytest.mark.parametrize("method", [mean, static, flow])
def test_a_reference_at_frame_0_is_asked_for(method):
    with pytest.raises(ValueError, match="expected one at frame 0"):
        next(method(lightness(2, 16, 16), {}))


def test_flow_of_a_tiny_frame_is_refused():
    with pytest.raises(ValueError, match="at least 16x16 pixels for optical flow, got 9x11"):
        dis_flow(torch.zeros(1, 11, 9), torch.zeros(1, 11, 9))


# Fifty frames at full size; docs/evaluation.md has all twelve clips.
@pytest.mark.slow
@pytest.mark.parametrize(
    ("method", "expected"), [("grey", 21.38), ("mean", 23.65), ("static", 25.01), ("flow", 28.03)]
)
def test_published_rows_on_a_real_clip(shared_data, method: str, expected: float):
    truth = FrameFolder(shared_data / "davis" / "blackswan").read()
    lab = rgb_to_lab(truth)
    colored = BaselineColorizer(method).colorize("blackswan", iter(lab[:, :1]), {0: lab[0]})
    outputs = torch.stack([one.frame for one in colored])
    assert psnr(outputs[1:], truth[1:]).mean().item() == pytest.approx(expected, abs=0.006)


def test_names_of_the_methods():
    assert list(BASELINES) == ["grey", "mean", "static", "flow"]
