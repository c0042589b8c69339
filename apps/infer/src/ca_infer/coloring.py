"""Colourising one film: checks first, then a survey, then the network, then the finished file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

from ca_infer.backward import Backward, backward_windows
from ca_infer.coverage import Coverage
from ca_infer.encoding import VIDEO_SUFFIXES, Encoding, choose_encoding
from ca_infer.errors import InferError
from ca_infer.film import Film, Survey
from ca_infer.mux import rehearse
from ca_infer.options import ColorizeOptions, Tell
from ca_infer.outputs import FolderOutput, Output, VideoOutput
from ca_infer.partial import PartialWork, file_signature
from ca_infer.references import Reference
from ca_infer.rendering import Renderer
from ca_infer.report import write_report
from ca_infer.runs import plan_runs, run_network
from ca_infer.session import Session, open_session
from ca_infer.shots import split_shots

__all__ = ["Result", "choose_output", "colorize"]

_KIND = "ca-infer 1"


@dataclass
class Result:
    """What came of it.

    Args:
        out: where the film lies.
        pictures: how many.
        shots: how many.
        copied: streams that came along.
        notes: what the user should know.
        problems: what of the source could not be decoded.
        report: where the coverage report lies, None without one.
    """

    out: Path
    pictures: int
    shots: int
    copied: list[str]
    notes: list[str]
    problems: list[str]
    report: Path | None = None


def colorize(source: Path, out: Path, options: ColorizeOptions, tell: Tell | None = None) -> Result:
    """Colourise a film.

    Args:
        source: a video file or a folder of frames.
        out: a video file, or a folder for PNG files when it has no suffix or the source is a folder.
        options: how.
        tell: hears how far the work is.

    Returns:
        What came of it.

    Raises:
        InferError: if anything about input, references, weights, options or output is wrong; no output file
            exists then.
    """
    tell = tell or Tell()
    to_video = out.suffix.lower() in VIDEO_SUFFIXES
    _check_paths(source, out, options, to_video)
    session = open_session(source, options)
    film = session.film
    encoding = choose_output(film, out, options)
    notes = list(encoding.notes) if encoding else []
    made_parent = _writable_parent(out)
    try:
        if encoding:
            scratch = out.with_name(f".{out.stem}.rehearsal{out.suffix.lower()}")
            video = film.path if film.path.is_file() else None
            notes += rehearse(scratch, video, film.format, encoding, options.streams).notes
    except InferError:
        if made_parent:
            shutil.rmtree(out.parent, ignore_errors=True)
        raise
    work = _partial_work(session, out, options, encoding, tell)
    survey = _survey(session, options, work, tell)
    output = _output(session, encoding, work, options)
    segments = split_shots(survey.shots, options.segment)
    coverage = _paint(session, survey, segments, output, work, tell)
    tell.stage("writing", None)
    joined = output.publish(out, survey, segments)
    report = None
    if options.report:
        report = out.with_name(out.name + ".coverage.html")
        write_report(report, out, survey, coverage.grids(segments), session.references)
    work.remove()
    notes += [note for note in [*survey.notes, *joined.notes] if note not in notes]
    notes += _dated_notes(session.references, survey)
    return Result(out, joined.pictures, len(survey.shots), joined.copied, notes, survey.problems, report)


def _output(
    session: Session, encoding: Encoding | None, work: PartialWork, options: ColorizeOptions
) -> Output:
    renderer = Renderer(session.film, session.references, options.look)
    if encoding:
        return VideoOutput(session.film, renderer, encoding, work.folder, options.streams)
    return FolderOutput(session.film, renderer, work.folder, options.png_depth)


def _check_paths(source: Path, out: Path, options: ColorizeOptions, to_video: bool) -> None:
    if not source.exists():
        raise InferError(f"film {source} does not exist; check the path")
    same = [
        path for path in (source, *options.references) if path.exists() and path.resolve() == out.resolve()
    ]
    if same:
        raise InferError(
            f"output {out} is also an input, which it would destroy; choose another name with -o"
        )
    if not to_video and out.suffix and not (source.is_dir() or out.is_dir()):
        raise InferError(
            f"output {out} has an unknown ending '{out.suffix}', expected {', '.join(VIDEO_SUFFIXES)} "
            "or a name without ending for a folder of PNG files"
        )
    if to_video and out.is_dir():
        raise InferError(f"output {out} is a folder, expected a file name; choose another name with -o")
    if not to_video and out.is_file():
        raise InferError(
            f"output {out} is a file, expected a folder for PNG files; choose another name with -o"
        )
    taken = out.exists() and (out.is_file() or any(out.iterdir()))
    if taken and not options.overwrite:
        raise InferError(f"output {out} exists; choose another name with -o, or add --overwrite")


def _writable_parent(out: Path) -> bool:
    """Make the output's folder; says whether it was missing."""
    missing = not out.parent.exists()
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InferError(
            f"output folder {out.parent} cannot be made ({error.strerror}); choose another place"
        ) from error
    return missing


