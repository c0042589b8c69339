"""Code values, matrices, curves, and the chroma that gives a luma its colour."""

import pytest
import torch
from ca_data import (
    YuvCoding,
    chroma_for_luma,
    chroma_from_codes,
    chroma_to_codes,
    lab_to_rgb,
    luma_from_codes,
    luma_to_codes,
    luma_to_lightness,
    normalize_lab,
    rgb_to_lab,
    rgb_to_network,
    rgb_to_ycbcr,
    srgb_from_film,
    synthetic_clip,
    ycbcr_to_rgb,
)
from ca_data.film_color import fit_chroma
from ca_data.transfer import PRIMARIES, film_from_srgb

MATRICES = ("bt601", "bt709", "bt2020", "smpte240m", "fcc")


def pixels(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64).view(1, 3, 1, 1)


@pytest.mark.parametrize(
    ("matrix", "rgb", "ycbcr"),
    [
        # BT.709 red: Y = 0.2126; Cb = (0 - 0.2126) / 1.8556 = -0.114572; Cr = (1 - 0.2126) / 1.5748 = 0.5.
        ("bt709", (1.0, 0.0, 0.0), (0.2126, -0.114572, 0.5)),
        # BT.601 green: Y = 0.587; Cb = -0.587 / 1.772 = -0.331264; Cr = -0.587 / 1.402 = -0.418688.
        ("bt601", (0.0, 1.0, 0.0), (0.587, -0.331264, -0.418688)),
        # BT.2020 blue: Y = 0.0593; Cb = 0.9407 / 1.8814 = 0.5; Cr = -0.0593 / 1.4746 = -0.040214.
        ("bt2020", (0.0, 0.0, 1.0), (0.0593, 0.5, -0.040214)),
    ],
)
def test_matrices_by_hand(matrix, rgb, ycbcr):
    torch.testing.assert_close(rgb_to_ycbcr(pixels(*rgb), matrix), pixels(*ycbcr), atol=1e-6, rtol=0)


