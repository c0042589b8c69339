"""The composed network: streaming, references, ablations, known frames, sizes."""

import pytest
import torch
from ca_model import (
    ColorAlignNet,
    ColorOutput,
    CopyNet,
    Given,
    ModelError,
    PaperNet,
    count_cost,
    create_model,
)

SMALL_PAPER = {
    "widths": (6, 8, 8, 16),
    "heads": 2,
    "head_channels": 8,
    "width": 16,
    "body_depth": 2,
    "window": 4,
}
NETWORKS = {"tiny": ("tiny", {}), "paper": ("paper", {**SMALL_PAPER, "feature_noise": 0.0})}
ABLATIONS = {
    "1 no temporal prior": {"temporal_prior": False},
    "2 flow": {"alignment": "flow"},
    "2 deform": {"alignment": "deform"},
    "3 unet": {"reconstruction": "unet"},
    "4 adain": {"color_transfer": "adain"},
}
OWN_SWITCHES = {
    "no memory": ("tiny", {"memory": 0}),
    "no recall": ("tiny", {"recall": 0}),
    "zooms": ("tiny", {"zooms": (0.5, 1.5)}),
    "2 deform, H/4 of other widths": ("tiny", {"alignment": "deform", "width": 16}),
    "2 and 4": ("tiny", {"alignment": "deform", "color_transfer": "adain"}),
    "v2": ("paper", {"modulated": True}),
    "no neighbors": ("paper", {"neighbors": 0}),
}


def build(name: str, **overrides: object) -> ColorAlignNet:
    preset, settings = NETWORKS[name]
    model = create_model(preset, **{**settings, **overrides})
    with torch.no_grad():  # gates that start at zero would hide what is behind them
        for parameter in model.parameters():
            if parameter.abs().max() == 0:
                parameter.normal_(std=0.05) if parameter.ndim else parameter.fill_(1.0)
    return model.eval()


def clip(frames: int = 4, batch: int = 1, size: tuple[int, int] = (37, 53)) -> torch.Tensor:
    return torch.rand(batch, frames, 1, *size) * 2 - 1


def stills(batch: int = 1) -> list[torch.Tensor]:
    return [torch.rand(batch, 3, 41, 29) - 0.5, torch.rand(batch, 3, 19, 71) - 0.5]


def test_a_preset_is_one_of_two_networks() -> None:
    for name, network in (("tiny", CopyNet), ("paper", PaperNet)):
        assert type(build(name)) is network
        assert isinstance(build(name), ColorAlignNet)
    with pytest.raises(TypeError, match="abstract"):
        ColorAlignNet(build("tiny").config)


