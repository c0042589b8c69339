"""A small run for every test of training."""

from collections.abc import Callable
from pathlib import Path

import pytest
from ca_trainer.recipe_toml import load_recipe
from ca_trainer.training import reporter
from ca_trainer.training.metrics_log import read_metrics
from ca_trainer.training.run import train

SMALL = [
    "steps=6",
    "validate_every=3",
    "checkpoint_every=2",
    "data.clips=5",
    "data.frames=5",
    "data.size=[32, 48]",
    "data.crop=[32, 32]",
    "data.clip_length=2",
    "data.batch=4",
    "data.validation_clips=2",
    "data.validation_frames=3",
    "model.overrides.widths=[4, 4, 8, 8]",
    "model.overrides.width=8",
    "model.overrides.body_width=8",
    "model.overrides.body_depth=1",
    "model.overrides.head_channels=8",
    "losses.discriminator_channels=4",
]


@pytest.fixture
def small() -> list[str]:
    """Overrides that make of the demo the smallest run that has all the parts."""
    return list(SMALL)


@pytest.fixture
def quick(small: list[str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The same without pictures, whose drawing takes longer than the training."""
    for name in ("draw_curves", "draw_preview"):
        monkeypatch.setattr(reporter, name, lambda *_: None)
    return small


@pytest.fixture
def first_step() -> Callable[[Path, list[str]], dict[str, float]]:
    """Trains the demo with changes into a folder and gives the log's entry of its first step."""

    def run(folder: Path, changes: list[str]) -> dict[str, float]:
        return next(read_metrics(train(load_recipe("demo", changes), out=folder).folder / "metrics.jsonl"))

    return run