def choose_output(film: Film, out: Path, options: ColorizeOptions) -> Encoding | None:
    """How the output is stored; None for a folder of PNG files.

    Raises:
        InferError: if codec, pixel format and container do not go together.
    """
    if out.suffix.lower() not in VIDEO_SUFFIXES:
        return None
    codec = getattr(film, "codec", "")
    first = next(iter(film.pictures()))
    return choose_encoding(
        film.format,
        out,
        source_codec=codec,
        codec=options.codec,
        crf=options.crf,
        pixel_format=options.pixel_format,
        first=first,
    )


def _partial_work(
    session: Session, out: Path, options: ColorizeOptions, encoding: Encoding | None, tell: Tell
) -> PartialWork:
    signature = {
        "kind": _KIND,
        "input": file_signature(session.film.path),
        "references": " ".join(f"{reference.digest}:{reference.frame}" for reference in session.references),
        "weights": session.loaded.digest,
        "size": str(options.size),
        "colour": str(options.look),
        "encoding": f"{encoding} {options.png_depth}",
        "shots": f"{options.find_cuts} {options.cuts} {options.segment} {options.rate}",
    }
    try:
        work = PartialWork(out, signature, restart=options.restart)
    except OSError as error:
        raise InferError(
            f"output folder {out.parent} cannot be written to ({error.strerror}); choose another place"
        ) from error
    if work.started_afresh:
        tell.note(f"starting afresh: {work.started_afresh} changed since the unfinished work was made")
    return work


def _survey(session: Session, options: ColorizeOptions, work: PartialWork, tell: Tell) -> Survey:
    survey = work.survey()
    if survey is None:
        tell.stage("looking through the film", None)
        survey = options.survey(session.film, session.references)
        work.keep_survey(survey)
    session.film.follow(survey)
    session.date_references(survey)
    return survey


def _paint(
    session: Session,
    survey: Survey,
    segments: Sequence[range],
    output: Output,
    work: PartialWork,
    tell: Tell,
) -> Coverage:
    """Decode, run the network, and make and encode pictures, each in its own thread, segment by segment."""
    painter, coverage = session.painter, Coverage(work.folder)
    dated = session.known_colors()
    backward = Backward(work.folder, backward_windows(survey.shots, list(dated)))
    backward.prepare(session, tell)
    todo = {segment.start: segment for segment in segments if not output.has(segment)}
    tell.stage("colouring", len(survey))
    tell.advance(len(survey) - sum(len(segment) for segment in todo.values()))
    runs = plan_runs(survey.shots, list(todo.values()), painter.lookback, work, dated)
    segment: range | None = None
    try:
        with closing(run_network(session.film, runs, painter, session.network_size)) as pictures:
            for item, prediction in pictures:
                index = item.picture.index
                if index in todo:
                    segment = todo[index]
                    output.begin(segment)
                if segment is None or index not in segment:
                    continue
                blended = replace(prediction, ab=backward.blend(index, prediction.ab))
                output.add(item.picture, blended, item.low)
                coverage.add(prediction.confidence)
                tell.advance()
                if index == segment.stop - 1:
                    if prediction.state is not None:
                        work.keep_state(segment.stop, prediction.state)
                    coverage.keep(segment)
                    output.finish()
                    del todo[segment.start]
                    segment = None
    finally:
        output.abandon()
    if todo:
        raise InferError(
            f"film {session.film.path} gave fewer pictures than when it was looked through, none from "
            f"{min(todo)} on; the file changed or its disk fails: run again with --restart"
        )
    return coverage


def _dated_notes(references: Sequence[Reference], survey: Survey) -> list[str]:
    notes = []
    for reference in references:
        if reference.frame is not None and reference.frame >= len(survey):
            notes.append(
                f"reference {reference.path.name} names frame {reference.frame}, but the film has {len(survey)}"
            )
        elif reference.digest in survey.dates:
            notes.append(
                f"reference {reference.path.name} is frame {reference.frame} of the film, by its picture"
            )
    return notes
