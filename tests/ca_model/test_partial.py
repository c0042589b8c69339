"""Partial stills: what is hidden is never read, and what is opaque counts as ever."""

import pytest
import torch
from ca_model import ColorAlignNet, Given, ModelError, create_model, fill_hidden
from ca_model.partial import covered_cells
from torch import Tensor

NETWORKS = {
    "tiny": ("tiny", {"zooms": (1.5,)}),
    "tiny adain": ("tiny", {"color_transfer": "adain"}),
    "paper": (
        "paper",
        {"widths": (6, 8, 8, 16), "heads": 2, "head_channels": 8, "width": 16, "body_depth": 2, "window": 4},
    ),
}


def build(name: str) -> ColorAlignNet:
    torch.manual_seed(3)
    preset, settings = NETWORKS[name]
    model = create_model(preset, **settings)
    with torch.no_grad():  # gates that start at zero would hide what is behind them
        for parameter in model.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.05) if parameter.ndim else parameter.fill_(1.0)
    return model.eval()


def film(frames: int = 2, size: tuple[int, int] = (37, 53)) -> Tensor:
    return torch.rand(1, frames, 1, *size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def still(size: tuple[int, int] = (41, 59), seed: int = 2) -> Tensor:
    return torch.rand(1, 3, *size, generator=torch.Generator().manual_seed(seed)) - 0.5


def left(of: Tensor, columns: int) -> Tensor:
    return (torch.arange(of.shape[-1]) < columns).expand(len(of), 1, *of.shape[-2:])


def test_filling_reads_nothing_that_is_hidden() -> None:
    picture = still()
    opaque = left(picture, 23)
    with_nan = picture.masked_fill(~opaque, torch.nan)
    filled = fill_hidden(with_nan, opaque)
    assert torch.equal(filled[..., :23], picture[..., :23])
    assert filled.isfinite().all()
    low, high = picture[..., :23].aminmax()
    assert filled.min() >= low
    assert filled.max() <= high


def test_filling_goes_on_with_the_colors_that_are_near() -> None:
    picture = torch.zeros(2, 1, 13, 31)
    picture[..., :11], picture[..., 20:] = -1.0, 1.0
    opaque = torch.ones(2, 1, 13, 31, dtype=torch.bool)
    opaque[..., 11:20] = False
    opaque[1] = False
    filled = fill_hidden(picture, opaque)
    assert filled[0, 0, :, 11].max() < -0.4
    assert filled[0, 0, :, 19].min() > 0.4
    assert filled[1].abs().max() == 0
    flat = torch.full((1, 2, 7, 11), 0.3)
    torch.testing.assert_close(fill_hidden(flat, left(flat, 2)), flat)


def test_a_cell_counts_where_half_of_it_is_opaque_or_where_no_other_has_more() -> None:
    opaque = torch.zeros(3, 1, 16, 24, dtype=torch.bool)
    opaque[0, :, :, :12], opaque[1, :, 2:5, 9:12] = True, True
    cells = covered_cells(opaque, 8)
    assert cells[0, 0].tolist() == [[True, True, False]] * 2
    assert cells[1, 0].tolist() == [[False, True, False], [False] * 3]
    assert not cells[2].any()


@pytest.mark.parametrize("name", NETWORKS)
def test_a_still_that_is_opaque_everywhere_is_a_plain_still(name: str) -> None:
    model, lightness, picture = build(name), film(), still()
    with torch.no_grad():
        plain = model(lightness, [picture])
        masked = model(lightness, [picture], masks=[left(picture, 59)])
        unmasked = model(lightness, [picture], masks=[None])
    torch.testing.assert_close(masked.ab, plain.ab, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(masked.confidence, plain.confidence, atol=1e-5, rtol=1e-4)
    assert torch.equal(unmasked.ab, plain.ab)


@pytest.mark.parametrize("name", NETWORKS)
def test_of_a_still_masked_to_its_left_half_the_right_one_is_never_seen(name: str) -> None:
    """Whatever stands there, not one bit of what comes out changes."""
    model, lightness, picture, other = build(name), film(), still(), still(seed=9)
    opaque = left(picture, 29)
    beside = still((19, 71), seed=7)
    with torch.no_grad():
        found = [
            model(lightness, [torch.where(opaque, picture, hidden), beside], masks=[opaque, None])
            for hidden in (picture, other, torch.full_like(other, torch.nan))
        ]
        assert torch.equal(found[0].ab, found[1].ab)
        assert torch.equal(found[0].ab, found[2].ab)
        assert torch.equal(found[0].confidence, found[1].confidence)
        whole = model(lightness, [picture, beside])
    assert (found[0].ab - whole.ab).abs().max() > 1e-4


def test_copies_are_colors_of_the_opaque_part() -> None:
    """Left red, right green, and a film that looks like the right half: nothing green comes out."""
    model, picture = build("tiny"), still((48, 96))
    picture[:, 1:] = torch.where(left(picture, 48), 0.5, -0.5)
    lightness = picture[:, None, :1, :, 48:]
    with torch.no_grad():
        whole = model(lightness, [picture]).copies["attended"].ab
        partial = model(lightness, [picture], masks=[left(picture, 48)]).copies["attended"].ab
    torch.testing.assert_close(partial, torch.full_like(partial, 0.5), atol=1e-3, rtol=0)
    assert whole.min() < 0.4


def test_a_still_with_nothing_opaque_in_one_sample_finds_nothing_there() -> None:
    model, lightness, picture = build("tiny"), film().repeat(2, 1, 1, 1, 1), still().repeat(2, 1, 1, 1)
    opaque = left(picture, 59).clone()
    opaque[0] = False
    with torch.no_grad():
        output = model(lightness, [picture], masks=[opaque])
        plain = model(lightness[1:], [picture[1:]])
    assert output.confidence[0].abs().max() == 0
    assert output.copies["attended"].ab[0, 0].abs().max() == 0  # later frames also look at earlier ones
    torch.testing.assert_close(output.ab[1], plain.ab[0], atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_gradients_reach_what_is_opaque_only(name: str) -> None:
    model, lightness, picture = build(name), film(), still().requires_grad_()
    opaque = left(picture, 29)
    model(lightness, [picture], masks=[opaque]).ab.square().sum().backward()
    assert picture.grad.isfinite().all()
    assert picture.grad[..., 29:].abs().max() == 0
    assert picture.grad[:, 1:, :, :29].abs().max() > 0


@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_a_frame_known_in_parts_keeps_those_and_colors_the_next(name: str) -> None:
    model, lightness, picture = build(name), film(3), still()
    ab = torch.rand(1, 3, 2, 37, 53) - 0.5
    opaque = left(ab[:, 0], 19)
    given = Given(ab, torch.tensor([[False, True, False]]), opaque[:, None].expand(1, 3, 1, 37, 53))
    with torch.no_grad():
        free, known = model(lightness, [picture]), model(lightness, [picture], given=given)
        tokens = model.encode_references([picture])
        streamed = list(model.stream(lightness.unbind(1), tokens, given={1: (ab[:, 1], opaque)}))
    assert torch.equal(known.ab[:, 1, :, :, :19], ab[:, 1, :, :, :19])
    torch.testing.assert_close(known.ab[:, 1, :, :, 19:], free.ab[:, 1, :, :, 19:])
    assert (known.ab[:, 2] - free.ab[:, 2]).abs().max() > 1e-5
    torch.testing.assert_close(torch.cat([one.ab for one in streamed], dim=1), known.ab, atol=1e-5, rtol=1e-4)


def test_a_frame_known_everywhere_is_a_known_frame() -> None:
    model, lightness, picture = build("tiny"), film(3), still()
    ab = torch.rand(1, 3, 2, 37, 53) - 0.5
    mask = torch.tensor([[True, False, False]])
    with torch.no_grad():
        plain = model(lightness, [picture], given=Given(ab, mask))
        everywhere = torch.ones(1, 3, 1, 37, 53, dtype=torch.bool)
        masked = model(lightness, [picture], given=Given(ab, mask, everywhere))
    assert torch.equal(plain.ab, masked.ab)


@pytest.mark.parametrize("name", ["tiny", "paper"])
def test_references_may_change_within_a_stream(name: str) -> None:
    model, lightness = build(name), film(4)
    first, second = (model.encode_references([still(seed=seed)]) for seed in (2, 5))
    with torch.no_grad():
        constant = list(model.stream(lightness.unbind(1), first))
        same = list(model.stream(lightness.unbind(1), lambda _: first))
        changed = list(model.stream(lightness.unbind(1), lambda number: first if number < 3 else second))
    seen = model.config.neighbors
    for number in range(4):
        assert torch.equal(constant[number].ab, same[number].ab)
        differs = not torch.equal(constant[number].ab, changed[number].ab)
        assert differs == (number + seen >= 3)


def test_mask_errors() -> None:
    model, picture = build("tiny"), still()
    with pytest.raises(
        ModelError, match=r"masks: expected one \(or None\) for each of the 1 references, got 2"
    ):
        model.encode_references([picture], [left(picture, 5), None])
    with pytest.raises(ModelError, match=r"masks\[0\]: expected a boolean mask of shape \(1, 1, 41, 59\)"):
        model.encode_references([picture], [left(picture, 5)[..., :7]])
    with pytest.raises(ModelError, match=r"masks\[0\]: .*torch.float32"):
        model.encode_references([picture], [left(picture, 5).float()])