@pytest.mark.parametrize("matrix", MATRICES)
def test_matrix_round_trip_and_grey(matrix):
    rgb = torch.rand(2, 3, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(ycbcr_to_rgb(rgb_to_ycbcr(rgb, matrix), matrix), rgb)
    grey = rgb_to_ycbcr(rgb[:, :1].expand(-1, 3, -1, -1), matrix)
    torch.testing.assert_close(grey[:, :1], rgb[:, :1])
    assert grey[:, 1:].abs().max() < 1e-12


@pytest.mark.parametrize(
    ("bits", "full", "black", "white", "chroma_low", "chroma_high"),
    [
        (8, False, 16, 235, 16, 240),
        (10, False, 64, 940, 64, 960),
        (8, True, 0, 255, 0, 255),
        (12, True, 0, 4095, 0, 4095),
    ],
)
def test_code_values(bits, full, black, white, chroma_low, chroma_high):
    coding = YuvCoding(bits=bits, full_range=full)
    assert luma_to_codes(torch.tensor([0.0, 1.0]), coding).tolist() == [black, white]
    assert luma_from_codes(torch.tensor([black, white]), coding).tolist() == [0.0, 1.0]
    assert chroma_to_codes(torch.tensor([-0.6, 0.0, 0.6]), coding).tolist() == [
        chroma_low,
        1 << (bits - 1),
        chroma_high,
    ]
    codes = torch.arange(1 << bits)
    assert torch.equal(luma_to_codes(luma_from_codes(codes, coding), coding), codes.int())
    inside = codes[chroma_low : chroma_high + 1]
    assert torch.equal(chroma_to_codes(chroma_from_codes(inside, coding), coding), inside.int())


def test_lightness_of_luma_is_that_of_its_grey():
    coding = YuvCoding(bits=10)
    codes = torch.randint(64, 941, (2, 1, 5, 7))
    grey = luma_from_codes(codes, coding).expand(-1, 3, -1, -1)
    torch.testing.assert_close(luma_to_lightness(codes, coding), rgb_to_network(grey)[0], atol=1e-5, rtol=0)
    assert luma_to_lightness(torch.tensor([[[0, 63, 1023]]]), coding).flatten().tolist() == [-1.0, -1.0, 1.0]


def test_hdr_curves_at_published_levels():
    # ITU-R BT.2408, table 1: diffuse white is 58 % PQ and 75 % HLG; SMPTE ST 2084: 10 000 cd/m2 is 1.
    white = torch.ones(1, 3, 1, 1)
    assert film_from_srgb(white, "bt709", "pq")[0, 0].item() == pytest.approx(0.5807, abs=1e-3)
    assert film_from_srgb(white, "bt709", "hlg")[0, 0].item() == pytest.approx(0.75, abs=1e-3)
    top = srgb_from_film(white, "bt709", "pq")[0, 0, 0, 0].double()
    assert ((top + 0.055) / 1.055).pow(2.4).item() == pytest.approx(10_000 / 203, rel=1e-3)


@pytest.mark.parametrize("primaries", PRIMARIES)
@pytest.mark.parametrize("transfer", ["sdr", "pq", "hlg"])
def test_film_encoding_round_trip(primaries, transfer):
    rgb = torch.rand(2, 3, 5, 7) * 0.6 + 0.2
    film = film_from_srgb(rgb, primaries, transfer)
    torch.testing.assert_close(srgb_from_film(film, primaries, transfer), rgb, atol=2e-4, rtol=0)
    white = torch.full((1, 3, 1, 1), 0.8)
    assert film_from_srgb(white, primaries, transfer).flatten().std() < 1e-4


def test_bt2020_red_by_hand():
    # BT.2087: linear BT.709 red is (0.6274, 0.0691, 0.0164) in BT.2020.
    red = film_from_srgb(pixels(1.0, 0.0, 0.0), "bt2020").flatten()
    linear = torch.where(red > 0.04045, ((red + 0.055) / 1.055) ** 2.4, red / 12.92)
    assert linear.tolist() == pytest.approx([0.6274, 0.0691, 0.0164], abs=2e-4)


@pytest.mark.parametrize(
    "coding",
    [
        YuvCoding(),
        YuvCoding(matrix="bt601"),
        YuvCoding(matrix="bt2020", primaries="bt2020"),
        YuvCoding(matrix="bt2020", primaries="bt2020", transfer="pq"),
    ],
)
def test_chroma_for_luma_finds_the_true_chroma_of_pictures(coding):
    rgb = synthetic_clip(4, frames=2, size=(40, 64)) / 255.0
    true = rgb_to_ycbcr(film_from_srgb(rgb, coding.primaries, coding.transfer), coding.matrix)
    ab = normalize_lab(rgb_to_lab(rgb))[:, 1:]
    found = chroma_for_luma(true[:, :1], ab, coding)
    error = (found - true[:, 1:]).abs() * 255
    assert error.mean() < 0.2
    # Taking L from the grey of the luma instead, as if luma and L were one, is several times worse.
    grey = rgb_to_lab(srgb_from_film(true[:, :1].expand(-1, 3, -1, -1), "bt709", coding.transfer))[:, :1]
    naive = film_from_srgb(lab_to_rgb(torch.cat((grey, ab * 110), dim=1)), coding.primaries, coding.transfer)
    assert error.mean() < 0.5 * (rgb_to_ycbcr(naive, coding.matrix)[:, 1:] - true[:, 1:]).abs().mean() * 255


def test_no_color_is_exactly_grey_and_batch_items_are_apart():
    coding = YuvCoding()
    luma = torch.rand(3, 1, 5, 7)
    assert chroma_for_luma(luma, torch.zeros(3, 2, 5, 7), coding).abs().max() == 0.0
    ab = torch.rand(3, 2, 5, 7) - 0.5
    together = chroma_for_luma(luma, ab, coding)
    torch.testing.assert_close(together[1:2], chroma_for_luma(luma[1:2], ab[1:2], coding))


def test_fitted_chroma_is_a_color_of_the_same_hue_and_luma():
    luma, chroma = torch.rand(1, 1, 20, 30), torch.rand(1, 2, 20, 30) * 1.6 - 0.8
    for matrix in MATRICES:
        fitted = fit_chroma(luma, chroma, matrix)
        rgb = ycbcr_to_rgb(torch.cat((luma, fitted), dim=1), matrix)
        assert rgb.min() > -1e-5
        assert rgb.max() < 1 + 1e-5
        torch.testing.assert_close(fitted[:, 0] * chroma[:, 1], fitted[:, 1] * chroma[:, 0])
    small = chroma * 0.01
    assert torch.equal(fit_chroma(torch.full_like(luma, 0.5), small), small)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: YuvCoding(matrix="bt.709"), "matrix must be one of .*'bt.709'"),
        (lambda: YuvCoding(transfer="gamma"), "transfer must be one of"),
        (lambda: YuvCoding(bits=7), r"bits must lie in 8\.\.16, got 7"),
        (
            lambda: chroma_for_luma(torch.zeros(1, 1, 5, 7), torch.zeros(1, 2, 7, 5), YuvCoding()),
            r"\(1, 1, 5, 7\) and \(1, 2, 7, 5\)",
        ),
    ],
)
def test_errors(build, message):
    with pytest.raises(ValueError, match=message):
        build()
