"""Recipes: what they refuse, and that they survive being written and read."""

import re
from pathlib import Path

import pytest
from ca_trainer.errors import TrainerError
from ca_trainer.recipe_toml import changed_fields, load_recipe, parse_recipe, recipe_names, recipe_to_toml

DATA = "data.root=somewhere"


@pytest.mark.parametrize("name", recipe_names())
def test_every_recipe_reads_and_survives_being_written(name: str) -> None:
    recipe = load_recipe(name, [DATA])
    assert recipe.name == name
    assert parse_recipe(recipe_to_toml(recipe)) == recipe


def test_the_paper_recipe_is_the_paper() -> None:
    recipe = load_recipe("paper", [DATA])
    losses, optimizer = recipe.losses, recipe.optimizer
    assert (losses.l1, losses.perceptual, losses.adversarial) == (1, 1, 0.01)
    assert (optimizer.kind, optimizer.learning_rate, optimizer.betas) == ("adam", 2e-4, (0.9, 0.999))
    assert (recipe.data.batch, recipe.data.size, recipe.steps) == (16, (224, 384), 1_000_000)
    assert recipe.augment.noise > 0
    assert recipe.augment.weaken > 0


def test_overrides_are_typed_by_toml() -> None:
    overrides = ["data.crop=[32, 48]", "losses.l1=2", "compute.device=cpu", 'compute.strategy="ddp"']
    recipe = load_recipe("demo", [*overrides, "compute.compile=true", "model.overrides.width=8"])
    assert recipe.data.crop == (32, 48)
    assert recipe.losses.l1 == 2.0
    assert isinstance(recipe.losses.l1, float)
    assert (recipe.compute.device, recipe.compute.strategy, recipe.compute.compile) == ("cpu", "ddp", True)
    assert recipe.model.overrides == {"width": 8}


def test_changed_fields_are_named() -> None:
    before, after = load_recipe("demo"), load_recipe("demo", ["steps=7", "model.overrides.width=8"])
    assert changed_fields(before, after) == ["model.overrides.width", "steps"]


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("optimizer.learning_rat=1", "'optimizer.learning_rate'"),
        ("learning_rate=1", "'optimizer.learning_rate'"),
        ("stepz=1", "nearest valid one is 'steps'"),
        ("data.batch='many'", "data.batch must be an integer, got 'many'"),
        ("data.crop=3", "data.crop must be a list"),
        ("data.crop=[8, 8]", "16 pixels or more"),
        ("compute.compile=1", "true or false"),
        ("references.worn=0.4", "'references.worn' is called 'references.degraded' now; rename it"),
        ("augment.turn_degrees=9.0", "is called 'augment.hue_shift_degrees' now"),
        ("compute.device=tpu", "one of auto, cpu, cuda, mps"),
        ("model=3", "a section"),
        ("steps.more=3", "is a value, not a section"),
        ("steps", "path.to.field=value"),
        ("optimizer.accumulate=3", "data.batch must be a multiple of optimizer.accumulate (3)"),
        ("augment.flip=2", "augment: flip"),
        ("losses.l1=0", "all zero"),
        ("schedule.final=-1", "between 0 and 1"),
        ("data.clip_length=99", "data.frames must be at least 99"),
        ("data.source=clips", "give --data DIR"),
    ],
)
def test_a_wrong_value_gets_one_clear_line(override: str, told: str) -> None:
    with pytest.raises(TrainerError, match=re.escape(told)) as error:
        load_recipe("demo", [override])
    assert "\n" not in str(error.value)


def test_a_missing_key_and_a_broken_file_are_told(tmp_path: Path) -> None:
    with pytest.raises(TrainerError, match="'steps' is missing"):
        parse_recipe('name = "mine"')
    broken = tmp_path / "broken.toml"
    broken.write_text("steps = = 3")
    with pytest.raises(TrainerError, match="not readable as TOML"):
        load_recipe(str(broken))
    with pytest.raises(TrainerError, match="expected one of base, demo, paper"):
        load_recipe("nothing")
    with pytest.raises(TrainerError, match="cannot read"):
        load_recipe(str(tmp_path / "absent.toml"))
