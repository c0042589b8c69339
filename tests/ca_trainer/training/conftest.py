"""A small run for every test of the trainer."""

import pytest
from ca_trainer.training import reporter

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
