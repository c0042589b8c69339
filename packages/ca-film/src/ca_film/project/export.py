"""Export: a project coloured into a film, headlessly, from kept colours as far as they go.

The same project gives the same bytes, whoever coloured its stretches before: kept colours are used only where the
network saw exactly what decoding in order gives now.
"""

from __future__ import annotations

import json
import secrets
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from ca_data import write_atomically

from ca_film.colorize import (
    Result,
    check_paths,
    check_taken,
    check_unchanged,
    choose_output,
    color_notes,
    flash_notes,
    made_parent,
    publish,
    report_path,
    signatures,
)
from ca_film.errors import FilmError, writing
from ca_film.network.lightness import SteadyLightness
from ca_film.options import ColorizeOptions, Look
from ca_film.output.coverage import Coverage, write_report
from ca_film.output.encoding import Encoding
from ca_film.output.rendering import Renderer
from ca_film.output.segments import split_shots
from ca_film.output.targets import FolderTarget, Target, VideoTarget
from ca_film.output.work import WorkFolder, file_signature
from ca_film.progress import Progress, advance
from ca_film.project.coloring import Colorist, FrameColors
from ca_film.project.folder import ProjectFolder
from ca_film.project.kept import checksum, from_codes, to_codes
from ca_film.project.model import Project
from ca_film.project.stretches import Stretch, mixture
from ca_film.session import open_film
from ca_film.source.film import ColoredFrame, Film, Frame
from ca_film.source.references import Reference
from ca_film.source.survey import Survey, survey_film

if TYPE_CHECKING:
    from jaxtyping import UInt16

__all__ = ["CHANGED", "colorize_project", "survey_project"]

_KIND = "ca-film project 2"
CHANGED = "the film is another than when its project was made: look over cuts and stills"
"""Note of a survey."""


def colorize_project(
    folder: str | Path,
    out: str | Path,
    options: ColorizeOptions | None = None,
    progress: Progress | None = None,
) -> Result:
    """Colourise a project's film.

    Args:
        folder: the project's.
        out: a video file, or a folder for PNG files when it has no suffix or the film is a folder.
        options: how the output is stored; `references`, `weights`, `size`, `cuts` and `look` come from the project and
            are not looked at.
        progress: is told how far the work is, and may cancel it.

    Returns:
        The result.

    Raises:
        FilmError: if project, film or output are wrong; no output file exists then.
        Cancelled: if `progress` asks for it; finished work is kept, and the same call goes on from it.
    """
    out, options, progress = Path(out), options or ColorizeOptions(), progress or Progress()
    if options.again is not None or options.is_piece:
        raise FilmError(
            "`again`, `start` and `end` are for films; a project colours only what changed since it was kept, by itself"
        )
    place = ProjectFolder(folder)
    project = place.load_with_film()
    stills = tuple(place.path / still.file for still in project.stills)
    taken = check_paths(project.film, out, replace(options, references=stills))
    film = open_film(project.film, options.rate)
    colorist = Colorist(place, project, film, options.device)
    encoding = choose_output(film, out, options)
    survey, colorist.project = survey_project(place, project, film, progress)
    colorist.follow(survey)
    options = replace(options, keep_colors=options.keep_colors or project.keep_colors)
    signature = _signature(colorist, options, f"{encoding} {options.png_depth}", len(survey))
    if taken:
        check_taken(out, options, signature)
    with writing(out), made_parent(out), WorkFolder(out, signature, restart=options.restart) as work:
        renderer = _ShotRenderer(film, colorist, len(survey), keep_colors=options.keep_colors)
        target: Target
        if encoding:
            target = VideoTarget(film, renderer, encoding, work, options.streams)
        else:
            target = FolderTarget(film, renderer, work, options.png_depth, out if out.is_dir() else None)
        job = _Job(colorist, film, survey, target, work, progress, signatures([project.film, *stills]))
        return publish(out, work, target, lambda: _make(job, out, options, encoding, renderer.anchored))


@dataclass(frozen=True)
class _Job:
    """Everything that colouring and writing one project takes."""

    colorist: Colorist
    film: Film
    survey: Survey
    target: Target
    work: WorkFolder
    progress: Progress
    sources: dict[Path, str]


