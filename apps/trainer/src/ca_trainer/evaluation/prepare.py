"""``prepare``: make an evaluation set of the official DAVIS folders or of a folder of videos."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from ca_data import (
    EvaluationSet,
    FrameFolder,
    VideoSource,
    changed_clips,
    davis_clips,
    parse_size,
    video_sources,
)
from rich.console import Console
from rich.progress import Progress

from ca_trainer.errors import TrainerError
from ca_trainer.evaluation.tables import counted

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add ``prepare`` to the trainer's commands."""
    app.command(name="prepare")(_prepare)


def _prepare(
    out: Annotated[Path, typer.Option(help="Folder of the set: <clip>/00000.png ... and manifest.json.")],
    davis: Annotated[
        Path | None, typer.Option(help="DAVIS root: JPEGImages and ImageSets lie in it.")
    ] = None,
    videos: Annotated[Path | None, typer.Option(help="Folder of videos (such as Videvo) or frames.")] = None,
    split: Annotated[str, typer.Option(help="Official split file below ImageSets.")] = "2017/val",
    resolution: Annotated[str, typer.Option(help="Folder below JPEGImages.")] = "480p",
    size: Annotated[str, typer.Option(help="WxH of the set; the paper's by default.")] = "384x224",
    most_frames: Annotated[int | None, typer.Option(help="Keep at most so many frames of a clip.")] = None,
    name: Annotated[str, typer.Option(help="Name of the data set in tables.")] = "",
    check: Annotated[
        bool, typer.Option("--check", help="Only hold the set in OUT against its manifest.")
    ] = False,
) -> None:
    """Bring DAVIS, or a folder of videos, to the size of the paper, with a manifest of checksums.

    prepare --davis ROOT --out DIR
    prepare --videos FOLDER --name Videvo --out DIR
    prepare --check --out DIR
    """
    console = Console()
    if check:
        _check(out, console)
        return
    sources, dataset = _sources(davis, videos, split, resolution, name)
    measures = parse_size(size)
    if most_frames is not None and most_frames < 2:
        raise TrainerError(f"prepare: expected at least 2 frames, got {most_frames}")
    prepared = EvaluationSet(out, size=measures, dataset=dataset)
    made = 0
    with Progress(console=console) as progress:
        task = progress.add_task("prepare", total=len(sources))
        for source in sources:
            progress.update(task, description=source.name)
            made += prepared.add(source, most_frames=most_frames)
            progress.advance(task)
    frames = sum(prepared.clips[source.name].frames for source in sources)
    console.print(
        f"{dataset}: {counted(len(sources), 'clip')}, {frames} frames at {size} in {out} ({made} made,"
        f" {len(sources) - made} already there); checksums in {out / 'manifest.json'}",
        soft_wrap=True,
        markup=False,
    )


def _sources(
    davis: Path | None, videos: Path | None, split: str, resolution: str, name: str
) -> tuple[Sequence[VideoSource | FrameFolder], str]:
    if (davis is None) == (videos is None):
        raise TrainerError("prepare: expected one of --davis ROOT and --videos FOLDER, got both or none")
    if videos is not None:
        return video_sources(videos), name or videos.resolve().name
    assert davis is not None
    return davis_clips(davis, split, resolution=resolution), name or f"DAVIS {split.replace('/', ' ')}"


def _check(out: Path, console: Console) -> None:
    changed = changed_clips(out)
    if changed:
        raise TrainerError(
            f"prepare: {out} differs from its manifest in {', '.join(changed)}; prepare it again"
        )
    console.print(f"{out} is as its manifest says", soft_wrap=True, markup=False)
