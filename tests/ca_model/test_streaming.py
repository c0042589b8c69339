"""Explicit state, fixed buffers and the network made ready for inference: all give what the plain network gives."""

import pytest
import torch
from ca_model import (
    FirstStep,
    ModelError,
    NextStep,
    ReferenceStep,
    Stepper,
    create_model,
    for_inference,
    join_references,
    load_model,
)
from torch.nn import functional as F

FRAMES = 4


def film(h: int = 48, w: int = 80) -> torch.Tensor:
    """A moving smooth pattern, `t 1 h w` in [-1, 1]."""
    noise = torch.randn(1, 1, h + 24, w + 24, generator=torch.Generator().manual_seed(7))
    wide = F.avg_pool2d(F.avg_pool2d(noise, 5, 1), 5, 1)
    wide = wide / wide.abs().max()
    return torch.cat([wide[..., i : i + h, 2 * i : 2 * i + w] for i in range(FRAMES)])


def stills(count: int = 1) -> list[torch.Tensor]:
    lightness = film(64, 96)[:count]
    return [torch.cat([one, 0.4 * one.flip(-1), -0.3 * one])[None] for one in lightness]


def streamed(model, references) -> list[torch.Tensor]:
    with torch.no_grad():
        return [out.ab[:, 0] for out in model.stream(film().split(1), references)]


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(11)
    made = create_model("tiny").eval()
    # What is learnt starts at 0 and would hide what it hangs on.
    for parameter in made.parameters():
        if not parameter.any():
            torch.nn.init.normal_(parameter, std=0.05)
    return made


@pytest.mark.parametrize("count", [1, 2])
def test_inference_changes_nothing_but_rounding(model, count: int):
    made = for_inference(model)
    with torch.no_grad():
        expected = streamed(model, model.encode_references(stills(count)))
        found = streamed(made, made.encode_references(stills(count)))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)
    assert all(parameter.requires_grad for parameter in model.parameters()), (
        "the original can still be trained"
    )


def test_inference_folds_the_classifier_and_a_shut_gate():
    model = load_model("base")
    made = for_inference(model)
    lightness = film(32, 48)[:1]
    torch.testing.assert_close(made.semantic(lightness), model.semantic(lightness), atol=1e-3, rtol=0)
    assert not any("BatchNorm" in type(module).__name__ for module in made.modules())
    assert model.transfer.mixes
    assert not made.transfer.mixes, "gamma of the shipped weights is 3e-5"
    expected, found = (streamed(one, one.encode_references(stills())) for one in (model, made))
    for one, other in zip(expected, found, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=0)


@pytest.mark.parametrize("count", [1, 2])
def test_steps_give_what_the_stream_gives(model, count: int):
    with torch.no_grad():
        references = join_references([ReferenceStep(model)(still) for still in stills(count)])
        first, following, state, found = FirstStep(model), NextStep(model), None, []
        for frame in film().split(1):
            steps = first(frame, references) if state is None else following(frame, references, state)
            ab, confidence, state = steps
            assert confidence.shape == frame.shape
            found.append(ab)
        for one, other in zip(streamed(model, model.encode_references(stills(count))), found, strict=True):
            torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_stepper_gives_what_the_stream_gives_and_starts_anew(model):
    references = model.encode_references(stills())
    expected = streamed(model, references)
    stepper = Stepper(model, references)
    for _ in range(2):
        for frame, ab in zip(film().split(1), expected, strict=True):
            torch.testing.assert_close(stepper(frame)[0], ab, atol=1e-6, rtol=0)
        stepper.restart()


def test_networks_and_stills_that_do_not_fit():
    with pytest.raises(ModelError, match="expected a copying network with attention"):
        FirstStep(create_model("tiny", color_transfer="adain"))
    with pytest.raises(ModelError, match="at least one encoded still"):
        join_references([])
    with pytest.raises(ModelError, match="expected one width"):
        join_references([{"lightness": torch.zeros(1, 1, 8, w)} for w in (8, 16)])
