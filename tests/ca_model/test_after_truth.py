"""What a network makes of the truth: steps from true colours, against the truth that is plainly carried along."""

import pytest
import torch
import torch.nn.functional as F
from ca_model import ModelError, colorize_after_truth, colorize_clip, create_model
from ca_model.network import ColorAlignNet
from torch import Tensor

SIZE = (37, 53)


def build(**change: object) -> ColorAlignNet:
    torch.manual_seed(0)
    model = create_model("tiny", **change)
    for parameter in model.parameters():  # what starts at zero would hide what is behind it
        if not parameter.any():
            parameter.data.normal_(std=0.05)
    return model.eval()


def film(frames: int = 5) -> tuple[Tensor, Tensor]:
    """A smooth picture that moves to the right, two pixels a frame: L/50 - 1 and ab/110."""
    generator = torch.Generator().manual_seed(3)
    wide = torch.rand(1, 3, 9, 15, generator=generator)
    wide = F.interpolate(wide, size=(SIZE[0], SIZE[1] + 2 * frames), mode="bicubic")[0]
    cut = torch.stack([wide[:, :, 2 * (frames - n) :][:, :, : SIZE[1]] for n in range(frames)])
    return cut[:, :1] * 2 - 1, (cut[:, 1:] - 0.5) * 0.8


def test_each_step_starts_from_the_truth() -> None:
    """By hand: the state of the same step taken anew, its colours given."""
    model = build(recall=1)
    lightness, ab = film()
    still = torch.cat([lightness[0], ab[0]])
    found = list(colorize_after_truth(model, zip(lightness, ab, strict=True), [still], given={0: ab[0]}))
    assert len(found) == 5
    state = next(colorize_clip(model, lightness[:1], [still], given={0: ab[0]})).state
    for n in range(1, 5):
        step = next(colorize_clip(model, lightness[n : n + 1], [still], state=state))
        torch.testing.assert_close(found[n].ab, step.ab)
        assert found[n].shares == pytest.approx(step.shares)
        # The colours given: previous frame and recalled frame are the truth; the keyframe is to stay the first.
        given = next(colorize_clip(model, lightness[n : n + 1], [still], given={0: ab[n]}, state=state)).state
        state = given._replace(keyframe=step.state.keyframe)


def test_warped_is_the_true_frame_before_along_the_motion() -> None:
    lightness, ab = film()
    still = torch.cat([lightness[0], ab[0]])
    found = list(colorize_after_truth(build(), zip(lightness, ab, strict=True), [still], given={0: ab[0]}))
    for n in range(1, 5):
        inside = (slice(None), slice(4, -4), slice(8, -8))
        error = (found[n].warped - ab[n])[inside].abs().mean()
        assert error < 0.2 * (ab[n - 1] - ab[n])[inside].abs().mean()
        assert found[n].warped.shape == (2, *SIZE)


@pytest.mark.parametrize(("preset", "change"), [("paper", {}), ("tiny", {"temporal_prior": False})])
def test_a_network_without_previous_colors_is_refused(preset: str, change: dict) -> None:
    small = (
        {"widths": (4, 4, 8, 16), "width": 16, "body_depth": 1, "body_heads": 2} if preset == "paper" else {}
    )
    model = create_model(preset, **small, **change).eval()
    lightness, ab = film(2)
    with pytest.raises(ModelError, match="copies the previous frame's colours"):
        next(colorize_after_truth(model, zip(lightness, ab, strict=True), [torch.zeros(3, 32, 48)]))
