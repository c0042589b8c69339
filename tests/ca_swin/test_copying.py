"""Reconstruction that mixes copied colours, and the enlargement in which no new value can arise."""

from typing import Any, NamedTuple

import pytest
import torch
import torch.nn.functional as F
from ca_swin import (
    CopyReconstruction,
    Keyframe,
    Recollection,
    RecurrentState,
    References,
    UNetReconstruction,
    convex_upsample,
)
from torch import Tensor, nn


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


class Moved(NamedTuple):
    ab: Tensor
    residual: Tensor
    flow: Tensor
    similarity: Tensor
    agreement: Tensor


class Match(NamedTuple):
    ab: Tensor
    error: Tensor
    similarity: Tensor
    agreement: Tensor


class Found(NamedTuple):
    ab: Tensor
    residual: Tensor
    flow: Tensor
    trust: Tensor


class NoMotion(nn.Module):
    """Stands in for motion: the previous colour where it is, wrong by the change of the lightness."""

    def forward(self, lightness: Tensor, previous: Tensor, ab: Tensor, *descriptors: Tensor | None) -> Moved:
        assert len(descriptors) == 2
        nothing = torch.zeros_like(lightness)
        return Moved(ab, lightness - previous, torch.zeros_like(ab), nothing, nothing)


class Still(nn.Module):
    """Stands in for tracking: the keyframe where it is, half as trusted with every step."""

    def forward(self, lightness: Tensor, *rest: Tensor) -> Found:
        step_flow, step_residual, key_lightness, key_ab, flow, trust = rest
        assert step_flow.shape == key_ab.shape
        assert step_residual.shape == lightness.shape
        return Found(key_ab, lightness - key_lightness, flow + 1, trust / 2)


def make(*, trained: bool = False, **options: Any) -> CopyReconstruction:
    torch.manual_seed(0)
    body = UNetReconstruction(6, depth=1)
    sizes = {"half": 3, "quarter": 5, "attended": 7, "heads": 2, "width": 4, "body_width": 6}
    net = CopyReconstruction(NoMotion(), body, **sizes, **options)
    if trained:
        for layer in (net.choose_head, net.enlarge, net.output):
            nn.init.normal_(layer.weight, std=0.3)
    return net


def frame(seed: int) -> tuple[Tensor, Tensor, Tensor, References]:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(2, *shape, generator=generator)

    references = References(draw(7, 3, 5), draw(2, 2, 3, 5) / 3, draw(2, 3, 5))
    return draw(3, 12, 20), draw(5, 6, 10), draw(1, 24, 40) / 3, references


def test_untrained_takes_the_attended_copy_and_then_the_previous_frame():
    net = make()
    half, quarter, lightness, references = frame(0)
    copies = torch.tensor([[0.2, -0.4], [0.6, 0.0]])[None, :, :, None, None].expand(2, 2, 2, 3, 5)
    references = references._replace(copies=copies)
    first, state = net.step(half, quarter, lightness, references)
    expected = torch.tensor([0.4, -0.2])[None, :, None, None].expand(2, 2, 24, 40)  # both heads alike
    torch.testing.assert_close(first.ab, expected)
    assert first.mask.abs().max() == 0
    state = state._replace(ab=state.ab + 0.25)
    second, _ = net.step(half, quarter, lightness, references, state)
    mask = torch.sigmoid(torch.tensor(2.0))  # nothing moved, so the motion explains everything
    torch.testing.assert_close(second.mask, mask.expand(2, 1, 24, 40))
    torch.testing.assert_close(second.ab, expected + 0.25 * mask)
    other, _ = net.step(half, quarter, lightness + 1, references, state)
    assert other.mask.max() < 1e-6


def test_without_state_every_frame_is_the_first():
    with_state, without = make(trained=True), make(trained=True, use_state=False)
    _, state = with_state.step(*frame(0))
    expected = with_state.step(*frame(1))[0]
    torch.testing.assert_close(without.step(*frame(1), state)[0], expected)
    assert (with_state.step(*frame(1), state)[0].ab - expected.ab).abs().max() > 1e-3


