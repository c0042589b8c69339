"""Comparison of training runs (`report`): their curves in one figure and one page."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from ca_data import write_atomically
from matplotlib.figure import Figure

from ca_trainer.errors import TrainerError
from ca_trainer.pages import render_page
from ca_trainer.recipe import Recipe
from ca_trainer.recipe_toml import changed_fields, lookup_field, parse_recipe
from ca_trainer.training.figures import save_figure, smooth, thin
from ca_trainer.training.metrics_log import read_metrics
from ca_trainer.training.run_folder import RunFolder, holds_run

HEADS = (
    "run",
    "recipe",
    "steps",
    "loss",
    "PSNR, dB",
    "best PSNR, dB",
    "grey, dB",
    "frames/s",
    "waiting for data",
)


@dataclass(frozen=True)
class Run:
    """A run read back from its folder."""

    name: str
    folder: RunFolder
    recipe: Recipe
    steps: Sequence[Mapping[str, Any]]
    checks: Sequence[Mapping[str, Any]]


def read_run(path: Path) -> Run:
    """Read a run.

    Raises:
        TrainerError: the folder holds no run, or one without a single step.
    """
    if not holds_run(path):
        raise TrainerError(f"report: {path} holds no run (no recipe.toml in it)")
    folder = RunFolder(path)
    entries = list(read_metrics(folder.metrics))
    steps = [entry for entry in entries if entry["event"] == "step"]
    if not steps:
        raise TrainerError(f"report: the run in {path} has not finished a step yet")
    checks = [entry for entry in entries if entry["event"] == "validation"]
    recipe = parse_recipe(folder.recipe.read_text(encoding="utf-8"), origin=str(folder.recipe))
    return Run(path.resolve().name, folder, recipe, steps, checks)


def draw_runs(runs: Sequence[Run], path: Path) -> None:
    """Draw smoothed losses and validation PSNR of all runs into one PNG."""
    figure = Figure(figsize=(12, 4.5), layout="constrained")
    loss_axes, psnr_axes = figure.subplots(1, 2)
    for number, run in enumerate(runs):
        color = f"C{number % 10}"
        losses = smooth([entry["loss"] for entry in run.steps])
        loss_axes.plot(*thin(losses), color=color, label=run.name)
        numbers = [entry["step"] for entry in run.checks]
        psnr_axes.plot(numbers, [entry["psnr"] for entry in run.checks], "o-", color=color, label=run.name)
        grey = [entry["psnr_grey"] for entry in run.checks]
        psnr_axes.plot(numbers, grey, "--", color=color, alpha=0.4, label=None if number else "grey")
    loss_axes.set(xlabel="step", ylabel="training loss, smoothed")
    psnr_axes.set(xlabel="step", ylabel="validation PSNR (dB)")
    for axes in (loss_axes, psnr_axes):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False, fontsize=8)
    save_figure(figure, path)


def summarize(run: Run) -> list[str]:
    """One row of the table, in the order of `HEADS`."""
    seconds = sum(entry["seconds"] for entry in run.steps)
    frames = sum(entry["seconds"] * entry["frames_per_second"] for entry in run.steps)
    psnr = [entry["psnr"] for entry in run.checks]
    scores = ["–"] * 3
    if psnr:
        scores = [f"{value:.2f}" for value in (psnr[-1], max(psnr), run.checks[-1]["psnr_grey"])]
    return [
        run.name,
        run.recipe.name,
        str(run.steps[-1]["step"]),
        f"{smooth([entry['loss'] for entry in run.steps])[-1]:.4f}",
        *scores,
        f"{frames / seconds:.1f}",
        f"{sum(entry['waiting'] for entry in run.steps) / seconds:.1%}",
    ]


def write_page(runs: Sequence[Run], curves: Path, path: Path) -> None:
    """Write one self-contained page: curves, a table, where the recipes differ, and each run's preview."""
    fields = sorted({field for run in runs[1:] for field in changed_fields(runs[0].recipe, run.recipe)})
    differences = [(field, [lookup_field(run.recipe, field) for run in runs]) for field in fields]
    text = render_page(
        "runs.html.j2",
        curves=_embed(curves),
        heads=HEADS,
        rows=[summarize(run) for run in runs],
        names=[run.name for run in runs],
        differences=differences,
        previews=[(run.name, _embed(run.folder.preview)) for run in runs if run.folder.preview.is_file()],
    )
    write_atomically(path, text)


def _embed(picture: Path) -> str:
    return base64.b64encode(picture.read_bytes()).decode()


def register(app: typer.Typer) -> None:
    """Add the command to the program."""
    app.command("report")(report_command)


def report_command(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="Folders of training runs.")],
    out: Annotated[Path, typer.Option(help="Folder for curves.png and curves.html.")] = Path(),
) -> None:
    """Draw the curves of several training runs side by side."""
    runs = [read_run(folder) for folder in folders]
    out.mkdir(parents=True, exist_ok=True)
    draw_runs(runs, out / "curves.png")
    write_page(runs, out / "curves.png", out / "curves.html")
    print(f"picture  {out / 'curves.png'}\npage     {out / 'curves.html'}")
