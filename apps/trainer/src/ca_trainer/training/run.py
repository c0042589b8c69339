"""A whole training run, from recipe to weights; the command line calls it, and other programs may."""

import json
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ca_model
import torch
from ca_model import ColorAlignNet
from lightning.fabric import Fabric
from rich.console import Console
from torch import nn

from ca_trainer.errors import TrainerError
from ca_trainer.provenance import collect_versions, command_line, git_state
from ca_trainer.recipe import Recipe
from ca_trainer.recipe_toml import recipe_to_toml
from ca_trainer.training.batches import Clips, find_clips, make_dataset
from ca_trainer.training.checkpoint import is_sound, list_checkpoints, whole_weights
from ca_trainer.training.devices import gather, leave, make_fabric
from ca_trainer.training.loop import Trainer
from ca_trainer.training.reporter import Reporter
from ca_trainer.training.run_folder import RunFolder, name_run
from ca_trainer.training.validation import Validation


@dataclass(frozen=True)
class TrainingResult:
    """Result of a training run.

    Args:
        folder: the run's.
        weights: the network's, averaged where the recipe says so.
        steps: done in all.
        finished: False after Ctrl-C.
        psnr: of the last validation, dB; None when none was made.
        psnr_grey: of the grey film, dB.
    """

    folder: Path
    weights: Path
    steps: int
    finished: bool
    psnr: float | None
    psnr_grey: float | None


def train(
    recipe: Recipe,
    *,
    out: Path | None = None,
    max_steps: int | None = None,
    resume: bool = False,
    console: Console | None = None,
) -> TrainingResult:
    """Train by a recipe.

    Args:
        recipe: what to do; of a resumed run the one `open_run` gave, with or without changes.
        out: folder of the run; None makes one in `runs/`.
        max_steps: stop after this step of the recipe's plan; the plan's learning rates stay as they are.
        resume: continue the run in `out` from its last checkpoint.
        console: to tell on; None is silent.

    Returns:
        Where everything lies and how well it does.

    Raises:
        TrainerError: something the user can put right.
        NonFiniteError: the loss or the gradient stopped being a number.
    """
    torch.manual_seed(recipe.seed)
    model = make_model(recipe)
    fabric = make_fabric(recipe.compute, unused_parameters=leaves_parameters_unused(model, recipe))
    try:
        talk = console if console is not None and fabric.is_global_zero else Console(quiet=True)
        return _train(recipe, model, out, max_steps, resume, fabric, talk)
    finally:
        leave()


def _train(
    recipe: Recipe,
    model: ColorAlignNet,
    out: Path | None,
    max_steps: int | None,
    resume: bool,
    fabric: Fabric,
    console: Console,
) -> TrainingResult:
    clips = find_clips(recipe.data)
    folder = _agree_on_folder(recipe, out, resume, fabric)
    until = max_steps or recipe.steps
    provenance = _provenance(recipe, clips)
    console.print(_plan(recipe, clips, model, fabric, folder, until))
    with ExitStack() as stack:
        if resume and fabric.is_global_zero:
            stack.enter_context(
                folder.held()
            )  # before looking for checkpoints, which another process may replace
            _warn_of_other_data(folder, provenance, console)
        trainer = _make_trainer(recipe, model, clips, fabric)
        if resume and (checkpoint := _newest_sound(folder, console)):
            trainer.load(checkpoint)
            console.print(f"Continuing after step {trainer.step}, from {checkpoint}")
        # A run killed between its last checkpoint and its weights still owes these.
        if trainer.step >= until and _steps_of(folder.weights) == trainer.step:
            raise TrainerError(
                f"--max-steps: nothing to do, {folder.path} has done {trainer.step} of {until} steps; "
                "give a higher number"
            )
        if fabric.is_global_zero:
            if not resume:
                stack.enter_context(folder.held())
            folder.begin(recipe, provenance)
        return _run(trainer, folder, until, provenance, console)


def _newest_sound(folder: RunFolder, console: Console) -> Path | None:
    """The newest checkpoint that is as it was written; None in a run that has none yet.

    Raises:
        TrainerError: there are some, all damaged.
    """
    found = list_checkpoints(folder.checkpoints)
    for checkpoint in reversed(found):
        if is_sound(checkpoint):
            return checkpoint
        console.print(f"[yellow]Damaged, and passed over:[/] {checkpoint}")
    if found:
        raise TrainerError(
            f"--resume: all {len(found)} checkpoints in {folder.checkpoints} are damaged; start a new run"
        )
    return None


def _steps_of(weights: Path) -> int | None:
    """The step that weights were written after; None where there are none that can be read."""
    try:
        return int(ca_model.read_metadata(weights)["steps"])
    except (ca_model.ModelError, KeyError, ValueError):
        return None


def _make_trainer(recipe: Recipe, model: ColorAlignNet, clips: Clips, fabric: Fabric) -> Trainer:
    dataset, validation = make_dataset(recipe, clips), Validation(clips.validation, recipe.data)
    return Trainer(recipe, fabric, model, dataset, validation)


