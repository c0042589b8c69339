"""Truncated backpropagation and gradient checkpointing: less memory, the same losses."""

from pathlib import Path

import ca_model
import pytest
import torch
from ca_trainer.errors import TrainerError
from ca_trainer.recipe_toml import load_recipe
from ca_trainer.training.metrics_log import read_metrics
from ca_trainer.training.rematerialize import rematerialize
from ca_trainer.training.run import train
from ca_trainer.training.truncation import Segment, cut_clip


def first_step(folder: Path, changes: list[str]) -> dict[str, float]:
    return next(
        e for e in read_metrics(train(load_recipe("demo", changes), out=folder).folder / "metrics.jsonl")
    )


def test_segments_cover_every_frame_once() -> None:
    for length in range(1, 12):
        for truncate in range(0, 13):
            for overlap in range(truncate + 1):
                segments = cut_clip(length, truncate, overlap)
                new = [frame for s in segments for frame in range(s.start + s.seen, s.stop)]
                assert new == list(range(length))
                assert all(s.start >= 0 and s.seen == overlap for s in segments[1:])


def test_truncation_changes_gradients_and_not_losses(tmp_path: Path, quick: list[str]) -> None:
    changes = [*quick, "steps=1", "validate_every=0", "data.clip_length=5", "data.frames=6"]
    whole = first_step(tmp_path / "whole", changes)
    cut = first_step(tmp_path / "cut", [*changes, "optimizer.truncate=2", "optimizer.accumulate=2"])
    loose = first_step(tmp_path / "loose", [*changes, "optimizer.truncate=7"])
    assert loose["loss"] == whole["loss"]
    assert cut["loss"] == pytest.approx(whole["loss"], rel=1e-5)
    assert cut["gradient_norm"] != pytest.approx(whole["gradient_norm"], rel=1e-6)


def test_a_segment_takes_its_frames_and_learns_from_the_new_ones() -> None:
    batch = {"lightness": torch.arange(5.0).view(1, 5, 1, 1, 1), "ab": torch.arange(10.0).view(1, 5, 2, 1, 1)}
    segment = Segment(start=2, stop=5, seen=1)
    piece = segment.of(batch)
    assert piece["lightness"].flatten().tolist() == [2, 3, 4]
    assert segment.without_seen(piece)["lightness"].flatten().tolist() == [3, 4]


def test_parts_shorter_than_the_alignment_looks_back_are_refused(tmp_path: Path, quick: list[str]) -> None:
    changes = ["model.preset=paper", "optimizer.truncate=1"]
    with pytest.raises(TrainerError, match=r"optimizer\.truncate: expected 0 or at least the network's 2"):
        first_step(tmp_path / "run", [*quick, *changes])


def test_updates_after_every_part_leave_the_first_part_as_it_is(tmp_path: Path, quick: list[str]) -> None:
    changes = [*quick, "steps=1", "validate_every=0", "data.clip_length=4", "data.frames=6"]
    once = first_step(tmp_path / "once", [*changes, "optimizer.truncate=2"])
    online = first_step(tmp_path / "online", [*changes, "optimizer.truncate=2", "optimizer.online=true"])
    whole = first_step(tmp_path / "whole", [*changes, "optimizer.online=true"])
    assert online["loss"] != once["loss"]  # the second part is colored by weights that the first has moved
    assert online["loss"] == pytest.approx(once["loss"], rel=0.2)
    assert whole["loss"] == pytest.approx(once["loss"], rel=1e-5)


@pytest.mark.parametrize("preset", ["tiny", "paper"])
def test_checkpointed_gradients_are_the_same(preset: str) -> None:
    small = {"widths": (4, 4, 8, 16), "width": 8, "body_width": 8, "body_depth": 2, "head_channels": 8}
    small |= {"feature_noise": 0.0, "offset_groups": 4, "body_heads": 2}
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


def test_a_saving_run_trains_and_its_weights_load(tmp_path: Path, quick: list[str]) -> None:
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
