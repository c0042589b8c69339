"""Colouring a clip by one call: what streaming gives, at the caller's shapes, on the CPU."""

import pytest
import torch
from ca_model import ColorAlignNet, ModelError, colorize_clip, create_model

SMALL_PAPER = {"widths": (4, 4, 8, 16), "width": 16, "body_depth": 1, "body_heads": 2}
NETWORKS = {"tiny": ("tiny", {}), "paper": ("paper", SMALL_PAPER)}
FILM = torch.rand(6, 1, 37, 53, generator=torch.Generator().manual_seed(1)) * 2 - 1
STILLS = [torch.rand(3, 41, 29, generator=torch.Generator().manual_seed(n)) - 0.5 for n in (2, 3)]
AB = torch.rand(2, 37, 53, generator=torch.Generator().manual_seed(4)) - 0.5


@pytest.fixture(params=NETWORKS)
def model(request: pytest.FixtureRequest) -> ColorAlignNet:
    torch.manual_seed(0)
    preset, change = NETWORKS[request.param]
    model = create_model(preset, **change)
    for parameter in model.parameters():  # what starts at zero would hide what is behind it
        if not parameter.any():
            parameter.data.normal_(std=0.05)
    return model.eval()


def test_it_is_the_stream(model: ColorAlignNet) -> None:
    encoded = model.encode_references([still[None] for still in STILLS])
    with torch.no_grad():
        expected = list(model.stream([frame[None] for frame in FILM], encoded, given={2: AB[None]}))
    for references in (STILLS, encoded):
        found = list(colorize_clip(model, iter(FILM), references, given={2: AB}))
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert torch.equal(one.ab, other.ab[0, 0])
            assert torch.equal(one.confidence, other.confidence[0, 0])
    assert torch.equal(found[2].ab, AB)


def test_batches_stay_batches(model: ColorAlignNet) -> None:
    films = torch.stack([FILM, FILM.flip(0)], dim=1)
    stills = [torch.stack([still, still]) for still in STILLS]
    both = list(colorize_clip(model, films, stills, given={0: torch.stack([AB, AB])}))
    assert both[0].ab.shape == (2, 2, 37, 53)
    assert both[0].confidence.shape == (2, 1, 37, 53)
    alone = list(colorize_clip(model, FILM.flip(0), STILLS, given={0: AB}))
    for one, other in zip(both, alone, strict=True):
        torch.testing.assert_close(one.ab[1], other.ab, atol=1e-5, rtol=1e-4)


def test_it_goes_on_from_a_state(model: ColorAlignNet) -> None:
    whole = list(colorize_clip(model, FILM, STILLS))
    back = model.config.neighbors
    rest = list(colorize_clip(model, FILM[3 - back :], STILLS, state=whole[2].state))
    assert len(rest) == 3
    for one, other in zip(rest, whole[3:], strict=True):
        assert torch.equal(one.ab, other.ab)


def test_frames_are_read_as_they_are_needed(model: ColorAlignNet) -> None:
    read = []

    def frames():
        for number, frame in enumerate(FILM):
            read.append(number)
            yield frame

    colors = colorize_clip(model, frames(), STILLS)
    assert read == []
    next(colors)
    assert len(read) == 1 + model.config.neighbors


def test_no_gradient_is_kept_and_the_callers_mode_stays(model: ColorAlignNet) -> None:
    colors = colorize_clip(model, FILM, STILLS)
    first = next(colors)
    assert torch.is_grad_enabled()
    assert not first.ab.requires_grad
    assert first.state is not None
    assert not first.state.ab.requires_grad
    first.ab.mul_(2)  # worked on in place, as no inference tensor may be


def test_half_precision_comes_out_as_float32(model: ColorAlignNet) -> None:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        colors = next(colorize_clip(model, FILM, STILLS))
    assert colors.ab.dtype == colors.confidence.dtype == torch.float32


def test_no_reference_is_refused(model: ColorAlignNet) -> None:
    with pytest.raises(ModelError, match="at least one colour still"):
        next(colorize_clip(model, FILM, []))
