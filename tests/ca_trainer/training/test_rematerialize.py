"""Gradient checkpointing: less memory, the same gradients."""

from collections.abc import Callable
from pathlib import Path

import ca_model
import pytest
import torch
from ca_trainer.training.rematerialize import rematerialize

FirstStep = Callable[[Path, list[str]], dict[str, float]]


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_checkpointed_gradients_are_the_same(preset: str) -> None:
    small = {"widths": (4, 4, 8, 16), "width": 8, "body_depth": 2, "head_channels": 8}
    small |= {"feature_noise": 0.0, "offset_groups": 4, "body_heads": 2}
    small |= {"body_width": 8} if preset == "tiny" else {}
    plain = ca_model.create_model(preset, **small)
    saving = ca_model.create_model(preset, **small)
    saving.load_state_dict(plain.state_dict())
    rematerialize(saving)
    assert list(saving.state_dict()) == list(plain.state_dict())
    lightness, references = torch.rand(1, 3, 1, 32, 48) * 2 - 1, torch.rand(1, 1, 3, 32, 48) - 0.5
    for model in (plain, saving):
        model(lightness, references).ab.abs().mean().backward()
    for one, other in zip(plain.parameters(), saving.parameters(), strict=True):
        assert (one.grad is None) == (other.grad is None)
        if one.grad is not None:
            torch.testing.assert_close(one.grad, other.grad)


def test_a_saving_run_trains_and_its_weights_load(
    tmp_path: Path, quick: list[str], first_step: FirstStep
) -> None:
    changes = [
        "steps=1",
        "validate_every=0",
        "compute.checkpoint_gradients=true",
        "compute.channels_last=true",
    ]
    plain = first_step(tmp_path / "plain", [*quick, "steps=1", "validate_every=0"])
    saving = first_step(tmp_path / "saving", [*quick, *changes])
    assert saving["loss"] == pytest.approx(plain["loss"], rel=1e-5)
    ca_model.load_model(tmp_path / "saving" / "weights.safetensors")