def test_review_begins_by_changing_nothing_and_then_sees_the_copies():
    """Colors that differ by less than a hundredth of a unit, in frames alike in everything else, are told apart."""
    plain, net = make(trained=True), make(trained=True, review=True)
    net.load_state_dict({**net.state_dict(), **plain.state_dict()})
    _, state = net.step(*frame(0))
    _, plain_state = plain.step(*frame(0))
    assert net.review is not None
    torch.testing.assert_close(net.step(*frame(1), state)[0], plain.step(*frame(1), plain_state)[0])
    nn.init.normal_(net.review.amend.weight, std=0.3)
    shifted = state._replace(ab=state.ab + 0.005)
    masks = [one.step(*frame(1), past)[0].mask for one in (net, plain) for past in (state, shifted)]
    assert (masks[1] - masks[0]).abs().max() > 10 * (masks[3] - masks[2]).abs().max()
    _, state = net.step(*frame(0))
    net.step(*frame(1), state)[0].ab.square().sum().backward()
    for name, parameter in net.review.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_smoothing_begins_as_a_binomial_and_leaves_the_state_sharp():
    net, plain = make(smooth=True), make()  # all that decides is zeros at first
    same = {name: value for name, value in plain.state_dict().items() if not name.startswith("output.")}
    net.load_state_dict(same, strict=False)
    result, state = net.step(*frame(0))
    torch.testing.assert_close(state.ab, plain.step(*frame(0))[0].ab)
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = (kernel[:, None] * kernel / 16).expand(2, 1, 3, 3)
    expected = F.conv2d(F.pad(state.ab, (1, 1, 1, 1), mode="replicate"), kernel, groups=2)
    torch.testing.assert_close(result.ab, expected)
    assert (result.ab - state.ab).abs().max() > 1e-2


def test_smoothing_learns_how_much_and_makes_no_new_color():
    net = make(trained=True, smooth=True, review=True)
    result, state = net.step(*frame(0))
    around = F.pad(state.ab, (1, 1, 1, 1), mode="replicate")
    assert (result.ab <= F.max_pool2d(around, 3, 1) + 1e-6).all()
    assert (result.ab >= -F.max_pool2d(-around, 3, 1) - 1e-6).all()
    assert net.review is not None
    result.ab.square().sum().backward()
    for layer in (net.output, net.review.amend):  # the last 36 channels say how a color is mixed
        assert layer.weight.grad is not None
        assert (layer.weight.grad[-36:].abs().sum(dim=(1, 2, 3)) > 0).all()


def test_every_parameter_learns():
    net = make(trained=True)
    _, state = net.step(*frame(0))
    net.step(*frame(1), state)[0].ab.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_align_receives_evidence_and_target():
    seen = []

    class Record(nn.Module):
        def forward(self, moving: Tensor, target: Tensor) -> Tensor:
            seen.append((moving.shape, target))
            return moving

    net = make()
    net.align = Record()
    half, quarter, lightness, references = frame(0)
    net.step(half, quarter, lightness, references)
    assert seen[0][0] == (2, 4, 6, 10)
    assert torch.equal(seen[0][1], quarter)


def test_output_stays_within_what_ab_can_be():
    """A correction that runs away must not feed on itself through the state."""
    net = make()
    with torch.no_grad():
        net.output.bias += 5  # type: ignore[operator]
    result, state = net.step(*frame(0))
    assert result.ab.max() == 1
    assert state.ab.max() == 1