@pytest.mark.parametrize("name", NETWORKS)
@pytest.mark.parametrize("frames", [1, 2, 7])
def test_streaming_gives_what_the_whole_clip_gives(name: str, frames: int) -> None:
    model, lightness, references = build(name), clip(frames), stills()
    with torch.no_grad():
        whole = model(lightness, references)
        streamed = list(model.stream(lightness.unbind(1), model.encode_references(references)))
    assert len(streamed) == frames
    for index, output in enumerate(streamed):
        torch.testing.assert_close(output.ab[:, 0], whole.ab[:, index], atol=1e-5, rtol=1e-4)
        torch.testing.assert_close(output.confidence[:, 0], whole.confidence[:, index], atol=1e-5, rtol=1e-4)
        for copy, (ab, share) in whole.copies.items():
            torch.testing.assert_close(output.copies[copy].ab[:, 0], ab[:, index], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(output.copies[copy].share[:, 0], share[:, index], atol=1e-4, rtol=1e-4)
    assert set(whole.copies) == set(streamed[0].copies)


@pytest.mark.parametrize("name", NETWORKS)
def test_an_empty_stream_gives_nothing(name: str) -> None:
    model = build(name)
    assert list(model.stream([], model.encode_references(stills()))) == []


@pytest.mark.parametrize("name", NETWORKS)
def test_order_and_repetition_of_references_change_nothing(name: str) -> None:
    model, lightness, references = build(name), clip(3), stills()
    with torch.no_grad():
        expected = model(lightness, references)
        for others in (references[::-1], [*references, *references]):
            got = model(lightness, others)
            torch.testing.assert_close(got.ab, expected.ab, atol=1e-5, rtol=1e-4)
            torch.testing.assert_close(got.confidence, expected.confidence, atol=1e-5, rtol=1e-4)
        other = model(lightness, references[:1])
    assert (other.ab - expected.ab).abs().max() > 1e-4


@pytest.mark.parametrize(
    ("name", "change"),
    [(name, change) for name in NETWORKS for change in ABLATIONS.values()] + list(OWN_SWITCHES.values()),
    ids=str,
)
def test_every_switch_runs_forward_and_backward(name: str, change: dict) -> None:
    model = build(name, **change).train()
    output = model(clip(3, batch=2), torch.rand(2, 2, 3, 31, 47) - 0.5)
    assert output.ab.shape == (2, 3, 2, 37, 53)
    loss = output.ab.square().mean() + sum(copy.ab.square().mean() for copy in output.copies.values())
    loss.backward()
    unreached = [key for key, value in model.named_parameters() if value.grad is None]
    assert unreached == [], "a parameter no output depends on stops distributed training"
    assert all(value.grad.isfinite().all() for value in model.parameters())


def test_a_switch_changes_the_network() -> None:
    lightness, references = clip(3), stills()
    torch.manual_seed(1)
    full = build("tiny", memory=0, recall=0)
    torch.manual_seed(1)
    without = build("tiny", memory=0, recall=0, temporal_prior=False)
    with torch.no_grad():
        a, b = full(lightness, references).ab, without(lightness, references).ab
    torch.testing.assert_close(a[:, 0], b[:, 0])
    assert (a[:, 1] - b[:, 1]).abs().max() > 1e-4


@pytest.mark.parametrize("name", NETWORKS)
def test_a_known_frame_keeps_its_colors_and_colors_the_next(name: str) -> None:
    model, lightness, references = build(name), clip(3, size=(32, 48)), stills()
    ab = torch.rand(1, 3, 2, 32, 48) - 0.5
    given = Given(ab, torch.tensor([[True, False, False]]))
    with torch.no_grad():
        free, known = model(lightness, references), model(lightness, references, given=given)
        tokens = model.encode_references(references)
        streamed = list(model.stream(lightness.unbind(1), tokens, given={0: ab[:, 0]}))
    torch.testing.assert_close(known.ab[:, 0], ab[:, 0])
    assert (known.ab[:, 1] - free.ab[:, 1]).abs().max() > 1e-5
    torch.testing.assert_close(torch.cat([one.ab for one in streamed], dim=1), known.ab, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", NETWORKS)
def test_going_on_from_a_state_equals_never_having_stopped(name: str) -> None:
    model, lightness, references = build(name), clip(7), stills()
    k = model.config.neighbors
    with torch.no_grad():
        tokens = model.encode_references(references)
        whole = list(model.stream(lightness.unbind(1), tokens))
        rest = model.stream(lightness[:, 4 - k :].unbind(1), tokens, state=whole[3].state)
        resumed = torch.cat([one.ab for one in rest], dim=1)
        together = model(lightness[:, 4 - k :], references, state=whole[3].state)
        expected = torch.cat([one.ab for one in whole[4:]], dim=1)
    assert torch.equal(resumed, expected)
    torch.testing.assert_close(together.ab, expected, atol=1e-5, rtol=1e-4)
    if k:
        with pytest.raises(
            ModelError, match=f"expected the {k} frames before and at least one new one, got {k}"
        ):
            model(lightness[:, :k], references, state=whole[3].state)


def test_the_last_given_frame_is_the_keyframe() -> None:
    model, lightness, references = (
        build("tiny"),
        clip(4, batch=2, size=(32, 48)),
        torch.rand(2, 1, 3, 32, 48) - 0.5,
    )
    ab = torch.rand(2, 4, 2, 32, 48) - 0.5
    given = Given(ab, torch.tensor([[True, False, True, False], [True, False, False, False]]))
    with torch.no_grad():
        state = model(lightness, references, given=given).state
    assert state.keyframe is not None
    torch.testing.assert_close(state.keyframe.ab, torch.stack([ab[0, 2], ab[1, 0]]))
    torch.testing.assert_close(state.keyframe.lightness, torch.stack([lightness[0, 2], lightness[1, 0]]))


def test_an_own_frame_of_a_while_ago_is_attended_to() -> None:
    model, lightness, references = build("tiny", recall=2), clip(6, size=(32, 48)), stills()
    ab = torch.rand(1, 6, 2, 32, 48) - 0.5
    with torch.no_grad():
        encoded = model.encode_references(references)
        outputs = list(model.stream(lightness.unbind(1), encoded, given={4: ab[:, 4]}))
        ages = [output.state.recollection.age.item() for output in outputs]
        state = outputs[3].state
        other = state._replace(recollection=state.recollection._replace(ab=-state.recollection.ab))
        after = next(model.stream([lightness[:, 4]], encoded, state=other))
        unchanged = next(model.stream([lightness[:, 4]], encoded, state=state))
    assert ages == [0, 1, 0, 1, 0, 1]  # every second frame, and the one whose colours are given in any case
    torch.testing.assert_close(
        outputs[5].state.recollection.ab, torch.nn.functional.avg_pool2d(ab[:, 4], 8), atol=1e-6, rtol=1e-5
    )
    assert (after.ab - unchanged.ab).abs().max() > 1e-4


def test_zooms_are_what_references_of_other_sizes_would_be_to_the_attention() -> None:
    plain, zoomed, references = build("tiny"), build("tiny", zooms=(1.5,)), stills()
    zoomed.load_state_dict(plain.state_dict())
    enlarged = [
        torch.nn.functional.interpolate(still, size=size, mode="bilinear", antialias=True)
        for still, size in zip(references, [(62, 44), (29, 107)], strict=True)
    ]
    with torch.no_grad():
        found, of_all, of_two = (
            zoomed.encode_references(references),
            plain.encode_references([*references, *enlarged]),
            plain.encode_references(references),
        )
    # cells of 8 x 8 pixels: 6 x 4 and 4 x 10 of the stills, all of them; 8 x 6 and 4 x 14 enlarged, every second
    rows = [*range(6 * 4 + 4 * 10)]
    for (h, w), start in (((8, 6), 64), ((4, 14), 64 + 48)):
        for first in (0, 1):  # even places of even rows, then odd ones of odd rows
            rows += [start + y * w + x for y in range(first, h, 2) for x in range(first, w, 2)]
    assert of_all.tokens.keys.shape[2] == 64 + 48 + 56
    torch.testing.assert_close(found.tokens.keys, of_all.tokens.keys[:, :, rows])
    torch.testing.assert_close(found.tokens.values, of_all.tokens.values[:, :, rows])
    assert found.atlas is not None
    assert of_two.atlas is not None
    torch.testing.assert_close(
        found.atlas.lightness, of_two.atlas.lightness
    )  # places are matched in originals


def test_what_later_frames_build_on_is_not_smoothed() -> None:
    model, lightness, references = build("tiny"), clip(3, size=(32, 48)), stills()

    def stream() -> list[ColorOutput]:
        with torch.no_grad():
            return list(model.stream(lightness.unbind(1), model.encode_references(references)))

    outputs = stream()
    count = 9 * 4  # the last channels of the decision say how each pixel is smoothed
    for layer in (model.reconstruction.output, model.reconstruction.review.amend):
        layer.weight.data[-count:] = 0
        layer.bias.data[-count:] = 0
    for output, other in zip(outputs, stream(), strict=True):
        torch.testing.assert_close(output.state.ab, other.state.ab)
        assert (output.ab - other.ab).abs().max() > 1e-3
        assert (output.ab[:, 0] - output.state.ab).abs().max() > 1e-3


def test_before_training_a_still_film_keeps_known_colors() -> None:
    """The copy path is there from the start: nothing moves, so the known colours stay where they are.

    These colours are noise, which smoothing takes for grain; the state keeps them as they are.
    """
    from skimage import data

    grey = torch.tensor(data.camera()[::8, ::8], dtype=torch.float32)[None, None, None] / 127.5 - 1
    lightness = grey.repeat(1, 3, 1, 1, 1)
    ab = torch.rand(1, 3, 2, 64, 64) * 0.2 + 0.3
    reference = torch.cat([lightness[:, 0], ab[:, 0]], dim=1)
    given = Given(ab, torch.tensor([[True, False, False]]))
    with torch.no_grad():
        kept = create_model("tiny").eval()(lightness, [reference], given=given).state.ab
    error = (kept - ab[:, 0]).abs().mean()
    assert error < 0.25 * (ab[:, 0] - ab[:, 0].mean(dim=(-2, -1), keepdim=True)).abs().mean()


@pytest.mark.parametrize(("name", "strength"), [("tiny", 0.2), ("paper", 1.0)])
def test_mixed_precision_gives_nearly_the_same_and_a_gradient(name: str, strength: float) -> None:
    """A review with random weights enlarges what is rounded before it, so its colours are as strong as films have."""
    torch.manual_seed(0)
    model, lightness = build(name), clip(4, size=(32, 48))
    references = [torch.cat([still[:, :1], strength * still[:, 1:]], dim=1) for still in stills()]
    ab = strength * (torch.rand(1, 4, 2, 32, 48) - 0.5)
    given = Given(ab, torch.tensor([[True, False, False, False]]))
    exact = model(lightness, references, given=given).ab
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = model(lightness, references, given=given)
    assert (output.ab - exact).abs().mean() < 0.02
    output.ab.float().square().mean().backward()
    assert all(p.grad.isfinite().all() for p in model.parameters() if p.grad is not None)
    assert sum(p.grad is not None for p in model.parameters()) > 20


@pytest.mark.parametrize("size", [(16, 16), (17, 31), (64, 48)])
@pytest.mark.parametrize("name", NETWORKS)
def test_any_size_from_16_pixels(name: str, size: tuple[int, int]) -> None:
    with torch.no_grad():
        output = build(name)(clip(2, size=size), stills())
    assert output.ab.shape == (1, 2, 2, *size)
    assert output.confidence.shape == (1, 2, 1, *size)
    assert 0 <= output.confidence.min() <= output.confidence.max() <= 1


def test_errors_say_what_was_expected() -> None:
    model = build("tiny")
    with pytest.raises(ModelError, match=r"lightness: expected \(b, t, 1, h, w\), got \(1, 2, 16, 16\)"):
        model(torch.zeros(1, 2, 16, 16), stills())
    with pytest.raises(ModelError, match="at least one colour still"):
        model(clip(), [])
    with pytest.raises(ModelError, match=r"references\[1\]: expected \(b, 3, h, w\)"):
        model(clip(), [torch.zeros(1, 3, 16, 16), torch.zeros(1, 1, 16, 16)])


def test_base_stays_within_its_bounds() -> None:
    cost = count_cost(create_model("base"), frames=1)
    assert cost.parameters <= 12e6
    assert cost.gflop_per_frame <= 25


def test_cost_counts_a_known_layer() -> None:
    """One convolution more, one convolution's operations more."""
    model = create_model("tiny")
    before = count_cost(model, size=(32, 48), frames=1)
    extra = torch.nn.Conv2d(24, 24, 3, padding=1)
    model.reconstruction.refine_quarter.append(extra)
    after = count_cost(model, size=(32, 48), frames=1)
    assert after.parameters - before.parameters == 24 * 24 * 9 + 24
    assert (after.gflop_per_frame - before.gflop_per_frame) * 1e9 == pytest.approx(2 * 24 * 24 * 9 * 8 * 12)