def _make(
    job: _Job, out: Path, options: ColorizeOptions, encoding: Encoding | None, anchored: list[Reference]
) -> Result:
    """Make everything but the output's name, inside the work folder."""
    notes = [*(encoding.notes if encoding else []), *job.target.rehearse()]
    survey, total = job.survey, len(job.survey)
    shots = [frames for frames in job.colorist.project.ranges(total) if frames]
    segments, coverage = split_shots(shots, options.segment), Coverage(job.work, job.target.renderer)
    color_in_order(job.colorist, job.film, total, job.progress)
    while not _write(job, segments, coverage):
        color_in_order(job.colorist, job.film, total, job.progress)
    job.progress.stage("writing", None)
    check_unchanged(job.sources)
    joined = job.target.prepare(survey, segments)
    check_unchanged(job.sources)
    report = report_path(out) if options.report else None
    if report:
        write_report(job.work.report_file(), out.name, survey, coverage, segments, len(anchored))
    notes += [note for note in [*survey.notes, *joined.notes] if note not in notes]
    notes += [*flash_notes(job.colorist.flashes), *color_notes(survey, options.keep_colors)]
    return Result(out, joined.frames, len(shots), joined.copied, notes, survey.problems, report)


def survey_project(
    place: ProjectFolder, project: Project, film: Film, progress: Progress | None = None
) -> tuple[Survey, Project]:
    """The survey of a project's film, kept in its folder, and the project with the cuts that it found.

    Args:
        place: the project's folder.
        project: the project.
        film: its film; it decodes carefully afterwards where it is damaged.
        progress: is told the frames.

    Returns:
        Survey and project; the cuts of a project that was surveyed before stay as they are.

    Raises:
        FilmError: if not one frame decodes.
        Cancelled: if `progress` asks for it.
    """
    file, signature = place.kept / "survey.json", file_signature(film.path)
    survey = _read_survey(file, signature)
    if survey is None:
        before, content = _surveyed(file), _content(film.path)
        survey = survey_film(film, None, (), progress)
        if project.surveyed and before not in (None, content):
            survey.notes.append(CHANGED)
        write_atomically(file, json.dumps({"film": signature, "content": content, "survey": vars(survey)}))
    film.careful = bool(survey.problems)
    if not project.surveyed:
        project = project.with_cuts(survey.cuts)
        place.save(project)
    survey.cuts = [shot.start for shot in project.shots if 0 < shot.start < len(survey)]
    return survey, project


def color_in_order(colorist: Colorist, film: Film, total: int, progress: Progress) -> None:
    """Colour everything that is missing, shot by shot, decoding the film once and in order.

    Args:
        colorist: the network and the kept colours.
        film: the film.
        total: its number of frames.
        progress: is told the frames, and may cancel.

    Raises:
        FilmError: if the film gives fewer frames than before.
        Cancelled: if `progress` asks for it.
    """
    missing = sorted(colorist.missing(total), key=lambda stretch: stretch.frames.stop)
    if not missing:
        return
    progress.stage("colouring", sum(len(stretch.frames) for stretch in missing))
    scratch = colorist.folder.kept / f"lightness.{secrets.token_hex(4)}.growing"
    height, width = colorist.size
    try:
        # On disk, since a shot may be long; a hole where no frame is wanted takes no space.
        codes = np.memmap(scratch, np.uint16, "w+", shape=(total, 1, height, width))

        def lightness(index: int, *, backward: bool) -> UInt16[np.ndarray, "1 h w"]:  # noqa: ARG001
            return codes[index]

        first, frames_left = min(stretch.frames.start for stretch in missing), list(missing)
        sources = {colorist.source(flash) for flash in colorist.flashes}
        for frame in film.frames(colorist.source(first)):
            if frame.index in sources or any(frame.index in stretch.frames for stretch in frames_left):
                codes[frame.index] = colorist.see(film, frame)
            while frames_left and frames_left[0].frames.stop <= frame.index + 1:
                for _ in colorist.run(frames_left.pop(0), lightness):
                    advance(progress)
            if not frames_left:
                return
    finally:
        scratch.unlink(missing_ok=True)
    raise FilmError(
        f"film {film.path} gave fewer frames than when it was looked through, none from "
        f"{frames_left[0].frames.stop - 1} on; the file changed or its disk fails"
    )


