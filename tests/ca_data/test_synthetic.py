"""Synthetic clips: repeatable, colourful, moving, and made from the wheel alone."""

import pytest
import torch
from ca_data import SyntheticClip, rgb_to_network, synthetic_clip


def test_same_seed_same_clip_and_no_global_seed():
    torch.manual_seed(0)
    first = synthetic_clip(5, frames=3, size=(37, 53))
    torch.manual_seed(1)
    assert torch.equal(first, synthetic_clip(5, frames=3, size=(37, 53)))
    assert not torch.equal(first, synthetic_clip(6, frames=3, size=(37, 53)))
    assert first.shape == (3, 3, 37, 53)
    assert first.dtype == torch.uint8


def test_clips_move_smoothly_and_have_color():
    for seed in range(6):
        clip = synthetic_clip(seed, frames=8, size=(56, 96))
        lightness, ab = rgb_to_network(clip)
        step = (lightness[1:] - lightness[:-1]).abs().mean()
        span = (lightness[-1] - lightness[0]).abs().mean()
        assert 0.002 < step < 0.25
        assert span > step
        assert ab.abs().mean() > 0.04


def test_a_clip_object_reads_like_a_folder():
    clip = SyntheticClip(2, frames=5, size=(32, 48))
    assert torch.equal(clip.read([3, 1]), clip.read()[[3, 1]])
    assert clip.signature != SyntheticClip(2, frames=5, size=(32, 50)).signature


@pytest.mark.parametrize(("frames", "size"), [(1, (16, 16)), (2, (97, 31))])
def test_odd_shapes(frames, size):
    assert synthetic_clip(1, frames, size).shape == (frames, 3, *size)


def test_errors():
    with pytest.raises(ValueError, match=r"got seed 0, frames 0, size \(32, 48\)"):
        synthetic_clip(0, 0, (32, 48))
    with pytest.raises(ValueError, match="seed -1"):
        synthetic_clip(-1)
