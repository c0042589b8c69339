"""Colourising one film: checks first, then a survey, then the network, then the finished file."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from ca_film.errors import FilmError
from ca_film.network.backward import backward_windows, paint_backward
from ca_film.network.runs import plan_runs, run_network
from ca_film.options import ColorizeOptions
from ca_film.output.blending import BackwardColors
from ca_film.output.coverage import Coverage, write_report
from ca_film.output.encoding import VIDEO_SUFFIXES, Encoding, choose_encoding
from ca_film.output.mux import rehearse
from ca_film.output.rendering import Renderer
from ca_film.output.segments import split_shots
from ca_film.output.targets import FolderTarget, Target, VideoTarget
from ca_film.output.work import WorkFolder, file_signature
from ca_film.progress import Progress, advance
from ca_film.session import Session, open_session
from ca_film.source.film import Film
from ca_film.source.references import Reference
from ca_film.source.survey import Survey

__all__ = ["Result", "choose_output", "colorize"]

_KIND = "ca-film 1"


@dataclass
class Result:
    """A coloured film.

    Args:
        out: where it lies.
        frames: how many.
        shots: how many.
        copied: streams that were copied.
        notes: what the user should know.
        problems: what of the source could not be decoded.
        report: where the coverage report lies, None without one.
    """

    out: Path
    frames: int
    shots: int
    copied: list[str]
    notes: list[str]
    problems: list[str]
    report: Path | None = None


def colorize(
    source: str | Path, out: str | Path, options: ColorizeOptions, progress: Progress | None = None
) -> Result:
    """Colourise a film.

    Args:
        source: a video file or a folder of frames.
        out: a video file, or a folder for PNG files when it has no suffix or the source is a folder.
        options: how.
        progress: is told how far the work is, and may cancel it.

    Returns:
        The result.

    Raises:
        FilmError: if anything about input, references, weights, options or output is wrong; no output file
            exists then.
        Cancelled: if `progress` asks for it; finished work is kept beside `out`, and the same call goes on from it.
    """
    source, out, progress = Path(source), Path(out), progress or Progress()
    _check_paths(source, out, options)
    session = open_session(source, options)
    encoding = choose_output(session.film, out, options)
    notes = list(encoding.notes) if encoding else []
    with _made_parent(out):
        if encoding:
            scratch = out.with_name(f".{out.stem}.rehearsal{out.suffix.lower()}")
            notes += rehearse(scratch, session.film, encoding, options.streams).notes
    with _open_work(session, out, options, encoding, progress) as work:
        survey = _survey(session, options, work, progress)
        target = _target(session, encoding, work, options)
        segments = split_shots(survey.shots, options.segment)
        coverage = _paint(session, survey, segments, target, work, progress)
        progress.stage("writing", None)
        joined = target.publish(out, survey, segments)
        report = None
        if options.report:
            report = out.with_name(out.name + ".coverage.html")
            write_report(report, out, survey, coverage.grids(segments), session.references)
        work.remove()
    notes += [note for note in [*survey.notes, *joined.notes] if note not in notes]
    notes += _anchor_notes(session.references, survey)
    return Result(out, joined.frames, len(survey.shots), joined.copied, notes, survey.problems, report)


def choose_output(film: Film, out: Path, options: ColorizeOptions) -> Encoding | None:
    """How the output is stored; None for a folder of PNG files.

    Raises:
        FilmError: if codec, pixel format and container do not go together.
    """
    if out.suffix.lower() not in VIDEO_SUFFIXES:
        return None
    return choose_encoding(
        film.format,
        out,
        codec=options.codec,
        crf=options.crf,
        pixel_format=options.pixel_format,
        first=next(iter(film.frames())),
    )


def _check_paths(source: Path, out: Path, options: ColorizeOptions) -> None:
    to_video = out.suffix.lower() in VIDEO_SUFFIXES
    if not source.exists():
        raise FilmError(f"film {source} does not exist; check the path")
    if any(path.exists() and path.resolve() == out.resolve() for path in (source, *options.stills)):
        raise FilmError(f"output {out} is also an input, which it would destroy; choose another name with -o")
    if not to_video and out.suffix and not (source.is_dir() or out.is_dir()):
        raise FilmError(
            f"output {out} has an unknown ending '{out.suffix}', expected {', '.join(VIDEO_SUFFIXES)} "
            "or a name without ending for a folder of PNG files"
        )
    if to_video and out.is_dir():
        raise FilmError(f"output {out} is a folder, expected a file name; choose another name with -o")
    if not to_video and out.is_file():
        raise FilmError(
            f"output {out} is a file, expected a folder for PNG files; choose another name with -o"
        )
    taken = out.exists() and (out.is_file() or any(out.iterdir()))
    if taken and not options.overwrite:
        raise FilmError(f"output {out} exists; choose another name with -o, or add --overwrite")


@contextmanager
def _made_parent(out: Path) -> Iterator[None]:
    """Make the output's folder, and take it away again where what follows fails."""
    missing = not out.parent.exists()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FilmError(
            f"output folder {out.parent} cannot be made ({error.strerror}); choose another place"
        ) from error
    try:
        yield
    except FilmError:
        if missing:
            shutil.rmtree(out.parent, ignore_errors=True)
        raise


