"""Code values of films and the network's units."""

import av
import numpy as np
import pytest
import torch
from ca_data import normalize_lab, rgb_to_lab
from ca_infer.signal import ColorSignal
from ca_infer.transfer import primaries_matrix, to_film_code, to_relative_light

WEIGHTS = {1: (0.2126, 0.0722), 6: (0.299, 0.114), 9: (0.2627, 0.0593)}


def natural_colors(height: int = 23, width: int = 31) -> torch.Tensor:
    """Colours of moderate saturation, well within the gamut."""
    generator = torch.Generator().manual_seed(0)
    grey = torch.rand(1, height, width, generator=generator) * 0.6 + 0.2
    return (grey + (torch.rand(3, height, width, generator=generator) - 0.5) * 0.3).clamp(0.02, 0.98)


@pytest.mark.parametrize("matrix", [1, 6, 9])
@pytest.mark.parametrize("full", [False, True])
@pytest.mark.parametrize("depth", [8, 10])
def test_true_ab_gives_back_true_chroma(matrix: int, full: bool, depth: int) -> None:
    rgb = natural_colors()
    kr, kb = WEIGHTS[matrix]
    luma = kr * rgb[0] + (1 - kr - kb) * rgb[1] + kb * rgb[2]
    signal = ColorSignal(matrix=matrix, full_range=full, depth=depth)
    cb, cr = signal.chroma(luma, normalize_lab(rgb_to_lab(rgb))[1:])
    span = (1 << depth) - 1 if full else 224 << (depth - 8)
    true_cb = (rgb[2] - luma) / (2 - 2 * kb) * span + (1 << (depth - 1))
    true_cr = (rgb[0] - luma) / (2 - 2 * kr) * span + (1 << (depth - 1))
    tolerance = 1.5 * (1 << (depth - 8))
    assert (cb - true_cb).abs().max() < tolerance
    assert (cr - true_cr).abs().max() < tolerance


@pytest.mark.parametrize(("matrix", "name"), [(1, "ITU709"), (6, "ITU601")])
def test_agrees_with_libswscale(matrix: int, name: str) -> None:
    rgb8 = (natural_colors(24, 32) * 255).round().to(torch.uint8)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb8.permute(1, 2, 0).numpy()), format="rgb24")
    planes = torch.from_numpy(
        frame.reformat(format="yuv444p", dst_colorspace=name, dst_color_range="MPEG")
        .to_ndarray()
        .astype(np.int32)
    )
    signal = ColorSignal(matrix=matrix)
    cb, cr = signal.chroma(signal.luma(planes[0]), normalize_lab(rgb_to_lab(rgb8))[1:])
    assert (cb - planes[1]).abs().float().mean() < 0.6
    assert (cr - planes[2]).abs().float().mean() < 0.6


@pytest.mark.parametrize("transfer", [1, 8, 16, 18])
@pytest.mark.parametrize("primaries", [1, 6, 9])
def test_no_color_stays_grey(transfer: int, primaries: int) -> None:
    signal = ColorSignal(matrix=9, primaries=primaries, transfer=transfer, depth=10)
    luma = torch.linspace(0.0, 0.9, 13).expand(7, 13)
    for plane in signal.chroma(luma, torch.zeros(2, 7, 13)):
        assert (plane - 512).abs().max() <= 2


def test_color_of_hdr_survives() -> None:
    signal = ColorSignal(matrix=9, primaries=9, transfer=16, depth=10)
    cb, cr = signal.chroma(torch.full((1, 1), 0.45), torch.tensor([0.4, 0.2]).view(2, 1, 1))
    assert cr.item() > 530
    assert cb.item() < 512


def test_hand_worked_levels() -> None:
    limited, full = ColorSignal(depth=10), ColorSignal(depth=8, full_range=True)
    assert limited.luma_levels == (64, 940)
    assert limited.chroma_levels == (512, 896.0, 1023)
    assert full.luma_levels == (0, 255)
    assert limited.luma(torch.tensor([64, 502, 940, 1023])).tolist() == pytest.approx([0, 0.5, 1, 959 / 876])
    table = ColorSignal().lightness_table()
    assert table[[0, 16, 235, 255]].tolist() == [-1.0, -1.0, 1.0, 1.0]
    # sRGB 119 is L = 50.03; code 16 + 219 * 119 / 255 = 118.2.
    assert table[118] == pytest.approx(0.0, abs=0.01)
    assert (np.diff(table[16:236]) > 0).all()


def test_unspecified_matrix_goes_by_height() -> None:
    for height, matrix in ((576, 6), (719, 6), (720, 1), (2160, 1)):
        tags = ColorSignal.from_tags(2, 2, 2, full_range=False, depth=8, height=height)
        assert tags.matrix == matrix


@pytest.mark.parametrize("transfer", [1, 8, 16, 18])
def test_transfer_round_trip(transfer: int) -> None:
    code = torch.linspace(0.0, 1.0, 101, dtype=torch.float64)
    back = to_film_code(to_relative_light(code, transfer), transfer)
    assert torch.allclose(back, code, atol=1e-5)


def test_published_values_of_hdr_curves() -> None:
    # BT.2408: diffuse white of 203 cd/m2 stands at 58% of PQ and 75% of HLG.
    assert to_film_code(torch.tensor(1.0), 16).item() == pytest.approx(0.58, abs=0.005)
    assert to_film_code(torch.tensor(1.0), 18).item() == pytest.approx(0.75, abs=0.005)


def test_primaries_keep_white() -> None:
    for primaries in (1, 5, 6, 9, 12):
        assert [sum(row) for row in primaries_matrix(primaries)] == pytest.approx([1, 1, 1])
    assert primaries_matrix(1)[0] == pytest.approx((1, 0, 0), abs=1e-9)


def test_refuses_a_matrix_that_is_none() -> None:
    with pytest.raises(ValueError, match=r"matrix must be one of .* got 14; convert"):
        ColorSignal(matrix=14)