class _ShotRenderer(Renderer):
    """Renders every frame in the look of its shot, and a frame that is a still in the still's own colours."""

    def __init__(self, film: Film, colorist: Colorist, total: int, *, keep_colors: bool) -> None:
        project = colorist.project
        ranges = list(zip(project.shots, project.ranges(total), strict=True))
        self.anchored: list[Reference] = [
            colorist.reference(still)
            for shot, frames in ranges
            for still in project.stills
            if not shot.grey and still.frame in frames and still.colors(frames)
        ]
        super().__init__(film, self.anchored, Look(), keep_colors=keep_colors)
        self._shots = {frames: shot.look for shot, frames in ranges}

    def _whole_ab(self, colored: ColoredFrame, guide: torch.Tensor) -> torch.Tensor:
        self._look = next(look for frames, look in self._shots.items() if colored.frame.index in frames)
        return super()._whole_ab(colored, guide)


def _write(job: _Job, segments: Sequence[range], coverage: Coverage) -> bool:
    """Render and encode what is missing; False where kept colours turn out not to be of these frames."""
    colorist, film, target, total = job.colorist, job.film, job.target, len(job.survey)
    todo = [segment for segment in segments if not target.has(segment)]
    job.progress.stage("rendering", total)
    job.progress.advance(total - sum(map(len, todo)))
    if not todo:
        return True
    stretches = colorist.stretches(total)
    lightness = SteadyLightness(film, colorist.size, colorist.flashes)
    frames = film.frames(lightness.first_needed(todo[0].start))
    try:
        for segment in todo:
            target.begin(segment)
            for frame in _only(frames, segment, lightness):
                own, steady = lightness.see(frame)
                seen = to_codes(own if steady is None else steady)
                parts = [stretch for stretch, _ in mixture(frame.index, stretches)]
                if stale := _stale(colorist, parts, frame.index, checksum(seen)):
                    for stretch in stale:
                        colorist.kept.drop(stretch)
                    coverage.drop()
                    return False
                colors = colorist.colors(frame.index, stretches) or _grey(colorist)
                low, instead = from_codes(to_codes(own)), None if steady is None else from_codes(seen)
                colored = ColoredFrame(frame, low, colors.ab, colors.confidence, steady=instead)
                target.add(colored)
                coverage.add(colored)
                advance(job.progress)
            coverage.keep(segment)
            target.finish()
    finally:
        target.abandon()
    return True


def _only(frames: Iterator[Frame], segment: range, lightness: SteadyLightness) -> Iterator[Frame]:
    """The frames of a segment, from an iterator that goes on behind it."""
    for frame in frames:
        if frame.index in segment:
            yield frame
        else:
            lightness.look(frame)
        if frame.index == segment.stop - 1:
            return
    raise FilmError(f"the film gave no frame {segment.stop - 1}; the file changed or its disk fails")


def _stale(colorist: Colorist, parts: Sequence[Stretch], index: int, seen: int) -> list[Stretch]:
    stale = []
    for stretch in parts:
        colors = colorist.kept.get(stretch)
        if colors is None or colors.seen(index) != seen:
            stale.append(stretch)
    return stale


def _grey(colorist: Colorist) -> FrameColors:
    height, width = colorist.size
    return FrameColors(torch.zeros(2, height, width), torch.zeros(1, height, width))


def _signature(colorist: Colorist, options: ColorizeOptions, encoding: str, total: int) -> dict[str, str]:
    project = colorist.project
    return {
        "kind": _KIND,
        "input": file_signature(project.film),
        "shots": json.dumps([asdict(shot) for shot in project.shots]),
        "stretches": " ".join(colorist.kept.name(stretch) for stretch in colorist.stretches(total)),
        "encoding": f"{encoding} {options.segment} {options.rate}",
        "colour": f"{options.keep_colors}",
    }


def _surveyed(file: Path) -> str | None:
    """Content of the film that a kept survey is of; None where there is none."""
    try:
        return str(json.loads(file.read_text(encoding="utf-8"))["content"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def _content(film: Path) -> str:
    """What a film is, wherever it lies and whenever it was copied there."""
    if not film.is_dir():
        return file_signature(film).split()[-1]
    return str(sorted((file.name, file.stat().st_size) for file in film.iterdir() if file.is_file()))


def _read_survey(file: Path, signature: str) -> Survey | None:
    try:
        kept = json.loads(file.read_text(encoding="utf-8"))
        return Survey(**kept["survey"]) if kept["film"] == signature else None
    except (OSError, ValueError, TypeError, KeyError):
        return None