def _open_work(
    session: Session, out: Path, options: ColorizeOptions, encoding: Encoding | None, progress: Progress
) -> WorkFolder:
    cuts = None if options.cuts is None else tuple(options.cuts)
    signature = {
        "kind": _KIND,
        "input": file_signature(session.film.path),
        "references": " ".join(f"{reference.digest}:{reference.frame}" for reference in session.references),
        "weights": session.loaded.digest,
        "size": str(options.size),
        "colour": str(options.look),
        "encoding": f"{encoding} {options.png_depth}",
        "shots": f"{cuts} {options.segment} {options.rate}",
    }
    try:
        work = WorkFolder(out, signature, restart=options.restart)
    except OSError as error:
        raise FilmError(
            f"output folder {out.parent} cannot be written to ({error.strerror}); choose another place"
        ) from error
    if work.started_afresh:
        progress.note(f"starting afresh: {work.started_afresh} changed since the unfinished work was made")
    return work


def _survey(session: Session, options: ColorizeOptions, work: WorkFolder, progress: Progress) -> Survey:
    survey = work.survey()
    if survey is None:
        survey = session.survey(options.cuts, progress)
        work.keep_survey(survey)
    else:
        session.adopt(survey)
    return survey


def _target(
    session: Session, encoding: Encoding | None, work: WorkFolder, options: ColorizeOptions
) -> Target:
    renderer = Renderer(session.film, session.references, options.look)
    if encoding:
        return VideoTarget(session.film, renderer, encoding, work, options.streams)
    return FolderTarget(session.film, renderer, work, options.png_depth)


def _paint(
    session: Session,
    survey: Survey,
    segments: Sequence[range],
    target: Target,
    work: WorkFolder,
    progress: Progress,
) -> Coverage:
    """Decode, run the network, and render and encode, each in its own thread, segment by segment."""
    film, painter, size = session.film, session.painter, session.network_size
    known, coverage = session.known_colors(), Coverage(work)
    backward = BackwardColors(work, backward_windows(survey.shots, list(known)))
    if missing := backward.missing():
        progress.stage("colouring backward", sum(map(len, missing)))
        for window, ab in paint_backward(film, missing, painter, size, known, progress):
            backward.keep(window, ab)
    todo = {segment.start: segment for segment in segments if not target.has(segment)}
    progress.stage("colouring", len(survey))
    progress.advance(len(survey) - sum(len(segment) for segment in todo.values()))
    runs = plan_runs(survey.shots, list(todo.values()), painter.lookback, work.state, known)
    segment: range | None = None
    try:
        with closing(run_network(film, runs, painter, size)) as frames:
            for colored in frames:
                index = colored.frame.index
                if index in todo:
                    segment = todo[index]
                    target.begin(segment)
                if segment is None or index not in segment:
                    continue
                target.add(replace(colored, ab=backward.blend(index, colored.ab)))
                coverage.add(colored.confidence)
                if index == segment.stop - 1:
                    if colored.state is not None:
                        work.keep_state(segment.stop, colored.state)
                    coverage.keep(segment)
                    target.finish()
                    del todo[segment.start]
                    segment = None
                advance(progress)
    finally:
        target.abandon()
    if todo:
        raise FilmError(
            f"film {film.path} gave fewer frames than when it was looked through, none from "
            f"{min(todo)} on; the file changed or its disk fails: run again with --restart"
        )
    return coverage


def _anchor_notes(references: Sequence[Reference], survey: Survey) -> list[str]:
    notes = []
    for reference in references:
        if reference.frame is not None and reference.frame >= len(survey):
            notes.append(
                f"reference {reference.path.name} names frame {reference.frame}, but the film has {len(survey)}"
            )
        elif reference.digest in survey.anchors:
            notes.append(
                f"reference {reference.path.name} is frame {reference.frame} of the film, by its picture"
            )
    return notes
