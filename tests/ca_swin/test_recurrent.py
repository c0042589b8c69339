"""The recurrence over time: streaming, the first frame, truncated backpropagation."""

import pytest
import torch
from ca_swin import (
    ColorDecoder,
    RecurrentReconstruction,
    RecurrentState,
    SoftMaskFusion,
    StateEncoder,
    SwinReconstruction,
)
from torch import Tensor, nn


class SubtractAlign(nn.Module):
    """Stands in for an alignment; the order of its inputs matters."""

    def forward(self, state: Tensor, target: Tensor) -> Tensor:
        return state - 0.5 * target


def make() -> RecurrentReconstruction:
    torch.manual_seed(0)
    return RecurrentReconstruction(
        align=SubtractAlign(),
        body=SwinReconstruction(6, depth=2, heads=2, window=4),
        encoder=StateEncoder(6),
        fusion=SoftMaskFusion(6),
        decoder=ColorDecoder(6, skip_channels=3),
    )


def clip(frames: int = 5, batch: int = 2) -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    shapes = [(6, 5, 8), (3, 10, 15), (1, 19, 29)]
    return [torch.randn(batch, frames, *shape, generator=generator) for shape in shapes]


def test_streaming_equals_the_clip():
    net, inputs = make(), clip()
    whole, last = net(*inputs)
    assert whole.shape == (2, 5, 2, 19, 29)
    state = None
    for t in range(5):
        ab, state = net.step(*(x[:, t] for x in inputs), state)
        torch.testing.assert_close(ab, whole[:, t], rtol=0, atol=1e-6)
    torch.testing.assert_close(state.ab, last.ab)
    assert (whole[:, 1] - net(*(x[:, 1:2] for x in inputs))[0][:, 0]).abs().max() > 1e-4, (
        "the past plays no part"
    )


def test_a_clip_may_be_cut_anywhere():
    net, inputs = make(), clip()
    whole, _ = net(*inputs)
    first, state = net(*(x[:, :2] for x in inputs))
    second, _ = net(*(x[:, 2:] for x in inputs), state)
    torch.testing.assert_close(torch.cat([first, second], dim=1), whole)


def test_a_step_is_the_equations_written_out():
    net, (features, skip, lightness) = make(), clip(2)
    ab, state = net.step(features[:, 0], skip[:, 0], lightness[:, 0])
    torch.testing.assert_close(ab, net.decoder(net.body(features[:, 0]), skip[:, 0], lightness[:, 0]))
    torch.testing.assert_close(state, RecurrentState(lightness[:, 0], ab))
    prior = net.encoder(lightness[:, 0], ab) - 0.5 * features[:, 1]
    fused, _ = net.fusion(features[:, 1], prior, True)
    expected = net.decoder(net.body(fused), skip[:, 1], lightness[:, 1])
    torch.testing.assert_close(net.step(features[:, 1], skip[:, 1], lightness[:, 1], state)[0], expected)


class Counting(nn.Module):
    """Parts small enough to follow by hand: each output is the mean of the frame and the last output."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def forward(self, *inputs):
        if self.part == "encoder":
            return inputs[1][:, :1]
        if self.part == "fusion":
            current, prior, has_prior = inputs
            return ((current + prior) / 2 if has_prior else current), None
        if self.part == "decoder":
            return inputs[0].expand(-1, 2, -1, -1)
        return inputs[0]


def test_value_by_hand():
    """Frames 8, 0, 4 with a mask of one half: 8, 4, 4."""
    net = RecurrentReconstruction(
        *(Counting(part) for part in ("align", "body", "encoder", "fusion", "decoder"))
    )
    features = torch.tensor([8.0, 0.0, 4.0]).reshape(1, 3, 1, 1, 1)
    ab, _ = net(features, features, features)
    assert ab[0, :, 0, 0, 0].tolist() == [8.0, 4.0, 4.0]


def test_detach_cuts_the_gradient():
    net, inputs = make(), clip(2)
    inputs[0].requires_grad_()

    def gradient(cut: bool) -> Tensor:
        _, state = net.step(*(x[:, 0] for x in inputs))
        ab, _ = net.step(*(x[:, 1] for x in inputs), state.detach() if cut else state)
        return torch.autograd.grad(ab.square().sum(), inputs[0])[0].abs().sum(dim=(0, 2, 3, 4))

    assert gradient(cut=False)[0] > 0
    assert gradient(cut=True)[0] == 0
    assert gradient(cut=True)[1] > 0


def test_every_parameter_learns_on_two_frames():
    net = make()
    net(*clip(2))[0].square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_errors():
    net, inputs = make(), clip(2)
    _, state = net(*inputs)
    with pytest.raises(ValueError, match=r"the same number \(at least 1\) of frames, got \(2, 1, 2\)"):
        net(inputs[0], inputs[1][:, :1], inputs[2])
    with pytest.raises(ValueError, match=r"the same number \(at least 1\) of frames, got \(0, 0, 0\)"):
        net(*(x[:, :0] for x in inputs))
    other = RecurrentState(state.lightness[..., 1:], state.ab[..., 1:])
    with pytest.raises(
        ValueError, match=r"state: expected one of a frame of shape \(2, 1, 19, 29\), .*state=None"
    ):
        net(*inputs, other)
