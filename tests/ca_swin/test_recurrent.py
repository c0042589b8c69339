"""The recurrence over time: the equations, the first frame, the gradient through the past."""

import pytest
import torch
from ca_swin import (
    ColorDecoder,
    RecurrentReconstruction,
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


def run(net: RecurrentReconstruction, inputs: list[Tensor]) -> list[Tensor]:
    """ab of every frame of a clip."""
    frames, previous = [], None
    for features, skip, lightness in zip(*(x.unbind(1) for x in inputs), strict=True):
        frames.append(net.step(features, skip, lightness, previous))
        previous = lightness, frames[-1]
    return frames


def test_the_past_plays_a_part():
    net, inputs = make(), clip()
    frames = run(net, inputs)
    assert frames[1].shape == (2, 2, 19, 29)
    assert (frames[1] - net.step(*(x[:, 1] for x in inputs))).abs().max() > 1e-4


def test_a_step_is_the_equations_written_out():
    net, (features, skip, lightness) = make(), clip(2)
    ab = net.step(features[:, 0], skip[:, 0], lightness[:, 0])
    torch.testing.assert_close(ab, net.decoder(net.body(features[:, 0]), skip[:, 0], lightness[:, 0]))
    prior = net.encoder(lightness[:, 0], ab) - 0.5 * features[:, 1]
    fused, _ = net.fusion(features[:, 1], prior)
    expected = net.decoder(net.body(fused), skip[:, 1], lightness[:, 1])
    previous = lightness[:, 0], ab
    torch.testing.assert_close(net.step(features[:, 1], skip[:, 1], lightness[:, 1], previous), expected)


class Counting(nn.Module):
    """Parts small enough to follow by hand: each output is the mean of the frame and the last output."""

    def __init__(self, part: str) -> None:
        super().__init__()
        self.part = part

    def forward(self, *inputs):
        if self.part == "encoder":
            return inputs[1][:, :1]
        if self.part == "fusion":
            current, prior = inputs
            return (current if prior is None else (current + prior) / 2), None
        if self.part == "decoder":
            return inputs[0].expand(-1, 2, -1, -1)
        return inputs[0]


def test_value_by_hand():
    """Frames 8, 0, 4 with a mask of one half: 8, 4, 4."""
    net = RecurrentReconstruction(
        *(Counting(part) for part in ("align", "body", "encoder", "fusion", "decoder"))
    )
    features = torch.tensor([8.0, 0.0, 4.0]).reshape(1, 3, 1, 1, 1)
    assert [ab[0, 0, 0, 0].item() for ab in run(net, [features] * 3)] == [8.0, 4.0, 4.0]


def test_the_gradient_reaches_the_frames_before():
    net, inputs = make(), clip(2)
    inputs[0].requires_grad_()
    gradient = torch.autograd.grad(run(net, inputs)[1].square().sum(), inputs[0])[0].abs()
    assert (gradient.sum(dim=(0, 2, 3, 4)) > 0).all()


def test_every_parameter_learns_on_two_frames():
    net = make()
    run(net, clip(2))[1].square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_film_of_another_size_is_refused():
    net, inputs = make(), clip(1)
    frame = [x[:, 0] for x in inputs]
    other = frame[2][..., 1:], torch.zeros(2, 2, 19, 28)
    with pytest.raises(
        ValueError, match=r"previous: expected a frame of shape \(2, 1, 19, 29\), .*previous=None"
    ):
        net.step(*frame, other)
