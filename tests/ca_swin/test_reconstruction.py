"""The two bodies behind one call: Swin and U-Net."""

import pytest
import torch
from ca_swin import SwinReconstruction, UNetReconstruction
from ca_swin.swin import REMEMBERED_SIZES
from ca_swin.windows import window_mask
from torch import nn

BODIES = {
    "swin": lambda channels: SwinReconstruction(channels, depth=2, heads=2, window=4),
    "unet": lambda channels: UNetReconstruction(channels, depth=2),
}


@pytest.fixture(params=BODIES)
def body(request) -> nn.Module:
    torch.manual_seed(0)
    return BODIES[request.param](6)


@pytest.mark.parametrize("size", [(7, 13), (8, 16), (3, 5), (1, 1)])
def test_any_size(body: nn.Module, size: tuple[int, int]):
    x = torch.randn(2, 6, *size)
    y = body(x)
    assert y.shape == x.shape
    y.square().mean().backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in body.parameters())


def test_every_parameter_learns(body: nn.Module):
    body(torch.randn(2, 6, 7, 13)).square().mean().backward()
    for name, parameter in body.named_parameters():
        assert parameter.grad.abs().sum() > 0, name


def test_is_a_shortcut_beside_its_last_convolution(body: nn.Module):
    nn.init.zeros_(body.conv.weight)
    nn.init.zeros_(body.conv.bias)
    x = torch.randn(2, 6, 7, 13)
    assert torch.equal(body(x), x)


def test_samples_do_not_mix(body: nn.Module):
    x = torch.randn(3, 6, 7, 11)
    torch.testing.assert_close(body(x)[1:2], body(x[1:2]))


def test_errors_of_the_call(body: nn.Module):
    with pytest.raises(ValueError, match=r"x: expected .*\(b, 6, h, w\), got \(1, 5, 7, 7\); reshape it"):
        body(torch.rand(1, 5, 7, 7))


def test_errors_of_construction():
    with pytest.raises(ValueError, match=r"channels: expected a multiple of heads=4, got 6; change"):
        SwinReconstruction(6, heads=4)
    with pytest.raises(ValueError, match=r"window: expected a positive number, got 0"):
        SwinReconstruction(8, window=0)
    with pytest.raises(ValueError, match=r"depth: expected a positive number, got 0"):
        UNetReconstruction(8, depth=0)


def touched(body: nn.Module, size: tuple[int, int], place: tuple[int, int]) -> torch.Tensor:
    """Which places of the output a place of the input reaches."""
    torch.manual_seed(1)
    x = torch.randn(1, 6, *size)
    y = x.clone()
    y[..., place[0], place[1]] = torch.randn(6)
    return (body(x) - body(y)).abs().amax(dim=(0, 1)) > 1e-6


def test_windows_reach_across_the_border_of_the_first_block_but_not_around_the_map():
    one = SwinReconstruction(6, depth=1, heads=2, window=4)
    two = SwinReconstruction(6, depth=2, heads=2, window=4)
    corner = torch.zeros(16, 16, dtype=torch.bool)
    corner[:5, :5] = True  # a window of 4, and one place more from the closing convolution
    assert torch.equal(touched(one, (16, 16), (0, 0)), corner)
    corner[:7, :7] = True  # shifted by 2, so the next windows reach to place 5
    assert torch.equal(touched(two, (16, 16), (0, 0)), corner)


def test_masks_are_made_once_per_size_and_never_stored(monkeypatch: pytest.MonkeyPatch):
    calls = []

    def counted(*arguments):
        calls.append(arguments)
        return window_mask(*arguments)

    monkeypatch.setattr("ca_swin.swin.window_mask", counted)
    body = SwinReconstruction(6, depth=4, heads=2, window=4)
    before = set(body.state_dict())
    for size in ((7, 13), (7, 13), (5, 11), (7, 13)):
        body(torch.randn(1, 6, *size))
    assert len(calls) == 4
    assert set(body.state_dict()) == before
    assert not [name for name in before if "mask" in name]
    for width in range(5, 55):
        body(torch.randn(1, 6, 5, width))
    assert len(body._masks) <= 2 * REMEMBERED_SIZES


def test_a_mask_made_in_inference_serves_training():
    body = SwinReconstruction(6, depth=2, heads=2, window=4)
    with torch.inference_mode():
        body(torch.randn(1, 6, 7, 13))
    assert not any(mask.is_inference() for mask in body._masks.values())
    body(torch.randn(1, 6, 7, 13)).sum().backward()
    assert body.conv.weight.grad is not None


def test_unet_upsamples_to_odd_sizes_by_hand():
    """Each halving doubles a constant 3, each enlargement passes it on: 3 + 2 * 2 * 3."""
    body = UNetReconstruction(1, depth=2)
    for parameter in body.parameters():
        nn.init.zeros_(parameter)
    for conv in [body.conv, body.enter[0], *(stage[0] for stage in [*body.down, *body.up])]:
        conv.weight.data[:, 0, 1, 1] = 1.0  # of [upsampled, skip], the upsampled
    for stage in body.down:
        stage[0].weight.data[:, 0, 1, 1] = 2.0
    x = torch.full((1, 1, 7, 5), 3.0)
    torch.testing.assert_close(body(x), 5 * x)


def test_bfloat16_autocast(body: nn.Module):
    x = torch.randn(1, 6, 7, 13)
    exact = body(x)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = body(x)
    assert (out.float() - exact).abs().max() < 0.05


def test_gradcheck():
    body = UNetReconstruction(2, depth=1).double()
    x = torch.randn(1, 2, 3, 5, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(body, x)
