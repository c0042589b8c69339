"""The enlargement in which no new value can arise."""

import pytest
import torch
from ca_model.mixing import around, convex_upsample, enlarge_copies, pixel_shuffle, planes, unshuffled_conv
from torch.nn import functional as F


def test_convex_upsample_equals_it_written_out():
    torch.manual_seed(0)
    x, weights = torch.randn(2, 3, 5, 7), torch.randn(2, 9 * 4, 5, 7)
    out = convex_upsample(x, weights, 2)
    share = weights.reshape(2, 9, 2, 2, 5, 7).softmax(dim=1)
    for row, column, f, g in torch.cartesian_prod(*(torch.arange(n) for n in (5, 7, 2, 2))).tolist():
        expected = torch.zeros(2, 3)
        for n in range(9):
            i, j = min(max(row + n // 3 - 1, 0), 4), min(max(column + n % 3 - 1, 0), 6)
            expected += share[:, n, f, g, row, column, None] * x[:, :, i, j]
        torch.testing.assert_close(out[:, :, 2 * row + f, 2 * column + g], expected)


def test_convex_upsample_by_hand():
    """Equal weights average 3 x 3 places with the border repeated: of 0, 9 in a row, (0 + 0 + 9) / 3."""
    out = convex_upsample(torch.tensor([[[[0.0, 9.0]]]]), torch.zeros(1, 9 * 4, 1, 2), 2)
    torch.testing.assert_close(out, torch.tensor([[[[3.0, 3.0, 6.0, 6.0]] * 2]]))


def test_convex_upsample_makes_no_new_value():
    torch.manual_seed(0)
    x = torch.rand(1, 2, 5, 7)
    out = convex_upsample(x, 10 * torch.randn(1, 9 * 16, 5, 7), 4)
    assert out.shape == (1, 2, 20, 28)
    assert x.min() - 1e-6 <= out.min()
    assert out.max() <= x.max() + 1e-6


def test_convex_upsample_gradcheck_and_error():
    tensors = [torch.randn(1, c, 2, 3, dtype=torch.float64, requires_grad=True) for c in (2, 36)]
    assert torch.autograd.gradcheck(lambda x, weights: convex_upsample(x, weights, 2), tensors)
    with pytest.raises(ValueError, match=r"weights: expected \(1, 36, 2, 3\), got \(1, 9, 2, 3\)"):
        convex_upsample(torch.rand(1, 2, 2, 3), torch.rand(1, 9, 2, 3), 2)


def test_around_by_hand():
    """Of an error of 3 in the corner of 2 x 2 pixels, all of which see all: sqrt(9 / 4)."""
    error = torch.tensor([[[[3.0, 0.0], [0.0, 0.0]]]])
    torch.testing.assert_close(around(error, 3), torch.full((1, 1, 2, 2), 1.5))


def test_copies_are_enlarged_each_on_its_own():
    copies = torch.randn(2, 3, 2, 5, 7)
    larger = enlarge_copies(copies, (10, 14))
    assert larger.shape == (2, 3, 2, 10, 14)
    torch.testing.assert_close(larger[:, 1:2], enlarge_copies(copies[:, 1:2], (10, 14)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_planes_and_pixel_shuffle_equal_torchs(layout: torch.memory_format):
    x = torch.randn(2, 12, 5, 7).contiguous(memory_format=layout)
    assert planes(x).is_contiguous()
    torch.testing.assert_close(planes(x), x, rtol=0, atol=0)
    torch.testing.assert_close(pixel_shuffle(x), F.pixel_shuffle(x, 2), rtol=0, atol=0)


def test_a_convolution_of_unshuffled_pixels_equals_that_of_torchs_order():
    conv = torch.nn.Conv2d(4 * 3, 5, 3, padding=1).double()
    maps = [torch.randn(2, channels, 6, 10, dtype=torch.float64) for channels in (1, 2)]
    expected = conv(F.pixel_unshuffle(8 * torch.cat(maps, dim=1), 2))
    torch.testing.assert_close(unshuffled_conv(conv, maps, gain=8.0), expected)
