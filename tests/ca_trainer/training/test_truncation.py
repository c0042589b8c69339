"""Truncated backpropagation: less memory, the same losses."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from ca_trainer.errors import TrainerError
from ca_trainer.training.truncation import Segment, cut_clip

FirstStep = Callable[[Path, list[str]], dict[str, float]]


def test_segments_cover_every_frame_once() -> None:
    for length in range(1, 12):
        for truncate in range(0, 13):
            for overlap in range(truncate + 1):
                segments = cut_clip(length, truncate, overlap)
                new = [frame for s in segments for frame in range(s.start + s.seen, s.stop)]
                assert new == list(range(length))
                assert all(s.start >= 0 and s.seen == overlap for s in segments[1:])


def test_truncation_changes_gradients_and_not_losses(
    tmp_path: Path, quick: list[str], first_step: FirstStep
) -> None:
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


def test_parts_shorter_than_the_alignment_looks_back_are_refused(
    tmp_path: Path, quick: list[str], first_step: FirstStep
) -> None:
    quick = [change for change in quick if "body_width" not in change]  # which the paper's network has not
    changes = ["model.preset=paper", "optimizer.truncate=1"]
    with pytest.raises(TrainerError, match=r"optimizer\.truncate: expected 0 or at least the network's 2"):
        first_step(tmp_path / "run", [*quick, *changes])


def test_updates_after_every_part_leave_the_first_part_as_it_is(
    tmp_path: Path, quick: list[str], first_step: FirstStep
) -> None:
    changes = [*quick, "steps=1", "validate_every=0", "data.clip_length=4", "data.frames=6"]
    once = first_step(tmp_path / "once", [*changes, "optimizer.truncate=2"])
    online = first_step(tmp_path / "online", [*changes, "optimizer.truncate=2", "optimizer.online=true"])
    whole = first_step(tmp_path / "whole", [*changes, "optimizer.online=true"])
    assert online["loss"] != once["loss"]  # the second part is coloured by weights that the first has moved
    assert online["loss"] == pytest.approx(once["loss"], rel=0.2)
    assert whole["loss"] == pytest.approx(once["loss"], rel=1e-5)
