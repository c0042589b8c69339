"""The command `ablate`: what differs between structures, and what is kept of an interrupted ablation."""

from dataclasses import asdict
from pathlib import Path

import ca_model
import pytest
import torch
from ca_trainer.ablation import STRUCTURES, ablation_recipe
from ca_trainer.cli import main
from ca_trainer.errors import TrainerError
from ca_trainer.recipe import Recipe
from ca_trainer.recipe_toml import changed_fields, load_recipe, recipe_to_toml
from ca_trainer.training import run as training_run
from ca_trainer.training.run import TrainingResult, make_model


def test_each_structure_is_one_switch_and_nothing_else():
    full = load_recipe("demo", ["steps=5"])
    assert [structure.name for structure in STRUCTURES][-1] == "ColorAlignNet (ours)"
    assert ablation_recipe(full, STRUCTURES[-1]) == full
    whole = asdict(make_model(full).config)
    seen = set()
    for structure in STRUCTURES[:-1]:
        recipe = ablation_recipe(full, structure)
        assert changed_fields(full, recipe) == [f"model.overrides.{structure.field}"]
        config = asdict(make_model(recipe).config)
        seen.add(*(key for key in config if config[key] != whole[key]))
    assert seen == {"temporal_prior", "alignment", "reconstruction", "color_transfer"}


@pytest.mark.parametrize("preset", sorted(ca_model.PRESETS))
def test_every_preset_can_be_ablated(preset: str):
    full = load_recipe("demo", [f"model.preset={preset}"])
    for structure in STRUCTURES:
        recipe = ablation_recipe(full, structure)
        ca_model.preset(preset, **recipe.model.overrides)


def test_what_is_switched_off_already_cannot_be_ablated():
    full = load_recipe("demo", ['model.overrides.reconstruction="unet"'])
    with pytest.raises(TrainerError, match="Structure 3 is reconstruction='unet', which the full network"):
        ablation_recipe(full, STRUCTURES[2])


def test_trained_weights_are_no_equal_start():
    with pytest.raises(TrainerError, match="starts from random weights"):
        ablation_recipe(load_recipe("demo", ['model.initial_weights="base"']), STRUCTURES[0])


def test_ablate_trains_once_scores_and_prints_table_3(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    trained: list[str] = []

    def train(recipe: Recipe, *, out: Path, **_: object) -> TrainingResult:
        """Stands in for training: a network that was not trained, in the folder of a run."""
        torch.manual_seed(recipe.seed)
        out.mkdir(parents=True)
        ca_model.save_model(make_model(recipe), out / "weights.safetensors")
        (out / "recipe.toml").write_text(recipe_to_toml(recipe))
        (out / "provenance.json").write_text("{}")
        trained.append(out.parent.name)
        return TrainingResult(out, out / "weights.safetensors", recipe.steps, True, None, None)

    monkeypatch.setattr(training_run, "train", train)
    out = tmp_path / "ablation"
    command = [
        "ablate",
        "--val",
        str(data),
        "--max-steps",
        "3",
        "--out",
        str(out),
        "--most-frames",
        "6",
        "--clips",
        "boat",
    ]
    for _ in range(2):
        with pytest.raises(SystemExit) as left:
            main(command)
        assert not left.value.code
    names = ["structure-1", "structure-2", "structure-3", "structure-4", "coloralignnet"]
    assert trained == names
    table = (out / "table.md").read_text()
    heads = "| Ablation experiment setting | PSNR ↑ | SSIM ↑ | LPIPS ↓ | CDC ×10³ ↓ |"
    assert heads in table
    assert (
        table.index("| Structure 1 |")
        < table.index("| Structure 4 |")
        < table.index("| ColorAlignNet (ours)")
    )
    assert "3 steps, seed 0, scored on" in table
    assert "1 clip, 5 frames, 53x37, first-frame" in table
    assert '`reconstruction = "unet"`' in table
    assert (out / "report.html").is_file()
    capsys.readouterr()
    with pytest.raises(SystemExit) as left:
        main([*command, "--set", "seed=1"])
    assert left.value.code == 2
    assert "was trained with other values of seed; choose another --out" in capsys.readouterr().err
