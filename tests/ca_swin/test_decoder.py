"""Encoder of the state and decoder of the colour."""

import pytest
import torch
from ca_swin import ColorDecoder, StateEncoder

SIZES = [(28, 44), (29, 43), (31, 41), (16, 17), (1, 1)]


def quarter(length: int) -> int:
    return -(-length // 4)


def inputs(size: tuple[int, int], batch: int = 2) -> list[torch.Tensor]:
    h, w = size
    generator = torch.Generator().manual_seed(0)
    shapes = [(batch, 11, quarter(h), quarter(w)), (batch, 3, -(-h // 2), -(-w // 2)), (batch, 1, h, w)]
    return [torch.randn(shape, generator=generator) for shape in shapes]


def make() -> ColorDecoder:
    torch.manual_seed(0)
    return ColorDecoder(11, 3)


@pytest.mark.parametrize("size", SIZES)
def test_decoder_takes_any_size(size: tuple[int, int]):
    ab = make()(*inputs(size))
    assert ab.shape == (2, 2, *size)


@pytest.mark.parametrize("size", SIZES)
def test_encoder_takes_any_size_and_meets_the_decoder(size: tuple[int, int]):
    features = StateEncoder(11)(torch.rand(2, 1, *size), torch.rand(2, 2, *size))
    assert features.shape == (2, 11, quarter(size[0]), quarter(size[1]))


def test_decoder_is_bounded():
    decoder = make()
    torch.nn.init.constant_(decoder.to_ab.bias, 3.0)
    ab = decoder(*inputs((29, 43)))
    assert ab.min() > 0
    assert ab.max() <= 1
    torch.nn.init.zeros_(decoder.to_ab.weight)
    torch.testing.assert_close(decoder(*inputs((29, 43))), torch.full((2, 2, 29, 43), 0.9950548))


def test_narrowing_before_enlarging_changes_nothing():
    decoder = make()
    x = torch.randn(2, 11, 5, 7)
    enlarge = torch.nn.Upsample(size=(9, 13), mode="bilinear")
    torch.testing.assert_close(enlarge(decoder.narrow_half(x)), decoder.narrow_half(enlarge(x)))


def test_lightness_guides_at_full_resolution():
    """A single grey pixel moves the colour of the 5 x 5 places that two convolutions span, and no other."""
    decoder = make()
    features, skip, lightness = inputs((29, 43))
    other = lightness.clone()
    other[..., 13, 17] += 5
    moved = (decoder(features, skip, other) - decoder(features, skip, lightness)).abs().amax(dim=(0, 1)) > 0
    expected = torch.zeros(29, 43, dtype=torch.bool)
    expected[11:16, 15:20] = True
    assert not (moved & ~expected).any()
    assert moved[13, 17]
    assert moved.sum() > 12


def test_every_parameter_learns():
    decoder, encoder = make(), StateEncoder(11)
    features, skip, lightness = inputs((29, 43))
    ab = decoder(features, skip, lightness)
    encoder(lightness, ab).square().sum().backward()
    for module in (decoder, encoder):
        for name, parameter in module.named_parameters():
            assert parameter.grad.abs().sum() > 0, name


def test_gradcheck():
    decoder, encoder = ColorDecoder(4, 1).double(), StateEncoder(2).double()
    shapes = [(1, 4, 1, 2), (1, 1, 2, 3), (1, 1, 3, 5)]
    tensors = [torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes]
    assert torch.autograd.gradcheck(decoder, tensors)
    assert torch.autograd.gradcheck(lambda *x: encoder(x[2], decoder(*x)), tensors)


def test_errors():
    decoder = make()
    features, skip, lightness = inputs((29, 43))
    with pytest.raises(ValueError, match=r"features: expected .*\(b, 11, h, w\), got \(2, 3, 15, 22\)"):
        decoder(skip, skip, lightness)
    with pytest.raises(
        ValueError, match=r"skip: expected batch 2 and height, width \(15, 22\) \(half of lightness"
    ):
        decoder(features, skip[..., 1:], lightness)
    with pytest.raises(
        ValueError, match=r"features: expected batch 2 and height, width \(8, 11\) \(a quarter of"
    ):
        decoder(features[..., 1:], skip, lightness)
    with pytest.raises(
        ValueError, match=r"ab: expected batch 2 and height, width \(29, 43\) \(those of lightness\)"
    ):
        StateEncoder(4)(lightness, torch.rand(2, 2, 43, 29))
    with pytest.raises(ValueError, match=r"lightness: expected .*\(b, 1, h, w\), got \(2, 3, 15, 22\)"):
        StateEncoder(4)(skip, lightness)
    with pytest.raises(ValueError, match=r"skip_channels: expected a positive number, got 0"):
        ColorDecoder(4, 0)
