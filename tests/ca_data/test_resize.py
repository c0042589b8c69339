"""The one resizing filter, sizes as they are typed, and chroma upsampling under the guidance of luma."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from ca_data import network_to_rgb, parse_size, resize, rgb_to_network, synthetic_clip, upsample_chroma
from PIL import Image


@pytest.mark.parametrize("size", [(11, 13), (47, 61), (23, 59)])
def test_resize_equals_pillow_bicubic(size):
    picture = synthetic_clip(0, frames=1, size=(31, 43))[0]
    pillow = Image.fromarray(picture.permute(1, 2, 0).numpy()).resize(size[::-1], Image.Resampling.BICUBIC)
    expected = torch.from_numpy(np.array(pillow)).permute(2, 0, 1)
    assert (resize(picture, size).int() - expected.int()).abs().max() <= 1
    torch.testing.assert_close(
        resize(picture / 255.0, size).clamp(0, 1) * 255, expected.float(), atol=1.5, rtol=0
    )


def test_resize_keeps_type_batch_and_constants():
    frames = torch.full((2, 5, 3, 7, 11), 7, dtype=torch.uint8)
    assert resize(frames, (13, 17)).shape == (2, 5, 3, 13, 17)
    assert resize(frames, (3, 5)).unique().tolist() == [7]
    assert resize(frames, (7, 11)) is frames
    assert torch.autograd.gradcheck(
        lambda x: resize(x, (3, 5)), torch.rand(1, 2, 5, 7, dtype=torch.float64, requires_grad=True)
    )


def test_resize_errors():
    with pytest.raises(ValueError, match=r"size must be \(height, width\), both >= 1, got \(0, 5\)"):
        resize(torch.zeros(1, 3, 5, 7), (0, 5))
    with pytest.raises(ValueError, match=r"got torch\.int64 \(1, 3, 5, 7\)"):
        resize(torch.zeros(1, 3, 5, 7, dtype=torch.int64), (3, 5))


def test_constant_chroma_stays_exactly_constant():
    guide = torch.rand(2, 1, 29, 37)
    chroma = torch.tensor([0.3, -0.7]).view(1, 2, 1, 1).expand(2, 2, 11, 13)
    full = upsample_chroma(chroma, resize(guide, (11, 13)), guide)
    assert torch.equal(full, chroma[..., :1, :1].expand(2, 2, 29, 37))


def test_flat_guide_gives_the_plain_resize():
    chroma = torch.rand(1, 2, 11, 13)
    low, full = torch.full((1, 1, 11, 13), 0.25), torch.full((1, 1, 29, 37), 0.25)
    torch.testing.assert_close(
        upsample_chroma(chroma, low, full), resize(chroma, (29, 37)), atol=1e-5, rtol=0
    )


def test_edge_of_the_guide_is_kept_sharper_than_by_plain_resizing():
    guide = torch.full((1, 1, 64, 96), -0.5)
    guide[..., 37:] = 0.5
    true = torch.cat((guide * 0.8, guide * -0.4), dim=1)
    low = F.adaptive_avg_pool2d(torch.cat((true, guide), dim=1), (16, 24))
    full = upsample_chroma(low[:, :2], low[:, 2:], guide)
    bilinear = F.interpolate(low[:, :2], (64, 96), mode="bilinear")
    bicubic = resize(low[:, :2], (64, 96))
    error = (full - true).abs().mean()
    assert error < 0.5 * (bilinear - true).abs().mean()
    assert error < 0.7 * (bicubic - true).abs().mean()


def test_grain_without_color_leaves_none():
    generator = torch.Generator().manual_seed(0)
    grain = torch.randn(1, 1, 64, 96, generator=generator) * 0.3
    x = torch.linspace(-0.5, 0.5, 24).expand(1, 2, 16, 24)
    full = upsample_chroma(x, resize(grain, (16, 24)), grain)
    assert (full - resize(x, (64, 96))).abs().mean() < 0.004


def test_real_pictures_gain_from_the_guide():
    rgb = synthetic_clip(7, frames=2, size=(96, 160))
    lightness, ab = rgb_to_network(rgb)
    low = (24, 40)
    full = upsample_chroma(resize(ab, low), resize(lightness, low), lightness)

    def error(chroma: torch.Tensor) -> float:
        return float((network_to_rgb(lightness, chroma).clamp(0, 1) - rgb / 255).square().mean())

    assert error(full) < 0.95 * error(resize(resize(ab, low), (96, 160)))


def test_detail_stays_within_the_range_of_the_chroma_around():
    generator = torch.Generator().manual_seed(1)
    guide = torch.randn(1, 1, 60, 84, generator=generator)
    low = resize(guide, (20, 28))
    chroma = torch.cat((low, -low), dim=1).clamp(-0.3, 0.3)
    plain = resize(chroma, (60, 84))
    full = upsample_chroma(chroma, low, guide)
    assert full.max() <= plain.max().clamp(min=0.3) + 1e-6
    assert full.min() >= plain.min().clamp(max=-0.3) - 1e-6


def test_gradients():
    inputs = [torch.rand(1, c, h, w, dtype=torch.float64) for c, h, w in ((2, 3, 5), (1, 3, 5), (1, 7, 11))]
    for tensor in inputs:
        tensor.requires_grad_()
    assert torch.autograd.gradcheck(lambda *x: upsample_chroma(*x), inputs)


def test_upsampling_errors():
    with pytest.raises(ValueError, match=r"chroma \(1, 2, 5, 7\), guide_low \(1, 1, 7, 5\)"):
        upsample_chroma(torch.zeros(1, 2, 5, 7), torch.zeros(1, 1, 7, 5), torch.zeros(1, 1, 11, 13))
    with pytest.raises(ValueError, match="radius >= 1"):
        upsample_chroma(torch.zeros(1, 2, 5, 7), torch.zeros(1, 1, 5, 7), torch.zeros(1, 1, 11, 13), radius=0)


def test_parse_size_gives_height_first():
    assert parse_size("384x224") == (224, 384)
    assert parse_size(" 64X32 ") == (32, 64)
    assert parse_size("16x8192") == (8192, 16)


@pytest.mark.parametrize(
    "text", ["384", "384x", "x224", "384x224x3", "8x224", "-384x224", "384x8193", "a x b", ""]
)
def test_parse_size_refuses(text: str):
    with pytest.raises(ValueError, match=f"size: expected WIDTHxHEIGHT, .* got '{text}'; write .*384x224"):
        parse_size(text)
