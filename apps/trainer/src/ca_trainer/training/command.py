"""`train`: the command line of a training run."""

import os
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from ca_trainer.errors import INTERRUPTED, TrainerError
from ca_trainer.recipe import Recipe
from ca_trainer.recipe_toml import changed_fields, load_recipe, parse_recipe, recipe_names, recipe_to_toml
from ca_trainer.training.run_folder import holds_run, open_run


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("train")(train_command)


def train_command(
    recipe: Annotated[str, typer.Option(help=f"{', '.join(recipe_names())}, or a .toml file.")] = "demo",
    data: Annotated[Path | None, typer.Option(help="Folder of clips: DATA/<clip>/00000.jpg ...")] = None,
    out: Annotated[Path | None, typer.Option(help="Folder of the run; default runs/<recipe>-<time>.")] = None,
    max_steps: Annotated[int | None, typer.Option(min=1, help="Stop after this step.")] = None,
    checkpoint_every: Annotated[int | None, typer.Option(min=1, help="Steps between checkpoints.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in --out.")] = False,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, mps or auto.")] = None,
    changes: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="path.to.field=value", help="Change one value of the recipe."),
    ] = None,
) -> None:
    """Train a network; without options the demo: three minutes on two CPU cores, no data needed."""
    console = Console(soft_wrap=True)
    overrides = list(changes or [])
    if data is not None:
        overrides += ['data.source="clips"', f"data.root={_quoted(str(data))}"]
    if checkpoint_every is not None:
        overrides.append(f"checkpoint_every={checkpoint_every}")
    if device is not None:
        overrides.append(f"compute.device={_quoted(device)}")
    resume = resume or (restarted() and out is not None and holds_run(out))
    chosen = _resumed(recipe, out, overrides, console) if resume else _fresh(recipe, overrides, max_steps)
    from ca_trainer.training.run import train  # takes seconds to import: a wrong option is reported before

    result = train(chosen, out=out, max_steps=max_steps, resume=resume, console=console)
    if not result.finished:
        raise typer.Exit(INTERRUPTED)


def restarted() -> bool:
    """Whether torchrun or SLURM started this job anew after a failure: then a run resumes by itself."""
    return any(
        int(os.environ.get(name, "0")) for name in ("TORCHELASTIC_RESTART_COUNT", "SLURM_RESTART_COUNT")
    )


def _fresh(name: str, overrides: list[str], max_steps: int | None) -> Recipe:
    recipe = load_recipe(name, overrides)
    if max_steps is not None and max_steps > recipe.steps:
        # asked for more than the plan, the plan grows; asked for less, it stays, so that a run can be taken
        # up again
        recipe = load_recipe(name, [*overrides, f"steps={max_steps}"])
    return recipe


def _resumed(name: str, out: Path | None, overrides: list[str], console: Console) -> Recipe:
    _, stored = open_run(out)
    if name not in ("demo", stored.name) and load_recipe(name).name != stored.name:
        raise TrainerError(
            f"--resume: {out} was begun with recipe {stored.name}, not {name}; leave --recipe out"
        )
    recipe = parse_recipe(recipe_to_toml(stored), overrides, origin=str(out))
    for field in changed_fields(stored, recipe):
        console.print(f"[yellow]Changed on resuming:[/] {field}")
    return recipe


def _quoted(text: str) -> str:
    """A TOML literal string, in which a backslash is a backslash."""
    return f"'{text}'"