def test_untrained_takes_the_keyframe_where_it_fits_better_and_is_trusted():
    net = make(track=Still())
    half, quarter, lightness, references = frame(0)
    _, state = net.step(half, quarter, lightness, references)
    blue, red = torch.zeros_like(state.ab), torch.full_like(state.ab, 0.5)
    # The previous frame is wrong by 1 in lightness, the keyframe is not.
    state = state._replace(lightness=lightness - 1, ab=red, keyframe=Keyframe.at(lightness, blue))
    result, after = net.step(half, quarter, lightness, references, state)
    attended = result.attended
    mask = torch.sigmoid(torch.tensor(2.0))
    torch.testing.assert_close(result.ab, attended + mask * (blue - attended), atol=1e-4, rtol=1e-4)
    assert torch.equal(after.keyframe.flow, torch.ones_like(blue))
    assert torch.equal(after.keyframe.trust, torch.full_like(lightness, 0.5))
    # Both fit: the trust decides, sigmoid(-2 + 3 / 2) of it is the keyframe's.
    state = state._replace(lightness=lightness)
    share = torch.sigmoid(torch.tensor(-0.5))
    expected = attended + mask * (red + share * (blue - red) - attended)
    torch.testing.assert_close(net.step(half, quarter, lightness, references, state)[0].ab, expected)


def test_the_first_frame_becomes_the_keyframe_and_stays_it():
    net = make(trained=True, track=Still())
    first, state = net.step(*frame(0))
    assert torch.equal(state.keyframe.ab, first.ab)
    _, later = net.step(*frame(1), state)
    assert torch.equal(later.keyframe.ab, first.ab)
    assert not later.detach().keyframe.ab.requires_grad
    assert torch.equal(later.to(torch.device("cpu")).keyframe.trust, later.keyframe.trust)


def test_every_parameter_learns_beside_a_keyframe():
    net = make(trained=True, track=Still())
    _, state = net.step(*frame(0))
    net.step(*frame(1), state)[0].ab.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())


def test_keyframes_are_chosen_sample_by_sample():
    one, other = (Keyframe.at(torch.full((2, 1, 3, 5), x), torch.full((2, 2, 3, 5), x)) for x in (1.0, 2.0))
    mixed = one.where(torch.tensor([True, False]), other)
    assert mixed.ab[:, 0, 0, 0].tolist() == [1.0, 2.0]
    assert mixed.flow.shape == (2, 2, 3, 5)


def with_match(
    seed: int, *, error: float = 0.0, agreement: float = 1.0, color: float = 0.5
) -> tuple[Any, ...]:
    """A frame that was matched: one color everywhere, equally wrong and equally agreed upon."""
    half, quarter, lightness, references = frame(seed)
    full = torch.ones_like(lightness)
    match = Match(color * full.repeat(1, 2, 1, 1), error * full, full, agreement * full)
    return half, quarter, lightness, references._replace(matched=match, descriptors=quarter)


def test_untrained_takes_the_match_where_it_fits_better_and_both_ways_agree():
    net = make(matching=True)
    half, quarter, lightness, references = with_match(0)
    first, state = net.step(half, quarter, lightness, references)
    # Without a past the match is all there is beside the attention: sigmoid(-3.5 + 4 + 20 * 1) of it is taken.
    mask = torch.sigmoid(torch.tensor(2.0))
    torch.testing.assert_close(first.ab, first.attended + mask * (0.5 - first.attended), atol=1e-4, rtol=1e-4)
    assert torch.equal(state.descriptors, quarter)
    red = state._replace(ab=torch.full_like(state.ab, -0.5))
    for agreement, logit in ((1.0, 0.5), (0.0, -3.5)):  # the past fits as well: agreement decides
        inputs = with_match(0, agreement=agreement)
        result, _ = net.step(*inputs, red)
        carried = -0.5 + torch.sigmoid(torch.tensor(logit))
        expected = result.attended + mask * (carried - result.attended)
        torch.testing.assert_close(result.ab, expected, atol=2e-3, rtol=1e-3)
    wrong, _ = net.step(*with_match(0, error=1.0), red)
    torch.testing.assert_close(
        wrong.ab, wrong.attended + mask * (-0.5 - wrong.attended), atol=1e-4, rtol=1e-4
    )


