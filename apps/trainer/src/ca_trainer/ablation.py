"""``ablate``: the full network and the paper's structures 1-4 under equal budgets and seeds (Table 3)."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import ca_model
import typer
from ca_data import parse_size
from rich.console import Console

from ca_trainer.errors import INTERRUPTED, TrainerError
from ca_trainer.evaluation.assessment import Assessment
from ca_trainer.evaluation.colorizers import ModelColorizer
from ca_trainer.evaluation.command import (
    choose_clips,
    evaluate_clips,
    load_lpips,
    name_dataset,
)
from ca_trainer.evaluation.measures import PAPER_MEASURES
from ca_trainer.evaluation.protocols import EvaluationProtocol
from ca_trainer.evaluation.published import ABLATIONS
from ca_trainer.evaluation.result_files import write_comparison
from ca_trainer.evaluation.results import Results
from ca_trainer.evaluation.tables import TableRow, counted, latex_table, markdown_table
from ca_trainer.files import write_json
from ca_trainer.recipe import Recipe
from ca_trainer.recipe_toml import changed_fields, load_recipe, parse_recipe, recipe_to_toml
from ca_trainer.training.run_folder import holds_run

__all__ = ["STRUCTURES", "Structure", "ablation_recipe", "ablation_rows", "register"]

FULL = "ColorAlignNet (ours)"


@dataclass(frozen=True)
class Structure:
    """One ablation, a row of Table 3: the field of the configuration that is switched.

    Args:
        name: the row's.
        field: of ``ca_model.ColorAlignConfig``; empty for the full network.
        choices: values to switch to and what each means: the first that the full network does not have.
    """

    name: str
    field: str = ""
    choices: tuple[tuple[Any, str], ...] = ()

    @property
    def folder(self) -> str:
        """Its folder below ``--out``."""
        return self.name.split(" (")[0].lower().replace(" ", "-")

    def switch(self, config: ca_model.ColorAlignConfig) -> tuple[dict[str, Any], str]:
        """The changed field of the configuration in this structure, and what it means.

        Args:
            config: the full network's.

        Raises:
            TrainerError: if the full network has no other choice left.

        Example:
            >>> STRUCTURES[2].switch(ca_model.PRESETS["tiny"])
            ({'reconstruction': 'unet'}, 'a U-Net instead of Swin')
        """
        if not self.field:
            return {}, "the full network"
        for value, meaning in self.choices:
            if value != getattr(config, self.field):
                return {self.field: value}, meaning
        raise TrainerError(
            f"ablate: {self.name} is {self.field}={self.choices[0][0]!r}, which the full network of this recipe has"
            " already; choose another recipe"
        )


_FLOW = ("flow", "optical flow instead of deformable convolution")
# A copying preset follows the flow already; what it is held against then is deformable convolution.
_DEFORM = ("deform", "deformable convolution instead of optical flow")

STRUCTURES: tuple[Structure, ...] = (
    Structure("Structure 1", "temporal_prior", ((False, "no temporal prior"),)),
    Structure("Structure 2", "alignment", (_FLOW, _DEFORM)),
    Structure("Structure 3", "reconstruction", (("unet", "a U-Net instead of Swin"),)),
    Structure("Structure 4", "color_transfer", (("adain", "AdaIN instead of source-reference attention"),)),
    Structure(FULL),
)


def register(app: typer.Typer) -> None:
    """Add ``ablate`` to the trainer's commands."""
    app.command(name="ablate")(_ablate)


def ablation_recipe(recipe: Recipe, structure: Structure) -> Recipe:
    """The recipe of one structure: the full network's, one field of the configuration switched.

    Args:
        recipe: of the full network.
        structure: the row.

    Returns:
        The recipe, with the same seed, data and budget.

    Raises:
        TrainerError: if the full network has that switch already, or starts from trained weights.
        ca_model.ModelError: if the configuration does not hold together.
    """
    if recipe.model.initial_weights:
        raise TrainerError(
            "ablate: expected a recipe that starts from random weights, got model.initial_weights"
        )
    full = _configuration(recipe)
    switched, _ = structure.switch(full)
    replace(full, **switched)
    return replace(recipe, model=replace(recipe.model, overrides={**recipe.model.overrides, **switched}))


def ablation_rows(scored: Sequence[tuple[Structure, Results]], *, published: bool = True) -> list[TableRow]:
    """Rows in Table 3's layout; below them the paper's own of that data set, marked as not measured.

    Args:
        scored: the structures and their evaluations, on one data set.
        published: whether to add the paper's rows.

    Returns:
        The rows.
    """
    rows = [TableRow(structure.name, results.mean) for structure, results in scored]
    dataset = str(scored[0][1].data["dataset"]).lower()
    printed = [TableRow.of(row) for row in ABLATIONS if published and dataset.startswith(row.dataset)]
    return rows + printed


