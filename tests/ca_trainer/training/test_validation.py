"""Validation on long clips: by how long ago the reference was, and what the frames are mixed from."""

import ca_metrics
import pytest
import torch
from ca_data import Clip, SyntheticClip, rgb_to_network, to_uint8
from ca_data.color import network_to_rgb
from ca_model import ColorOutput, Copy, Given
from ca_trainer.recipe import DataChoice
from ca_trainer.training.validation import Validation
from lightning.fabric import Fabric
from torch import Tensor, nn


class Fading(nn.Module):
    """Gives the reference's colours, paler with every frame; says it mixed them from two copies."""

    def forward(self, lightness: Tensor, references: Tensor, *, given: Given) -> ColorOutput:
        frames = lightness.shape[1]
        assert given.mask.tolist() == [[True] + [False] * (frames - 1)]
        strength = 0.95 ** torch.arange(frames)[:, None, None, None]
        ab = references[:, :1, 1:] * strength
        share = torch.full_like(lightness, 0.25)
        share[:, 0] = 1.0  # the reference is not scored, nor its shares counted
        copies = {"previous": Copy(ab, share), "attended": Copy(ab, 1 - share)}
        return ColorOutput(ab, torch.zeros_like(lightness), copies, None)  # type: ignore[arg-type]


def score(clip: Clip, frames: int) -> Tensor:
    rgb = clip.read(range(frames))
    lightness, ab = rgb_to_network(rgb)
    predicted = ab[:1] * 0.95 ** torch.arange(frames)[:, None, None, None]
    return ca_metrics.psnr(to_uint8(network_to_rgb(lightness, predicted))[1:], rgb[1:])


def test_spans_are_means_over_the_clips_that_reach_them() -> None:
    clips = [SyntheticClip(1, 40, (32, 48)), SyntheticClip(2, 12, (32, 48))]
    data = DataChoice(size=(32, 48), frames=40, validation_frames=36)
    result = Validation(clips, data).run(Fading(), Fabric(accelerator="cpu", devices=1))
    long, short = score(clips[0], 36), score(clips[1], 12)
    assert result.spans == pytest.approx(
        {
            "1_8": (long[:8].mean() + short[:8].mean()).item() / 2,
            "9_32": (long[8:32].mean() + short[8:].mean()).item() / 2,
            "33": long[32:].mean().item(),
        }
    )
    assert result.psnr == pytest.approx((long.mean() + short.mean()).item() / 2)
    assert result.spans["33"] < result.spans["1_8"]
    assert result.shares == pytest.approx({"previous": 0.25, "attended": 0.75})