def _run(
    trainer: Trainer, folder: RunFolder, until: int, provenance: Mapping[str, Any], console: Console
) -> TrainingResult:
    recipe, fabric = trainer.recipe, trainer.fabric
    reporter = Reporter(
        folder,
        console,
        active=fabric.is_global_zero,
        first=trainer.step,
        until=until,
        title=f"{recipe.name}, {folder.path.name}",
    )
    with reporter:
        if trainer.step == 0 and recipe.validate_every:
            reporter.validated(0, trainer.validate())
        finished = trainer.run(until, folder, reporter)
        metadata = {
            name: value if isinstance(value, str) else json.dumps(value) for name, value in provenance.items()
        }
        metadata |= {"recipe": recipe_to_toml(recipe), "steps": str(trainer.step)}
        if reporter.last is not None:
            metadata |= {"validation_psnr": f"{reporter.last.psnr:.3f}"}
        write_weights(trainer, folder.weights, metadata)
    last = reporter.last
    result = TrainingResult(
        folder=folder.path,
        weights=folder.weights,
        steps=trainer.step,
        finished=finished,
        psnr=last.psnr if last else None,
        psnr_grey=last.psnr_grey if last else None,
    )
    console.print(_ending(result, folder, reporter))
    return result


def make_model(recipe: Recipe) -> ColorAlignNet:
    """The recipe's network, on the CPU: random, or from the weights it says to start from.

    Raises:
        TrainerError: unknown preset or field, or weights that cannot be read or do not fit.
    """
    choice = recipe.model
    try:
        if choice.initial_weights:
            return ca_model.load_model(choice.initial_weights)
        return ca_model.create_model(choice.preset, **choice.overrides)
    except (ValueError, TypeError, OSError) as error:
        raise TrainerError(f"recipe: model: {error}") from None


def leaves_parameters_unused(model: ColorAlignNet, recipe: Recipe) -> bool:
    """Whether the shortest clip of a recipe leaves some parameter without a gradient: one frame needs no recurrence."""
    data, truncate = recipe.data, recipe.optimizer.truncate
    frames = min(data.clip_length, data.clip_length_start or data.clip_length, truncate or data.clip_length)
    output = model(torch.zeros(1, frames, 1, 32, 32), torch.zeros(1, 1, 3, 32, 32))
    output.ab.sum().backward()
    unused = any(parameter.grad is None for parameter in model.parameters() if parameter.requires_grad)
    model.zero_grad()
    return unused


def write_weights(trainer: Trainer, path: Path, metadata: dict[str, str]) -> None:
    """Write the (averaged) weights as safetensors; every rank calls, the first writes."""
    with trainer.average.applied():
        weights = whole_weights(trainer.network.holder)
    if trainer.fabric.is_global_zero:
        model = make_model(trainer.recipe)
        model.load_state_dict(weights)
        ca_model.save_model(model, path, metadata)
    trainer.fabric.barrier()


def _agree_on_folder(recipe: Recipe, out: Path | None, resume: bool, fabric: Fabric) -> RunFolder:
    path = None
    if fabric.is_global_zero:
        path = out if resume and out is not None else name_run(out, recipe.name).path
    agreed = gather(fabric, path)[0]
    assert agreed is not None
    return RunFolder(agreed)


def _provenance(recipe: Recipe, clips: Clips) -> dict[str, Any]:
    return {
        "command": command_line(),
        "seed": recipe.seed,
        "git": git_state(),
        "data_checksum": clips.checksum,
        "versions": collect_versions(),
        "training_clips": len(clips.training),
        "validation_clips": [clip.name for clip in clips.validation],
    }


def _warn_of_other_data(folder: RunFolder, provenance: Mapping[str, Any], console: Console) -> None:
    try:
        before = json.loads(folder.provenance.read_text(encoding="utf-8")).get("data_checksum")
    except (OSError, ValueError):
        return
    if before != provenance["data_checksum"]:
        console.print(
            "[yellow]The data have changed since this run began; it will not continue as it would have.[/]"
        )


def _plan(
    recipe: Recipe, clips: Clips, model: nn.Module, fabric: Fabric, folder: RunFolder, until: int
) -> str:
    data = recipe.data
    source = "synthetic clips" if data.source == "synthetic" else f"clips of {data.root}"
    left_out = f", {clips.left_out} too short" if clips.left_out else ""
    parameters = sum(parameter.numel() for parameter in model.parameters())
    device = fabric.device.type + (f" x {fabric.world_size} ranks" if fabric.world_size > 1 else "")
    stop = "" if until == recipe.steps else f", stopping at {until}"
    lines = {
        "Recipe": f"{recipe.name}{': ' + recipe.description if recipe.description else ''}",
        "Network": f"{recipe.model.preset}, {parameters / 1e6:.2f} M parameters",
        "Data": f"{len(clips.training)} {source}, {len(clips.validation)} others for validation{left_out}",
        "Steps": f"{recipe.steps} of {data.batch} x {data.clip_length} frames{stop}",
        "Device": f"{device}, {recipe.compute.precision}, {torch.get_num_threads()} threads",
        "Folder": str(folder.path),
    }
    return "\n".join(f"[bold]{name:<8}[/] {value}" for name, value in lines.items())


def _ending(result: TrainingResult, folder: RunFolder, reporter: Reporter) -> str:
    waiting = f"{reporter.waiting_share():.1%} of the time waiting for data"
    share = f"{reporter.speed():.3g} frames/s, {waiting}"
    if not result.finished:
        again = f"uv run apps/trainer --resume --out {result.folder}"
        return f"Stopped after step {result.steps} and saved ({share}).\nTo go on: {again}"
    lines = [
        f"Done: {result.steps} steps, {share}",
        f"weights  {folder.weights}",
        f"curve    {folder.curve}",
        f"preview  {folder.preview}",
    ]
    return "\n".join(lines)
