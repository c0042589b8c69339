"""Colour conversion against scikit-image, hand-worked values, round trips, gradients and errors."""

import numpy as np
import pytest
import torch
from ca_data import (
    denormalize_lab,
    lab_to_rgb,
    network_to_rgb,
    normalize_lab,
    rgb_to_lab,
    rgb_to_network,
    to_uint8,
)
from skimage.color import lab2rgb, rgb2lab


def pictures(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


def cube(levels: int) -> torch.Tensor:
    """Every combination of `levels` values per channel, as one uint8 picture."""
    axis = torch.linspace(0, 255, levels).round().to(torch.uint8)
    return torch.cartesian_prod(axis, axis, axis).T.reshape(3, levels, levels * levels).contiguous()


def test_lab_equals_scikit_image():
    rgb = pictures(2, 5, 3, 7, 11).double()
    expected = rgb2lab(rgb.movedim(2, -1).numpy())
    got = rgb_to_lab(rgb.float()).movedim(2, -1).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-3)


def test_lab_of_the_darkest_and_all_cube_colors_equals_scikit_image():
    dark = torch.arange(0, 48, dtype=torch.uint8).view(1, 1, 48).expand(3, 1, 48)
    for picture in (cube(9), dark):
        expected = rgb2lab(picture.permute(1, 2, 0).numpy())
        np.testing.assert_allclose(rgb_to_lab(picture).permute(1, 2, 0).numpy(), expected, atol=1e-3)


def test_rgb_equals_scikit_image():
    lab = rgb_to_lab(cube(7))
    expected = lab2rgb(lab.permute(1, 2, 0).double().numpy())
    np.testing.assert_allclose(lab_to_rgb(lab).permute(1, 2, 0).numpy(), expected, atol=1e-4)


@pytest.mark.parametrize(
    ("rgb", "lab"),
    [
        # Published values of the sRGB primaries, D65, 2 degrees.
        ((1.0, 0.0, 0.0), (53.24, 80.09, 67.20)),
        ((0.0, 1.0, 0.0), (87.73, -86.18, 83.18)),
        ((0.0, 0.0, 1.0), (32.30, 79.19, -107.86)),
        # By hand: 0.5 decodes to 0.214041, whose cube root is 0.598182; 116 * 0.598182 - 16 = 53.389.
        ((0.5, 0.5, 0.5), (53.389, 0.0, 0.0)),
    ],
)
def test_known_colors(rgb, lab):
    got = rgb_to_lab(torch.tensor(rgb).view(3, 1, 1)).flatten()
    torch.testing.assert_close(got, torch.tensor(lab), atol=0.02, rtol=0)


def test_eight_bit_round_trip_is_exact():
    picture = cube(52)
    assert torch.equal(to_uint8(lab_to_rgb(rgb_to_lab(picture))), picture)
    assert torch.equal(to_uint8(network_to_rgb(*rgb_to_network(picture))), picture)


def test_uint8_and_float_input_agree():
    picture = cube(9)
    torch.testing.assert_close(rgb_to_lab(picture), rgb_to_lab(picture / 255.0), atol=1e-4, rtol=0)


def test_types_and_batches():
    batch = pictures(2, 5, 3, 7, 11)
    torch.testing.assert_close(rgb_to_lab(batch)[1, 3], rgb_to_lab(batch[1, 3]), atol=1e-4, rtol=0)
    assert rgb_to_lab(batch.half()).dtype == torch.float32
    assert rgb_to_lab(batch.double()).dtype == torch.float64
    assert rgb_to_lab(batch.mul(255).byte()).dtype == torch.float32


def test_result_does_not_depend_on_the_number_of_threads():
    picture = pictures(3, 211, 307).mul(255).byte()
    threads = torch.get_num_threads()
    results = []
    for number in (1, 2, 3):
        torch.set_num_threads(number)
        lab = rgb_to_lab(picture)
        results.append((lab, lab_to_rgb(lab)))
    torch.set_num_threads(threads)
    for lab, rgb in results[1:]:
        assert torch.equal(lab, results[0][0])
        assert torch.equal(rgb, results[0][1])


def test_autocast_does_not_touch_color():
    batch = pictures(2, 3, 7, 11)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(lab_to_rgb(rgb_to_lab(batch)), lab_to_rgb(rgb_to_lab(batch.clone())))
        inside = rgb_to_lab(batch)
    assert torch.equal(inside, rgb_to_lab(batch))


def test_gradients_are_right_and_finite_everywhere():
    assert torch.autograd.gradcheck(rgb_to_lab, pictures(2, 3, 2, 3).double().requires_grad_())
    lab = rgb_to_lab(pictures(3, 2, 3).double()).requires_grad_()
    assert torch.autograd.gradcheck(lab_to_rgb, lab)
    edges = torch.tensor([-0.5, 0.0, 0.04045, 0.0031308, (6 / 29) ** 3, 1.0, 1.5])
    edges = edges.view(1, 1, -1).repeat(3, 1, 1).requires_grad_()
    for function in (rgb_to_lab, lab_to_rgb):
        (gradient,) = torch.autograd.grad(function(edges).sum(), edges)
        assert gradient.isfinite().all()
        assert (gradient != 0).any(dim=0).all()


def test_curve_is_continuous_where_its_pieces_meet():
    meet = (6 / 29) ** 3
    below, above = (
        rgb_to_lab(torch.full((3, 1, 1), 12.92 * value, dtype=torch.float64))
        for value in (meet * (1 - 1e-9), meet * (1 + 1e-9))
    )
    # The value of linear light at which L turns from line to cube root lies on sRGB's curve, not its line.
    torch.testing.assert_close(below, above, atol=1e-6, rtol=0)


def test_out_of_gamut_colors_are_not_clipped_but_quantised_safely():
    vivid = torch.tensor([50.0, 120.0, 120.0]).view(3, 1, 1)
    assert lab_to_rgb(vivid).min() < 0
    assert to_uint8(torch.tensor([-1.0, 0.4999 / 255, 254.5001 / 255, 3.0, torch.nan])).tolist() == [
        0,
        0,
        255,
        255,
        0,
    ]


def test_network_units():
    lab = torch.tensor([25.0, 55.0, -110.0]).view(3, 1, 1)
    assert normalize_lab(lab).flatten().tolist() == [-0.5, 0.5, -1.0]
    lab = rgb_to_lab(pictures(2, 3, 5, 7))
    torch.testing.assert_close(denormalize_lab(normalize_lab(lab)), lab)


def test_errors_name_what_was_given():
    with pytest.raises(ValueError, match=r"rgb must have shape \(\.\.\., 3, h, w\), got \(5, 7, 3\)"):
        rgb_to_lab(torch.zeros(5, 7, 3))
    with pytest.raises(ValueError, match=r"got torch\.int64"):
        rgb_to_lab(torch.zeros(3, 5, 7, dtype=torch.int64))
    with pytest.raises(ValueError, match=r"lab must be a floating-point type, got torch\.uint8"):
        lab_to_rgb(torch.zeros(3, 5, 7, dtype=torch.uint8))
    with pytest.raises(ValueError, match=r"\(1, 5, 7\) and \(2, 7, 5\)"):
        network_to_rgb(torch.zeros(1, 5, 7), torch.zeros(2, 7, 5))
