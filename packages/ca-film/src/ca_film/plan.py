"""Plan: before any still is painted, the shots, how well references cover them, and which frames deserve one."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ca_film.errors import FilmError, writing
from ca_film.network.runs import Run, run_network
from ca_film.options import ColorizeOptions
from ca_film.output.coverage import coarse_grid
from ca_film.output.sheets import contact_sheet, paint_coverage, save_sheet, thumbnail
from ca_film.progress import Progress, advance
from ca_film.session import open_film, open_session
from ca_film.source.content import clear_frame
from ca_film.source.film import Film
from ca_film.source.images import grey_images, write_png
from ca_film.source.survey import Survey, survey_film

__all__ = ["Plan", "ShotPlan", "plan"]

_SAMPLES = 5
_COVERED = 0.7
_WIDTH = 240
_PER_ROW = 5
_MOST_TILES = 200


@dataclass(frozen=True)
class ShotPlan:
    """One shot.

    Args:
        frames: their numbers.
        coverage: mean confidence in [0, 1] over a few of its frames; None without references.
        chosen: the frame that most deserves a reference; one that is typical of the shot, and no flash.
        anchored: numbers of the frames in it that have one.
        also: further frames that deserve one, since the shot shows several scenes.
    """

    frames: range
    coverage: float | None
    chosen: int
    anchored: tuple[int, ...]
    also: tuple[int, ...] = ()


@dataclass(frozen=True)
class Plan:
    """A plan, and the stills that were written for it.

    Args:
        shots: in the order of the film.
        wanted: frames that deserve a reference, most deserving first; each lies in the folder as a still.
        folder: with the stills and `contact-sheet.png`.
        notes: what the user should know.
    """

    shots: list[ShotPlan]
    wanted: list[int]
    folder: Path
    notes: list[str]


def plan(
    source: str | Path,
    folder: str | Path,
    options: ColorizeOptions,
    most: int = 8,
    progress: Progress | None = None,
) -> Plan:
    """Find the shots, measure coverage where there are references, and write the frames to be coloured.

    Args:
        source: a video file or a folder of frames.
        folder: for the stills; made.
        options: `references` may be empty.
        most: number of stills wanted at most.
        progress: is told how far the work is, and may cancel it.

    Returns:
        The plan.

    Raises:
        FilmError: if film or references are wrong, or the folder exists without `overwrite`.
        Cancelled: if `progress` asks for it.
    """
    folder, progress = Path(folder), progress or Progress()
    if folder.exists() and not options.overwrite:
        raise FilmError(f"output {folder} exists; choose another name with `out`, or add `overwrite=True`")
    session = open_session(source, options) if options.stills else None
    film = session.film if session else open_film(source, options.rate)
    survey = (
        session.survey(options.cuts, progress) if session else survey_film(film, options.cuts, (), progress)
    )
    grids: dict[int, np.ndarray] = {}
    if session:
        session.select(survey, options.references_per_shot, progress)
        places = {i for shot in survey.shots for scene in survey.scenes(shot) for i in _samples(scene)}
        runs = [Run(range(i, i + 1), {}) for i in sorted(places)]
        progress.stage("measuring coverage", len(runs))
        with closing(
            run_network(film, runs, session.painter, session.network_size, survey.flashes)
        ) as frames:
            for colored in frames:
                grids[colored.frame.index] = coarse_grid(colored.confidence)
                advance(progress)
    known = {ref.frame for ref in session.references if ref.frame is not None} if session else set()
    scenes = [
        [_plan_scene(scene, survey, grids, known) for scene in survey.scenes(shot)] for shot in survey.shots
    ]
    wanted = _wanted([scene for shot in scenes for scene in shot])[:most]
    shots = [_join(shot) for shot in scenes]
    with writing(folder), _scratch(folder) as scratch:
        _write(film, scenes, wanted, grids, scratch)
    notes = session.notes if session else []
    return Plan(shots, wanted, folder, [*notes, *survey.notes, *survey.problems])


@contextmanager
def _scratch(folder: Path) -> Iterator[Path]:
    """A folder that becomes the one wanted once all is in it; of one that is there, other files stay as they are."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    scratch = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.partial")
    scratch.mkdir()
    try:
        yield scratch
        if not folder.exists():
            scratch.rename(folder)
        else:
            for file in scratch.iterdir():
                file.replace(folder / file.name)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _samples(shot: range) -> list[int]:
    return sorted({shot.start + int((i + 0.5) / _SAMPLES * len(shot)) for i in range(_SAMPLES)})


def _plan_scene(scene: range, survey: Survey, grids: dict[int, np.ndarray], known: set[int]) -> ShotPlan:
    means = {index: float(grids[index].mean()) / 255.0 for index in _samples(scene) if index in grids}
    anchored = tuple(sorted(index for index in known if index in scene))
    wanted = min(means, key=means.__getitem__) if means else scene.start + len(scene) // 2
    chosen = clear_frame(wanted, scene, survey.lightness, survey.sharpness, survey.flashes)
    return ShotPlan(scene, sum(means.values()) / len(means) if means else None, chosen, anchored)


def _join(scenes: list[ShotPlan]) -> ShotPlan:
    """A shot of its scenes: the one that most deserves a reference stands for it."""
    first = _by_merit(scenes)[0]
    covered = [scene.coverage * len(scene.frames) for scene in scenes if scene.coverage is not None]
    frames = range(scenes[0].frames.start, scenes[-1].frames.stop)
    return ShotPlan(
        frames,
        sum(covered) / len(frames) if covered else None,
        first.chosen,
        tuple(index for scene in scenes for index in scene.anchored),
        tuple(scene.chosen for scene in scenes if scene is not first),
    )


def _wanted(scenes: list[ShotPlan]) -> list[int]:
    """Of scenes covered badly, or not at all yet, the frames to paint."""
    lacking = [
        scene
        for scene in scenes
        if scene.coverage is None or (scene.coverage < _COVERED and not scene.anchored)
    ]
    return [scene.chosen for scene in _by_merit(lacking)]


def _by_merit(scenes: list[ShotPlan]) -> list[ShotPlan]:
    """Without references the longest first; with them the least covered, long ones before short ones."""
    if all(scene.coverage is None for scene in scenes):
        return sorted(scenes, key=lambda scene: -len(scene.frames))
    return sorted(scenes, key=lambda scene: -(1.0 - (scene.coverage or 0.0)) * len(scene.frames) ** 0.5)


def _write(
    film: Film, scenes: list[list[ShotPlan]], wanted: list[int], grids: dict[int, np.ndarray], folder: Path
) -> None:
    shown = [(number, scene) for number, shot in enumerate(scenes, start=1) for scene in shot][:_MOST_TILES]
    stills = grey_images(film, {*wanted, *(scene.chosen for _, scene in shown)})
    for index in wanted:
        write_png(stills[index], folder / f"frame_{index:06d}.png")
    tiles = []
    for number, shot in shown:
        image = thumbnail(stills[shot.chosen], _WIDTH)
        if shot.chosen in grids:
            image = paint_coverage(image, grids[shot.chosen])
        covered = "" if shot.coverage is None else f"  {shot.coverage:.0%}"
        mark = " *" if shot.chosen in wanted else ""
        tiles.append((f"{number}: {shot.frames.start}-{shot.frames.stop - 1}{covered}{mark}", image))
    if tiles:
        rows = [tiles[i : i + _PER_ROW] for i in range(0, len(tiles), _PER_ROW)]
        save_sheet(contact_sheet(rows), folder / "contact-sheet.png")
