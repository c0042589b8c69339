import math
import time

import numpy as np
import pytest
import torch
from ca_data import spread_color


def picture(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A flat grey picture, empty strokes, nothing painted."""
    return (
        torch.zeros(1, height, width),
        torch.zeros(2, height, width),
        torch.zeros(height, width, dtype=torch.bool),
    )


def touch(strokes: torch.Tensor, painted: torch.Tensor, place: tuple, color: tuple[float, float]) -> None:
    painted[place] = True
    strokes[(slice(None), *place)] = torch.tensor(color).reshape(2, *[1] * (strokes[(0, *place)].ndim))


def test_one_stroke_colors_a_flat_picture_of_prime_size_evenly() -> None:
    lightness, strokes, painted = picture(7, 11)
    touch(strokes, painted, (3, 5), (0.4, -0.2))
    ab = spread_color(lightness, strokes, painted)
    assert ab.shape == (2, 7, 11)
    torch.testing.assert_close(ab, torch.tensor([0.4, -0.2])[:, None, None].expand(2, 7, 11))


def test_edges_of_lightness_hold_colors_apart() -> None:
    lightness, strokes, painted = picture(13, 17)
    lightness[..., 8:] = 0.5
    touch(strokes, painted, (6, 2), (0.5, 0.0))
    touch(strokes, painted, (6, 14), (-0.5, 0.0))
    ab = spread_color(lightness, strokes, painted)
    assert ab[0, :, :8].min() > 0.45
    assert ab[0, :, 8:].max() < -0.45


def test_three_pixels_worked_by_hand() -> None:
    lightness, strokes, painted = picture(1, 3)
    lightness[0, 0, 2] = 0.3  # ten times an edge, two times what is alike
    touch(strokes, painted, (0, 0), (1.0, 0.5))
    ab = spread_color(lightness, strokes, painted, torch.zeros(2, 1, 3), reach=1 / 3)
    across = 1e-3  # exp(-50) + the least weight
    hold = 1.0 - math.exp(-2.0)  # (1 - k) / (reach * 3)^2
    assert ab[0, 0, 1] == pytest.approx(ab[0, 0, 0].item(), rel=2e-3)
    assert ab[0, 0, 2].item() == pytest.approx(ab[0, 0, 1].item() * across / (across + hold), rel=1e-4)
    assert torch.allclose(ab[1], ab[0] / 2)


def test_equals_the_dense_system_of_the_docstring() -> None:
    lightness, strokes, painted = picture(3, 5)
    lightness += torch.rand(1, 3, 5) * 0.05
    proposal = torch.rand(2, 3, 5) * 0.01
    touch(strokes, painted, (1, 1), (0.3, 0.1))
    guide = torch.cat((lightness, proposal * 2.0)).double().numpy()
    alike = np.exp(-(np.square(guide - guide[:, 1:2, 1:2]).sum(0) / 0.15**2) / 2)
    system = np.diag(((1 - alike) / (0.4 * 5) ** 2 + 100.0 * painted.numpy()).ravel())
    places = [(i, j) for i in range(3) for j in range(5)]
    for number, (i, j) in enumerate(places):
        for other, (k, m) in enumerate(places):
            if abs(i - k) + abs(j - m) == 1:
                weight = np.exp(-np.square(guide[:, i, j] - guide[:, k, m]).sum() / (2 * 0.03**2)) + 1e-3
                system[number, number] += weight
                system[number, other] -= weight
    wanted = (strokes - proposal).double().numpy() * 100.0 * painted.numpy()
    expected = np.linalg.solve(system, wanted.reshape(2, -1).T).T.reshape(2, 3, 5)
    found = spread_color(lightness, strokes, painted, proposal, reach=0.4) - proposal
    np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_one_stroke_mends_a_coat_and_the_rest_keeps_the_proposal() -> None:
    lightness, strokes, painted = picture(40, 60)
    lightness[:, 10:30, 5:25] = 0.3  # the wrong coat
    lightness[:, 10:30, 35:55] = 0.3  # another, far off and right, as light as it
    proposal = torch.zeros(2, 40, 60)
    proposal[0, 10:30, 5:25] = 0.4
    proposal[1, 10:30, 35:55] = 0.4
    touch(strokes, painted, (slice(19, 21), slice(10, 20)), (-0.3, -0.3))
    ab = spread_color(lightness, strokes, painted, proposal, reach=0.15)
    coat = ab[:, 10:30, 5:25].mean(dim=(1, 2))
    torch.testing.assert_close(coat, torch.tensor([-0.3, -0.3]), atol=0.03, rtol=0)
    changed = (ab - proposal).abs().amax(dim=0)
    changed[10:30, 5:25] = 0.0
    assert changed.max() < 0.03


def test_smaller_working_resolution_keeps_thin_strokes_and_sizes() -> None:
    lightness, strokes, painted = picture(101, 151)
    touch(strokes, painted, (50, slice(10, 140)), (0.2, 0.3))
    ab = spread_color(lightness, strokes, painted, pixels=500)
    assert ab.shape == (2, 101, 151)
    torch.testing.assert_close(ab.mean(dim=(1, 2)), torch.tensor([0.2, 0.3]), atol=1e-3, rtol=0)


@pytest.mark.parametrize("size", [(1, 1), (1, 7), (5, 1)])
def test_pictures_one_pixel_thin(size: tuple[int, int]) -> None:
    lightness, strokes, painted = picture(*size)
    touch(strokes, painted, (0, 0), (0.25, 0.5))
    ab = spread_color(lightness, strokes, painted)
    torch.testing.assert_close(ab, torch.tensor([0.25, 0.5])[:, None, None].expand(2, *size))


def test_nothing_painted_is_the_proposal() -> None:
    lightness, strokes, painted = picture(5, 7)
    proposal = torch.rand(2, 5, 7)
    assert torch.equal(spread_color(lightness, strokes, painted, proposal), proposal)
    assert spread_color(lightness, strokes, painted).abs().max() == 0.0


def test_errors_say_what_is_expected() -> None:
    lightness, strokes, painted = picture(5, 7)
    with pytest.raises(ValueError, match=r"painted \(h, w\).*got \(1, 5, 6\)"):
        spread_color(lightness[..., :6], strokes, painted)
    with pytest.raises(ValueError, match=r"type bool, got torch\.float32"):
        spread_color(lightness, strokes, painted.float())
    with pytest.raises(ValueError, match="reach > 0"):
        spread_color(lightness, strokes, painted, reach=0.0)


def test_full_hd_takes_well_below_a_second_of_work() -> None:
    lightness, strokes, painted = torch.rand(1, 1080, 1920) - 0.5, torch.zeros(2, 1080, 1920), None
    painted = torch.zeros(1080, 1920, dtype=torch.bool)
    touch(strokes, painted, (slice(500, 520), slice(300, 900)), (0.2, 0.1))
    spread_color(lightness, strokes, painted)
    before = time.process_time()
    spread_color(lightness, strokes, painted)
    # CPU time of all threads, and thrice the aim: the machine that runs this may be busy.
    assert time.process_time() - before < 3.0