def test_memory_is_carried_and_felt_and_bounded():
    moved = []

    def carry(memory: Tensor, flow: Tensor) -> Tensor:
        moved.append((memory, flow.shape))
        return memory

    net = make(trained=True, memory=3, carry=carry)
    _, state = net.step(*frame(0))
    assert state.memory.shape == (2, 3, 6, 10)
    assert state.memory.abs().max() <= 1
    result, _ = net.step(*frame(1), state)
    assert moved[0][0] is state.memory
    assert moved[0][1] == (2, 2, 24, 40)
    forgotten, _ = net.step(*frame(1), state._replace(memory=torch.zeros_like(state.memory)))
    assert (result.ab - forgotten.ab).abs().max() > 1e-4
    assert not state.detach().memory.requires_grad


def test_every_parameter_learns_beside_match_and_memory():
    net = make(trained=True, matching=True, memory=3, carry=lambda memory, _: memory, track=Still())
    _, state = net.step(*with_match(0, error=0.1))
    net.step(*with_match(1, error=0.1), state)[0].ab.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())


def test_untrained_takes_a_recalled_copy_as_much_as_it_resembles_more():
    net = make(recall=True)
    half, quarter, lightness, references = frame(0)
    copies = torch.full_like(references.copies, 0.25)
    found = references._replace(copies=copies)
    plain, _ = net.step(half, quarter, lightness, found)
    torch.testing.assert_close(plain.attended, torch.full_like(plain.attended, 0.25))
    for closer in (-1.0, 0.0, 1.0):
        recalled = (-copies, references.similarity + closer)
        result, _ = net.step(half, quarter, lightness, found._replace(recalled=recalled))
        share = torch.sigmoid(torch.tensor(-0.5 + 12 * closer))
        torch.testing.assert_close(result.attended, (0.25 - 0.5 * share).expand_as(result.attended))


def test_every_parameter_learns_beside_a_recalled_copy():
    net = make(trained=True, recall=True)
    half, quarter, lightness, references = frame(0)
    recalled = (references.copies.flip(1), references.similarity + 0.05)
    inputs = (half, quarter, lightness, references._replace(recalled=recalled))
    _, state = net.step(*inputs)
    net.step(*inputs, state)[0].ab.square().sum().backward()
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in net.parameters())


def test_a_recollection_ages_until_another_takes_its_place():
    def of(value: float) -> Recollection:
        return Recollection(torch.full((2, 3, 4, 5), value), torch.full((2, 2, 4, 5), value), torch.zeros(2))

    later = of(1.0).older(of(2.0), torch.tensor([True, False]))
    assert later.age.tolist() == [0, 1]
    assert later.ab[:, 0, 0, 0].tolist() == [2, 1]
    assert later.descriptors[:, 0, 0, 0].tolist() == [2, 1]


def test_without_state_nothing_is_remembered():
    net = make(memory=3, use_state=False)
    assert net.step(*frame(0))[1].memory is None
    assert all("remember" not in name for name, _ in net.named_parameters())


def test_a_state_survives_being_named():
    net = make(trained=True, matching=True, memory=3, carry=lambda memory, _: memory, track=Still())
    _, state = net.step(*with_match(0))
    state = state._replace(recollection=Recollection(state.descriptors, state.ab, torch.ones(2)))
    named = state.named_tensors()
    assert {"lightness", "ab", "descriptors", "memory", "keyframe.flow", "recollection.age"} <= set(named)
    again = RecurrentState.from_named_tensors(named)
    assert torch.equal(again.recollection.ab, state.ab)
    assert torch.equal(again.keyframe.ab, state.keyframe.ab)
    assert torch.equal(net.step(*with_match(1), again)[0].ab, net.step(*with_match(1), state)[0].ab)
    with pytest.raises(TypeError):
        RecurrentState.from_named_tensors({"lightness": state.lightness, "color": state.ab})
