"""``evaluate``: score a system on every clip of a data set, or compare runs that were scored before."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import ca_metrics
import torch
import typer
from ca_data import FrameFolder, list_clips, parse_size
from ca_model import choose_device
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from torch import nn

from ca_trainer.errors import TrainerError
from ca_trainer.evaluation.assessment import Assessment
from ca_trainer.evaluation.colorizers import BaselineColorizer, Colorizer, FolderColorizer, ModelColorizer
from ca_trainer.evaluation.protocols import parse_protocol
from ca_trainer.evaluation.result_files import write_comparison, write_run
from ca_trainer.evaluation.results import Results, read_results
from ca_trainer.evaluation.tables import counted

__all__ = [
    "choose_clips",
    "evaluate_clips",
    "load_lpips",
    "name_dataset",
    "register",
]


def evaluate_clips(
    clips: Sequence[FrameFolder], assessment: Assessment, *, dataset: str, console: Console
) -> Results:
    """Score every clip, those already scored excepted, and write all results and reports.

    Args:
        clips: the clips.
        assessment: system, protocol and folder.
        dataset: name of the data set in tables.
        console: where progress is shown.

    Returns:
        The run, as written to ``results.json``.

    Raises:
        TrainerError: if a clip does not suit the protocol or the system.
    """
    stale = assessment.stale(clips)
    if stale:
        console.print(
            f"{counted(stale, 'clip')} in {assessment.out} scored with other options or data: scoring afresh"
        )
    records = {}
    with _progress(console) as progress:
        total = sum(len(clip) for clip in clips)
        task = progress.add_task("evaluate", total=total)
        for clip in clips:
            progress.update(task, description=f"{assessment.colorizer.name}: {clip.name}")
            done = assessment.finished(clip)
            if done is None:
                done = assessment.run(clip, lambda: progress.advance(task))
            else:
                progress.advance(task, len(clip))
            records[clip.name] = done
    return write_run(records, assessment, dataset)


def choose_clips(data: Path, names: str = "", most_frames: int | None = None) -> list[FrameFolder]:
    """The clips of a folder, or those of them that are named.

    Args:
        data: a folder of clips, or one clip.
        names: names separated by commas; empty for all.
        most_frames: leave out what comes after so many frames.

    Returns:
        The clips.

    Raises:
        TrainerError: if a name is not there, or the folder is an official DAVIS root that was not prepared.
    """
    if (data / "JPEGImages").is_dir():
        raise TrainerError(
            f"data: expected folders of frames, got the official DAVIS layout in {data}; bring it to the"
            " evaluation's size first: prepare --davis ROOT --out DIR"
        )
    clips = {clip.name: clip for clip in list_clips(data)}
    for clip in clips.values():
        clip.files = clip.files[:most_frames]
    if not names:
        return list(clips.values())
    chosen = [name.strip() for name in names.split(",")]
    unknown = [name for name in chosen if name not in clips]
    if unknown:
        raise TrainerError(f"clips: expected some of {', '.join(clips)}, got {', '.join(unknown)}")
    return [clips[name] for name in dict.fromkeys(chosen)]


def register(app: typer.Typer) -> None:
    """Add ``evaluate`` to the trainer's commands."""
    app.command(name="evaluate")(_evaluate)


