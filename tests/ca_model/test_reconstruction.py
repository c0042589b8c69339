"""Reconstruction that mixes copied colours."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from ca_align import Matched, StillPropagation, Tracked
from ca_model import CopyConfig, RecurrentState
from ca_model.copies import Past, References
from ca_model.reconstruction import CopyReconstruction
from ca_model.state import Keyframe, Recollection
from torch import Tensor, nn


class Still(nn.Module):
    """Stands in for tracking: the keyframe where it is, half as trusted with every step."""

    def forward(self, lightness: Tensor, *rest: Tensor) -> Tracked:
        step_flow, step_residual, key_lightness, key_ab, flow, trust = rest
        assert step_flow.shape == key_ab.shape
        assert step_residual.shape == lightness.shape
        return Tracked(key_ab, lightness - key_lightness, flow + 1, trust / 2)


def make(
    *, trained: bool = False, track: bool = False, matching: bool = False, **options: Any
) -> CopyReconstruction:
    """A small network in whose films nothing moves."""
    torch.manual_seed(0)
    config = CopyConfig(
        widths=(3, 5, 7, 9),
        heads=2,
        width=4,
        offset_groups=2,
        reconstruction="unet",
        body_width=6,
        alignment="flow" if track else "deform",
        color_transfer="attention" if matching else "adain",
        **options,
    )
    net = CopyReconstruction(config)
    if track:
        net.propagate, net.track = StillPropagation(), Still()
    if trained:
        for parameter in net.parameters():
            if parameter.abs().max() == 0:
                nn.init.normal_(parameter, std=0.3)
    return net


def frame(
    seed: int, *, error: float = 0.0, agreement: float = 1.0, color: float = 0.5
) -> tuple[Tensor, Tensor, Tensor, References]:
    """A frame; one colour was found for it by matching everywhere, equally wrong and equally agreed upon."""
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> Tensor:
        return torch.randn(2, *shape, generator=generator)

    half, quarter, lightness = draw(3, 12, 20), draw(5, 6, 10), draw(1, 24, 40) / 3
    full = torch.ones_like(lightness)
    match = Matched(color * full.repeat(1, 2, 1, 1), error * full, full, agreement * full)
    references = References(draw(7, 3, 5), draw(2, 2, 3, 5) / 3, draw(2, 3, 5), match, draw(4, 3, 5))
    return half, quarter, lightness, references


def test_nothing_is_known_of_a_first_frame():
    past = Past.unknown(torch.rand(2, 1, 3, 5))
    assert past.memory is None
    for name, channels, value in (
        ("previous", 2, 0),
        ("error", 1, 1),
        ("known", 1, 0),
        ("similarity", 1, 0),
        ("agreement", 1, 0),
        ("key", 2, 0),
        ("key_error", 1, 1),
        ("trust", 1, 0),
    ):
        assert torch.equal(getattr(past, name), torch.full((2, channels, 3, 5), float(value))), name


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


def test_copies_and_their_shares_are_the_mixture():
    """Clamped, not yet smoothed, the frame is their sum and the correction (here the same for all pixels)."""
    net = make(trained=True, track=True, matching=True)
    nn.init.zeros_(net.review.amend.weight)
    nn.init.zeros_(net.review.amend.bias)
    with torch.no_grad():
        net.output.weight[4:12] = 0
        net.output.bias[4:8], net.output.bias[8:12] = 0.01, -0.02
    _, state = net.step(*frame(0))
    result, after = net.step(*frame(0, error=0.05), state)  # nothing moved: each copy is worth something
    assert list(result.copies) == ["previous", "keyframe", "matched", "attended"]
    shares = torch.stack([copy.share for copy in result.copies.values()])
    torch.testing.assert_close(shares.sum(dim=0), torch.ones_like(shares[0]))
    assert (shares.amin(dim=(1, 2, 3, 4)) >= 0).all()
    assert (shares.amax(dim=(1, 2, 3, 4)) > 0.01).all()
    mixed = sum(copy.ab * copy.share for copy in result.copies.values())
    correction = torch.tensor([0.01, -0.02])[:, None, None]
    torch.testing.assert_close(after.ab, (mixed + correction).clamp(-1, 1))
    torch.testing.assert_close(result.copies["attended"].ab, result.attended)
    torch.testing.assert_close(result.copies["attended"].share, 1 - result.mask)


def test_without_a_temporal_prior_every_frame_is_the_first():
    with_state, without = make(trained=True), make(trained=True, temporal_prior=False)
    _, state = with_state.step(*frame(0))
    expected = with_state.step(*frame(1))[0]
    torch.testing.assert_close(without.step(*frame(1), state)[0], expected)
    assert (with_state.step(*frame(1), state)[0].ab - expected.ab).abs().max() > 1e-3


class Nothing(nn.Module):
    """Stands in for a review that amends nothing."""

    def forward(self, fine: Tensor, copies: list[Tensor]) -> float:
        assert fine.shape[-1] * 2 == copies[0].shape[-1]
        return 0.0


def test_review_begins_by_changing_nothing_and_then_sees_the_copies():
    """Colours that differ by less than a hundredth of a unit, in frames alike in everything else, are told apart."""
    plain, net = make(trained=True), make(trained=True)
    nn.init.zeros_(net.review.amend.weight)
    nn.init.zeros_(net.review.amend.bias)
    plain.review = Nothing()
    _, state = net.step(*frame(0))
    _, plain_state = plain.step(*frame(0))
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


def test_review_is_zero_when_new():
    amend = make().review.amend
    assert not amend.weight.any()
    assert not amend.bias.any()


def test_smoothing_begins_as_a_binomial_and_leaves_the_state_sharp():
    result, state = make().step(*frame(0))
    kernel = torch.tensor([1.0, 2.0, 1.0])
    kernel = (kernel[:, None] * kernel / 16).expand(2, 1, 3, 3)
    expected = F.conv2d(F.pad(state.ab, (1, 1, 1, 1), mode="replicate"), kernel, groups=2)
    torch.testing.assert_close(result.ab, expected)
    assert (result.ab - state.ab).abs().max() > 1e-2
    torch.testing.assert_close(
        state.ab, result.attended
    )  # untrained, the first frame is the attention's copy


def test_smoothing_learns_how_much_and_makes_no_new_color():
    net = make(trained=True)
    result, state = net.step(*frame(0))
    around = F.pad(state.ab, (1, 1, 1, 1), mode="replicate")
    assert (result.ab <= F.max_pool2d(around, 3, 1) + 1e-6).all()
    assert (result.ab >= -F.max_pool2d(-around, 3, 1) - 1e-6).all()
    result.ab.square().sum().backward()
    for layer in (net.output, net.review.amend):  # the last 36 channels say how a colour is mixed
        assert layer.weight.grad is not None
        assert (layer.weight.grad[-36:].abs().sum(dim=(1, 2, 3)) > 0).all()


SETTINGS = {
    "previous frame": {},
    "keyframe": {"track": True},
    "match and memory": {"track": True, "matching": True, "memory": 3},
    "recalled copy": {"matching": True, "recall": 1},
}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_parameter_learns(setting: str):
    net = make(trained=True, **SETTINGS[setting])
    half, quarter, lightness, references = frame(0, error=0.1)
    if "recall" in SETTINGS[setting]:
        recalled = (references.copies.flip(1), references.similarity + 0.05)
        references = references._replace(recalled=recalled)
    _, state = net.step(half, quarter, lightness, references)
    net.step(half, quarter, lightness + 0.01, references, state)[0].ab.square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.any(), name


def test_align_receives_evidence_and_target():
    seen = []

    class Record(nn.Module):
        def forward(self, moving: Tensor, target: Tensor) -> Tensor:
            seen.append((moving.shape, target))
            return moving

    net = make()
    net.align, net.align_to = Record(), nn.Identity()
    half, quarter, lightness, references = frame(0)
    net.step(half, quarter, lightness, references)
    assert seen[0][0] == (2, 4, 6, 10)
    assert torch.equal(seen[0][1], quarter)


def test_output_stays_within_what_ab_can_be():
    """A correction that runs away must not feed on itself through the state."""
    net = make()
    with torch.no_grad():
        net.output.bias[4:12] += 5  # the two channels of the correction, at each of four pixels
    result, state = net.step(*frame(0))
    assert result.ab.max() == 1
    assert state.ab.max() == 1


def test_untrained_takes_the_keyframe_where_it_fits_better_and_is_trusted():
    net = make(track=True)
    half, quarter, lightness, references = frame(0)
    copies = torch.full_like(references.copies, 0.1)  # of one colour, which smoothing leaves as it is
    references = references._replace(copies=copies)
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
    net = make(trained=True, track=True)
    _, state = net.step(*frame(0))
    assert torch.equal(state.keyframe.ab, state.ab)
    _, later = net.step(*frame(1), state)
    assert torch.equal(later.keyframe.ab, state.ab)


def test_untrained_takes_the_match_where_it_fits_better_and_both_ways_agree():
    net = make(matching=True)

    def with_match(**match: float) -> tuple[Tensor, Tensor, Tensor, References]:
        half, quarter, lightness, references = frame(0, **match)
        copies = torch.full_like(references.copies, 0.1)  # of one colour, which smoothing leaves as it is
        return half, quarter, lightness, references._replace(copies=copies)

    first, state = net.step(*with_match())
    # Without a past the match is all there is beside the attention: sigmoid(-3.5 + 4 + 20 * 1) of it is taken.
    mask = torch.sigmoid(torch.tensor(2.0))
    torch.testing.assert_close(first.ab, first.attended + mask * (0.5 - first.attended), atol=1e-4, rtol=1e-4)
    assert torch.equal(state.descriptors, with_match()[3].descriptors)
    red = state._replace(ab=torch.full_like(state.ab, -0.5))
    for agreement, logit in ((1.0, 0.5), (0.0, -3.5)):  # the past fits as well: agreement decides
        result, _ = net.step(*with_match(agreement=agreement), red)
        carried = -0.5 + torch.sigmoid(torch.tensor(logit))
        expected = result.attended + mask * (carried - result.attended)
        torch.testing.assert_close(result.ab, expected, atol=2e-3, rtol=1e-3)
    wrong, _ = net.step(*with_match(error=1.0), red)
    torch.testing.assert_close(
        wrong.ab, wrong.attended + mask * (-0.5 - wrong.attended), atol=1e-4, rtol=1e-4
    )


def test_memory_is_carried_and_felt_and_bounded(monkeypatch: pytest.MonkeyPatch):
    moved = []

    def carry(memory: Tensor, flow: Tensor) -> Tensor:
        moved.append((memory, flow.shape))
        return memory

    monkeypatch.setattr("ca_model.reconstruction.carry_features", carry)
    net = make(trained=True, memory=3)
    _, state = net.step(*frame(0))
    assert moved == []
    assert state.memory.shape == (2, 3, 6, 10)
    assert state.memory.abs().max() <= 1
    result, _ = net.step(*frame(1), state)
    assert moved[0][0] is state.memory
    assert moved[0][1] == (2, 2, 24, 40)
    forgotten, _ = net.step(*frame(1), state._replace(memory=torch.zeros_like(state.memory)))
    assert (result.ab - forgotten.ab).abs().max() > 1e-4


def test_untrained_takes_a_recalled_copy_as_much_as_it_resembles_more():
    net = make(matching=True, recall=1)
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


def test_without_a_temporal_prior_nothing_is_remembered():
    net = make(memory=3, temporal_prior=False)
    assert net.step(*frame(0))[1].memory is None
    assert all("remember" not in name for name, _ in net.named_parameters())


def test_a_state_survives_being_named():
    net = make(trained=True, matching=True, memory=3, track=True)
    _, state = net.step(*frame(0))
    state = state._replace(recollection=Recollection(state.descriptors, state.ab, torch.ones(2)))
    again = RecurrentState.from_named_tensors(state.named_tensors())
    assert torch.equal(again.recollection.ab, state.ab)
    assert torch.equal(net.step(*frame(1), again)[0].ab, net.step(*frame(1), state)[0].ab)