def _ablate(
    val: Annotated[Path, typer.Option(help="Folder of clips to score on, never trained on.")],
    max_steps: Annotated[int, typer.Option(min=1, help="Steps of each training.")],
    out: Annotated[Path, typer.Option(help="Folder of the ablation; finished structures in it are kept.")],
    recipe: Annotated[str, typer.Option(help="Recipe of the full network.")] = "demo",
    data: Annotated[
        Path | None, typer.Option(help="Folder of clips to train on; default the recipe's.")
    ] = None,
    clips: Annotated[str, typer.Option(help="Clips of VAL, separated by commas; default all.")] = "",
    most_frames: Annotated[
        int | None, typer.Option(min=6, help="Score only so many frames of each clip.")
    ] = None,
    size: Annotated[str, typer.Option(help="WxH to score at; default each clip's own.")] = "",
    lpips_weights: Annotated[Path | None, typer.Option(help="AlexNet file for LPIPS.")] = None,
    published: Annotated[bool, typer.Option(help="Add the paper's own rows, marked as not measured.")] = True,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    changes: Annotated[
        list[str] | None, typer.Option("--set", metavar="path.to.field=value", help="Change the recipe.")
    ] = None,
) -> None:
    """Train and score the full network and structures 1-4 under equal budgets and seeds (Table 3).

    ablate --recipe demo --data TRAIN --val DAVIS --max-steps 300 --out DIR
    """
    console = Console()
    # The learning rate's plan ends with the budget; a short run of a long plan would never cool down.
    overrides = [*(changes or []), f"steps={max_steps}", f"compute.device={json.dumps(device)}"]
    if data is not None:
        overrides += ['data.source="clips"', f"data.root={json.dumps(str(data))}"]
    full = load_recipe(recipe, overrides)
    recipes = {structure: ablation_recipe(full, structure) for structure in STRUCTURES}
    chosen = choose_clips(val, clips, most_frames)
    lpips, note = load_lpips(lpips_weights)
    dataset = name_dataset(val) + (f", first {most_frames} frames" if most_frames else "")
    scored: list[tuple[Structure, Results]] = []
    lines = []
    for structure, own in recipes.items():
        folder = out / structure.folder
        record = _trained(own, folder, console, structure)
        weights = str(folder / "training" / "weights.safetensors")
        colorizer = ModelColorizer(weights, device=ca_model.choose_device(device), name=structure.name)
        scoring = Assessment(
            colorizer,
            EvaluationProtocol(),
            folder / "evaluation",
            parse_size(size) if size else None,
            lpips,
            note,
        )
        scored.append((structure, evaluate_clips(chosen, scoring, dataset=dataset, console=console)))
        lines.append(_account(structure, full, record))
    console.print(_write(scored, lines, out, full, published=published), soft_wrap=True, markup=False)


def _trained(recipe: Recipe, folder: Path, console: Console, structure: Structure) -> dict[str, Any]:
    """Train one structure, or find it trained; an interrupted training goes on from its last checkpoint."""
    record_file, run = folder / "trained.json", folder / "training"
    if holds_run(run):
        stored = parse_recipe((run / "recipe.toml").read_text(encoding="utf-8"), origin=str(run))
        changed = changed_fields(stored, recipe)
        if changed:
            raise TrainerError(
                f"ablate: {folder} was trained with other values of {', '.join(changed)}; choose another --out"
            )
    if record_file.is_file():
        record: dict[str, Any] = json.loads(record_file.read_text())
        return record
    from ca_trainer.training.run import train  # takes seconds to import: a wrong option is reported before

    console.rule(structure.name)
    started, resumed = time.monotonic(), holds_run(run)
    result = train(recipe, out=run, resume=resumed, console=console)
    if not result.finished:
        raise typer.Exit(INTERRUPTED)
    parameters = ca_model.count_parameters(ca_model.load_model(result.weights))
    seconds = None if resumed else time.monotonic() - started
    record = {"steps": result.steps, "seconds": seconds, "parameters": parameters}
    write_json(record_file, record)
    return record


def _account(structure: Structure, full: Recipe, record: dict[str, Any]) -> str:
    """Line below the table: the switch, parameters, steps and minutes of a structure."""
    switched, meaning = structure.switch(_configuration(full))
    switches = "".join(f" (`{field} = {json.dumps(value)}`)" for field, value in switched.items())
    duration = (
        f" in {record['seconds'] / 60:.1f} minutes" if record["seconds"] else ", interrupted in between"
    )
    size = f"{record['parameters'] / 1e6:.2f} M parameters"
    return f"- {structure.name}: {meaning}{switches}; {size}, {record['steps']} steps{duration}"


def _configuration(recipe: Recipe) -> ca_model.ColorAlignConfig:
    return ca_model.preset(recipe.model.preset, **recipe.model.overrides)


def _write(
    scored: Sequence[tuple[Structure, Results]],
    lines: Sequence[str],
    out: Path,
    full: Recipe,
    *,
    published: bool,
) -> str:
    """Table 3 as Markdown and LaTeX, the recipe, and the report over all structures."""
    first = scored[0][1]
    rows = ablation_rows(scored, published=published)
    frames = sum(len(clip["frame"]) for clip in first.frames.values())
    dataset, protocol, size, clips = first.setting
    budget = (
        f"Recipe {full.name}, {full.steps} steps, seed {full.seed}, scored on {dataset}: "
        f"{counted(len(clips), 'clip')}, {frames} frames, {size}, {protocol}."
    )
    head = "Ablation experiment setting"
    write_comparison([results for _, results in scored], out, published=False)
    (out / "recipe.toml").write_text(recipe_to_toml(full), encoding="utf-8")
    latex = latex_table(rows, PAPER_MEASURES, caption=f"Ablation experiments. {budget}", first=head)
    (out / "table.tex").write_text(latex, encoding="utf-8")
    text = "\n".join([budget, "", markdown_table(rows, PAPER_MEASURES, first=head), *lines]) + "\n"
    (out / "table.md").write_text(text, encoding="utf-8")
    return text