def _evaluate(
    runs: Annotated[
        list[Path] | None, typer.Argument(help="With --compare: folders of earlier evaluations.")
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of clips, <clip>/00000.jpg ...")] = None,
    out: Annotated[
        Path | None, typer.Option(help="Folder of results; default runs/evaluate-NAME-PROTOCOL.")
    ] = None,
    method: Annotated[str, typer.Option(help="model, grey, mean, static or flow.")] = "model",
    weights: Annotated[str, typer.Option(help="Shipped name, .safetensors file or hub identifier.")] = "",
    predictions: Annotated[
        Path | None, typer.Option(help="Score another system: its folders of frames.")
    ] = None,
    protocol: Annotated[str, typer.Option(help="first-frame or every-K.")] = "first-frame",
    reference_every: Annotated[int | None, typer.Option(help="K of every-K, frames.")] = None,
    size: Annotated[str, typer.Option(help="WxH to evaluate at; default each clip's own.")] = "",
    clips: Annotated[str, typer.Option(help="Names of clips, separated by commas; default all.")] = "",
    name: Annotated[str, typer.Option(help="Name of the row; default the method or the weights.")] = "",
    dataset: Annotated[str, typer.Option(help="Name of the data set; default from DATA.")] = "",
    lpips_weights: Annotated[
        Path | None, typer.Option(help="AlexNet file for LPIPS; default the hub cache.")
    ] = None,
    save_frames: Annotated[
        bool, typer.Option("--save-frames", help="Keep every output frame as PNG.")
    ] = False,
    device: Annotated[str, typer.Option(help="auto, cpu or cuda.")] = "auto",
    compare_runs: Annotated[
        bool, typer.Option("--compare", help="One report over RUNS instead of scoring.")
    ] = False,
    published: Annotated[bool, typer.Option(help="With --compare: add the rows that others printed.")] = True,
) -> None:
    """Score a method on every clip of a data set: tables, and a report that shows where it fails.

    evaluate --data DIR --method flow --out DIR
    evaluate --data DIR --weights base --protocol every-K --reference-every 20 --out DIR
    evaluate --data DIR --predictions FOLDER --out DIR
    evaluate --compare RUN RUN RUN --out DIR
    """
    console = Console()
    if compare_runs:
        if not runs or out is None:
            raise TrainerError(
                "compare: expected folders of earlier evaluations and --out, as in --compare A B --out C"
            )
        tables = write_comparison([read_results(run) for run in runs], out, published=published)
        console.print(tables, soft_wrap=True, markup=False)
        console.print(f"report: {out / 'report.html'}", soft_wrap=True, markup=False)
        return
    if runs:
        raise TrainerError(f"evaluate: got {runs[0]} without an option's name; did you mean --compare?")
    if data is None:
        raise TrainerError("data: expected --data DIR, a folder of clips, got none")
    chosen = choose_clips(data, clips)
    rule = parse_protocol(protocol, reference_every)
    colorizer = _colorizer(method, weights, predictions, chosen, name, choose_device(device))
    folder = out or Path("runs") / f"evaluate-{colorizer.name}-{rule.name}"
    lpips, note = load_lpips(lpips_weights)
    assessment = Assessment(
        colorizer, rule, folder, parse_size(size) if size else None, lpips, note, save_frames
    )
    results = evaluate_clips(chosen, assessment, dataset=dataset or name_dataset(data), console=console)
    console.print((folder / "table.md").read_text(), soft_wrap=True, markup=False)
    for key, reason in results.data["missing"].items():
        console.print(f"{key} is missing: {reason}", soft_wrap=True, markup=False)
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True, markup=False)


def _colorizer(
    method: str,
    weights: str,
    predictions: Path | None,
    clips: Sequence[FrameFolder],
    name: str,
    device: torch.device,
) -> Colorizer:
    if predictions is not None:
        return FolderColorizer(predictions, {clip.name: clip for clip in clips}, name=name)
    if method != "model":
        return BaselineColorizer(method, name=name)
    return ModelColorizer(weights, device=device, name=name)


def load_lpips(weights: Path | None) -> tuple[nn.Module | None, str]:
    """The LPIPS network, or None and why it is missing; a file that was named must be there."""
    try:
        return ca_metrics.load_lpips("alex", weights=weights), ""
    except ca_metrics.LPIPSUnavailable as error:
        if weights is not None:
            raise
        return None, str(error)


def name_dataset(data: Path) -> str:
    """Name of a data set: as ``prepare`` wrote it, else the folder's."""
    manifest = data / "manifest.json"
    if manifest.is_file():
        content = json.loads(manifest.read_text())
        if isinstance(content, dict) and content.get("dataset"):
            return str(content["dataset"])
    name = data.resolve().name
    return {"davis": "DAVIS", "videvo": "Videvo"}.get(name.lower(), name)


def _progress(console: Console) -> Progress:
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TextColumn("frames")
    return Progress(*columns, TimeRemainingColumn(), console=console)
