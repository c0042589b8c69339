"""Matching by features: against loops over cells, by hand, and on pictures that moved far."""

import pytest
import torch
from ca_align import Atlas, FlowPropagation, ReferenceMatching, carry_features, match_features, matching
from torch import Tensor
from torch.nn import functional as F


def unit(*shape: int, seed: int = 0) -> Tensor:
    return F.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=1)


def picture(h: int, w: int, seed: int = 3) -> Tensor:
    """A smooth pattern within [-1, 1] that repeats nowhere."""
    noise = torch.randn(1, 1, h + 16, w + 16, generator=torch.Generator().manual_seed(seed))
    smooth = F.avg_pool2d(F.avg_pool2d(noise, 9, 1), 9, 1)
    return 0.8 * smooth / smooth.abs().max()


def patches(lightness: Tensor) -> Tensor:
    """Features to match by without training: each cell of 8 x 8 pixels as it is."""
    return F.normalize(F.pixel_unshuffle(lightness - lightness.mean(), 8), dim=1)


def written_out(
    target: Tensor, moving: Tensor, radius: int | None = None, valid: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """`match_features` of one sample, cell by cell."""
    _, _, h, w = target.shape
    rows, columns = moving.shape[-2:]
    table = torch.einsum("chw,cij->hwij", target[0], moving[0])
    for y, x, i, j in torch.cartesian_prod(*(torch.arange(n) for n in (h, w, rows, columns))).tolist():
        far = radius is not None and max(abs(y - i), abs(x - j)) > radius
        if far or (valid is not None and not valid[0, 0, i, j]):
            table[y, x, i, j] = -1
    own = table.flatten(2).argmax(-1)
    back = table.flatten(0, 1).argmax(0)
    flow, similarity, agreement = torch.zeros(2, h, w), torch.zeros(h, w), torch.zeros(h, w)
    for y, x in torch.cartesian_prod(torch.arange(h), torch.arange(w)).tolist():
        near = [
            (min(max(y + dy, 0), h - 1), min(max(x + dx, 0), w - 1)) for dy in (-1, 0, 1) for dx in (-1, 0, 1)
        ]
        moves = [(int(own[n]) // columns - n[0], int(own[n]) % columns - n[1]) for n in near]

        def at(place: tuple[int, int], move: tuple[int, int]) -> tuple[int, int]:
            return min(max(place[0] + move[0], 0), rows - 1), min(max(place[1] + move[1], 0), columns - 1)

        sums = torch.stack([torch.stack([table[n][at(n, move)] for n in near]).sum() for move in moves])
        i, j = at((y, x), moves[int(sums.argmax())])
        flow[:, y, x] = torch.tensor([j - x, i - y])
        similarity[y, x] = table[y, x, i, j]
        home = int(back[i, j])
        agreement[y, x] = 1 / (1 + ((home // w - y) ** 2 + (home % w - x) ** 2) / 4)
    return flow, similarity, agreement


@pytest.mark.parametrize(("radius", "masked"), [(None, False), (2, False), (None, True)])
@pytest.mark.parametrize("at_once", [1 << 23, 200, 1])
def test_equals_it_written_out(radius: int | None, masked: bool, at_once: int, monkeypatch):
    """Whatever the bands of rows in which the similarities are held."""
    monkeypatch.setattr(matching, "_ENTRIES_AT_ONCE", at_once)
    target = unit(2, 6, 5, 7)
    moving = unit(2, 6, *((5, 7) if radius else (4, 11)), seed=1)
    valid = None
    if masked:
        valid = torch.rand(2, 1, *moving.shape[-2:], generator=torch.Generator().manual_seed(2)) > 0.3
    match = match_features(target, moving, radius=radius, valid=valid)
    for n in range(2):
        mask = None if valid is None else valid[n : n + 1]
        expected = written_out(target[n : n + 1], moving[n : n + 1], radius, mask)
        for got, want in zip(
            (match.flow[n], match.similarity[n, 0], match.agreement[n, 0]), expected, strict=True
        ):
            torch.testing.assert_close(got, want)


def test_what_is_hidden_is_not_matched_by_neighbours_either():
    """A cell at the edge of what is valid, whose neighbours all say it lies one cell beyond."""
    features = unit(1, 8, 5, 7)
    target = features.clone()
    target[:, :, 2, 3] = 0.7 * features[:, :, 2, 3] + 0.5 * features[:, :, 0, 0]
    target = F.normalize(target, dim=1)
    hidden = torch.zeros(1, 1, 5, 7, dtype=torch.bool)
    hidden[..., 2, 3] = True  # the very place where all neighbours would send it
    loose = match_features(target, features, valid=~hidden)
    strict = match_features(target, features, hidden=hidden)
    assert loose.similarity[..., 2, 3] == -1
    assert strict.similarity.min() > -1
    assert strict.flow[0, :, 2, 3].tolist() != [0.0, 0.0]
    kept = torch.ones(5, 7, dtype=torch.bool)
    kept[1:4, 2:5] = False
    assert torch.equal(strict.flow[..., kept], loose.flow[..., kept])
    nothing = match_features(target, features, hidden=torch.ones_like(hidden))
    assert nothing.similarity.max() == -1
    assert nothing.flow.isfinite().all()


def test_neighbours_overrule_a_cell_that_saw_wrong():
    features = unit(1, 8, 6, 9)
    seen = features.clone()
    seen[:, :, 3, 4] = 0.9 * features[:, :, 0, 0] + 0.1 * features[:, :, 3, 4]  # looks like another place
    flow = match_features(F.normalize(seen, dim=1), features).flow
    assert flow.abs().max() == 0


def test_agreement_is_full_where_both_ways_meet_and_falls_where_they_do_not():
    features = unit(1, 16, 4, 9)
    assert match_features(features, features).agreement.min() == 1
    # The left part repeats in the target: of the cells that match it only one is matched back.
    doubled = torch.cat([features[..., :3], features], dim=3)
    agreement = match_features(doubled, features).agreement
    assert agreement[..., 6:].min() == 1
    torch.testing.assert_close(
        agreement[..., :2].amin(dim=(0, 1, 2)) + agreement[..., 3:5].amin(dim=(0, 1, 2)),
        torch.full((2,), 1 + 1 / (1 + 9 / 4)),
    )


def test_match_errors():
    with pytest.raises(ValueError, match=r"moving: expected batch and channels \(1, 4\), got \(1, 3\)"):
        match_features(unit(1, 4, 3, 3), unit(1, 3, 3, 3))


def test_references_are_found_however_far_away_and_between_pixels():
    """A window of a picture is found in it 64 pixels away, moved by whole and half pixels."""
    still = picture(96, 160)
    ab = picture(96, 160, seed=5).repeat(1, 2, 1, 1)
    wide = F.interpolate(torch.cat([still, ab], dim=1), scale_factor=2, mode="bilinear", align_corners=False)
    window = F.avg_pool2d(wide[..., 32:160, 129 : 129 + 128], 2)  # 16 rows and 64.5 columns away
    lightness, expected = window[:, :1], window[:, 1:]
    atlas = Atlas.of([(still, ab, patches(still))])
    found = ReferenceMatching()(lightness, patches(lightness), atlas)
    inner = (..., slice(8, -8), slice(8, -8))
    assert (found.ab - expected)[inner].abs().mean() < 0.1 * (ab - expected.mean()).abs().mean()
    assert found.error[inner].mean() < 0.02
    assert found.agreement[inner].mean() > 0.7


def test_references_do_not_know_of_each_other():
    """Order, repetition and sizes of the others change nothing of what is found in one."""
    one, other = picture(32, 48), picture(40, 24, seed=7)
    lightness = picture(32, 48, seed=9)
    laid = [(x, torch.cat([x, -x], dim=1), patches(x)) for x in (one, other)]
    found = [
        ReferenceMatching()(lightness, patches(lightness), Atlas.of(order))
        for order in (laid, laid[::-1], laid * 2)
    ]
    for again in found[1:]:
        for got, expected in zip(again, found[0], strict=True):
            torch.testing.assert_close(got, expected, atol=1e-5, rtol=1e-4)


def test_a_masked_part_of_a_reference_is_never_matched():
    """Whatever stands behind the mask, if only the picture goes on there as it ends before it."""
    still, ab = picture(48, 96), picture(48, 96, seed=5).repeat(1, 2, 1, 1)
    mask = (torch.arange(12) < 5).expand(1, 1, 6, 12)
    found = []
    for seed in (1, 2):
        seen, colors = still.clone(), ab.clone()
        seen[..., 40:], colors[..., 40:] = seen[..., 39:40], colors[..., 39:40]
        features = patches(still).clone()
        features[..., 5:] = unit(1, 64, 6, 7, seed=seed)
        atlas = Atlas.of([(seen, colors, features)], [mask])
        assert atlas.repeat(2).hidden.shape == atlas.repeat(2).valid.shape
        assert int((atlas.valid & ~atlas.hidden).sum()) == 6 * 5
        found.append(ReferenceMatching()(still, patches(still), atlas.repeat(1)))
    for one, other in zip(*found, strict=True):
        assert torch.equal(one, other)
    exact = (..., slice(8, -8), slice(8, 24))
    assert (found[0].ab - ab)[exact].abs().mean() < 0.02
    assert found[0].similarity[..., :32].min() > 0.9


def test_an_atlas_of_whole_references_is_as_ever():
    still = picture(32, 48)
    laid = [(still, torch.cat([still, -still], dim=1), patches(still))]
    mask = torch.ones(1, 1, 4, 6, dtype=torch.bool)
    plain, masked = Atlas.of(laid), Atlas.of(laid, [mask])
    assert plain.hidden is None
    assert not masked.hidden.any()
    for one, other in zip(plain[:-1], masked[:-1], strict=True):
        assert torch.equal(one, other)
    with pytest.raises(
        ValueError, match=r"masks: expected \(1, 1, 4, 6\) as the features, got \(1, 1, 6, 4\)"
    ):
        Atlas.of(laid, [mask.mT])


def test_atlas_marks_what_is_no_reference_and_says_what_does_not_fit():
    ab = torch.zeros(1, 2, 16, 24)
    atlas = Atlas.of([(ab[:, :1], ab, unit(1, 4, 2, 3)), (ab[:, :1, :, :8], ab[..., :8], unit(1, 4, 2, 1))])
    assert atlas.valid.sum() == 2 * 3 + 2 * 1
    assert atlas.lightness.shape[-2:] == (8 * atlas.features.shape[-2], 8 * atlas.features.shape[-1])
    assert len(atlas.repeat(3).lightness) == 3
    with pytest.raises(ValueError, match="expected 16 x 32 pixels for 2 x 4 features"):
        Atlas.of([(ab[:, :1], ab, unit(1, 4, 2, 4))])


def test_features_find_what_is_too_fast_for_the_flow():
    """A small thing jumps by 40 pixels over a still ground."""
    ground, thing = picture(96, 160), picture(24, 24, seed=11) + 0.4
    before, now = ground.clone(), ground.clone()
    before[..., 32:56, 40:64], now[..., 32:56, 80:104] = thing, thing
    ab = torch.zeros(1, 2, 96, 160)
    ab[..., 32:56, 40:64] = 0.5
    alone = FlowPropagation()(now, before, ab)
    helped = FlowPropagation()(now, before, ab, patches(now), patches(before))
    inside = (..., slice(36, 52), slice(84, 100))
    assert (alone.ab[inside] - 0.5).abs().mean() > 0.2
    assert (helped.ab[inside] - 0.5).abs().mean() < 0.1
    assert alone.agreement.max() == 0
    assert helped.agreement.mean() > 0.5


def test_carried_features_follow_the_motion():
    features = torch.randn(2, 3, 5, 7)
    flow = torch.tensor([4.0, -8.0]).view(1, 2, 1, 1).expand(2, 2, 20, 28)
    torch.testing.assert_close(carry_features(features, 0 * flow), features)
    moved = carry_features(features, flow)
    torch.testing.assert_close(moved[..., 2:, :-1], features[..., :-2, 1:])
