"""References on both sides: stretches, the mixture of both passes, and whole clips."""

import pytest
import torch
from ca_model import (
    ColorAlignNet,
    backward_windows,
    blend_passes,
    colorize_both_ways,
    colorize_clip,
    create_model,
)
from torch import Tensor

FRAMES, SIZE = 7, (37, 53)


@pytest.fixture(scope="module")
def model() -> ColorAlignNet:
    torch.manual_seed(3)
    return create_model("tiny").eval()


def film() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [torch.rand(1, *SIZE, generator=generator) * 2 - 1 for _ in range(FRAMES)]


def known(*places: int) -> dict[int, Tensor]:
    generator = torch.Generator().manual_seed(2)
    return {place: torch.rand(2, *SIZE, generator=generator) - 0.5 for place in places}


STILLS = [torch.rand(3, 41, 29, generator=torch.Generator().manual_seed(4)) - 0.5]


def test_stretches_end_with_known_frames_and_stay_within_shot_and_reach() -> None:
    assert backward_windows([range(0, 13), range(13, 31)], [0, 5, 13, 29], reach=11) == [
        range(1, 6),
        range(19, 30),
    ]
    assert backward_windows([range(0, 13)], []) == []


def test_the_nearer_known_frame_and_the_surer_track_count_more() -> None:
    one, other = torch.zeros(2, 13, 17), torch.ones(2, 13, 17)
    assert blend_passes(one, other, 0.0).max() == 0
    assert blend_passes(one, other, 1.0).min() == 1
    sure, lost = torch.ones(1, 13, 17), torch.zeros(1, 13, 17)
    by_time = blend_passes(one, other, 0.75, (sure, sure))
    torch.testing.assert_close(by_time, torch.full_like(by_time, 0.75))
    # 0.5 * 0.02 / (0.5 * 1.02 + 0.5 * 0.02)
    by_trust = blend_passes(one, other, 0.5, (sure, lost))
    torch.testing.assert_close(by_trust, torch.full_like(by_trust, 0.02 / 1.04))
    half = torch.cat([sure[..., :8], lost[..., 8:]], dim=2)
    mixed = blend_passes(one, other, 0.5, (half, half.flip(2)))
    assert mixed[..., 0].max() < 0.1
    assert mixed[..., -1].min() > 0.9


def test_a_clip_between_two_known_frames_is_both_passes_blended(model: ColorAlignNet) -> None:
    given = known(0, 5)
    both = list(colorize_both_ways(model, iter(film()), STILLS, given))
    ahead = list(colorize_clip(model, film(), STILLS, given=given))
    behind = list(colorize_clip(model, film()[1:6][::-1], STILLS, given={0: given[5]}))[::-1]
    assert len(both) == FRAMES
    for place in (0, 6):
        assert torch.equal(both[place].ab, ahead[place].ab)
    for place in range(1, 6):
        forward, backward = ahead[place], behind[place - 1]
        expected = blend_passes(forward.ab, backward.ab, place / 5, (forward.trust, backward.trust))
        torch.testing.assert_close(both[place].ab, expected)
        assert torch.equal(both[place].confidence, forward.confidence)
    assert torch.equal(both[5].ab, given[5])
    assert (both[3].ab - ahead[3].ab).abs().max() > 1e-4


def test_without_a_later_known_frame_it_is_the_forward_pass(model: ColorAlignNet) -> None:
    ahead = list(colorize_clip(model, film(), STILLS, given=known(0)))
    both = list(colorize_both_ways(model, film(), STILLS, known(0)))
    assert all(torch.equal(one.ab, other.ab) for one, other in zip(both, ahead, strict=True))


def test_no_more_than_the_reach_is_held(model: ColorAlignNet) -> None:
    given, taken = known(6), 0

    def counted():
        nonlocal taken
        for frame in film():
            taken += 1
            yield frame

    ahead = list(colorize_clip(model, film(), STILLS, given=given))
    passed = colorize_both_ways(model, counted(), STILLS, given, reach=3)
    for place in range(FRAMES):
        one = next(passed)
        if place < 4:  # the pass against time reaches frames 4 to 6
            assert taken <= place + 3
            assert torch.equal(one.ab, ahead[place].ab)
    assert (one.ab - given[6]).abs().max() == 0


def test_references_may_change_and_known_colors_be_partial(model: ColorAlignNet) -> None:
    opaque = (torch.arange(SIZE[1]) < 23).expand(1, *SIZE)
    given = {place: (ab, opaque) for place, ab in known(0, 5).items()}
    encoded = model.encode_references([still[None] for still in STILLS])
    seen: list[int] = []

    def references(place: int):
        seen.append(place)
        return encoded

    both = list(colorize_both_ways(model, film(), references, given))
    constant = list(colorize_both_ways(model, film(), encoded, given))
    assert seen == [0, 1, 2, 3, 4, 5, 5, 4, 3, 2, 1, 6]
    for one, other in zip(both, constant, strict=True):
        assert torch.equal(one.ab, other.ab)
    assert torch.equal(both[5].ab[..., :23], given[5][0][..., :23])
