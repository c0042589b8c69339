"""Colourising one film: checks first, then a survey, then the network, then the finished file."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ca_model import backward_windows

from ca_film.errors import FilmError, writing
from ca_film.network.backward import paint_backward
from ca_film.network.runs import plan_runs, run_network
from ca_film.network.selection import Selection
from ca_film.options import ColorizeOptions
from ca_film.output.blending import BackwardColors
from ca_film.output.coverage import Coverage, is_report, write_report
from ca_film.output.encoding import VIDEO_SUFFIXES, Encoding, choose_encoding
from ca_film.output.rendering import Renderer
from ca_film.output.renewal import check_range
from ca_film.output.segments import cut_shots, split_shots
from ca_film.output.targets import PICTURE_SUFFIXES, FolderTarget, PictureTarget, Target, VideoTarget
from ca_film.output.work import WorkFolder, file_signature, publishing, remove_remains
from ca_film.progress import Progress, advance
from ca_film.session import Session, open_session
from ca_film.source.film import Film
from ca_film.source.reference_list import expand_lists
from ca_film.source.references import Reference
from ca_film.source.scans import FRAME_SUFFIXES
from ca_film.source.survey import Survey

__all__ = [
    "Result",
    "backward_colors",
    "check_paths",
    "check_stills",
    "check_taken",
    "check_unchanged",
    "choose_output",
    "color_notes",
    "colorize",
    "flash_notes",
    "look_through",
    "made_parent",
    "paint_parts",
    "paint_windows",
    "publish",
    "rehearse",
    "report_path",
    "signature_of",
    "signatures",
    "target_of",
    "whole_parts",
]

_KIND = "ca-film 3"
_LISTED = 10
_COLORFUL = 0.001
_LONGEST_NAME = 200  # of 255 bytes; the rest is for .partial, .coverage.html and temporary names


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
    taken = check_paths(source, out, options)
    session = open_session(source, options)
    check_stills(session, out)
    encoding = choose_output(session.film, out, options)
    signature = signature_of(session, options, encoding, out)
    if taken and options.again is None:
        check_taken(out, options, signature)
    with writing(out), made_parent(out), _open_work(out, signature, options, progress) as work:
        target = target_of(session, encoding, work, out, options)
        return publish(
            out, work, target, lambda: _make(session, options, encoding, work, target, out, progress)
        )


def check_taken(out: Path, options: ColorizeOptions, signature: Mapping[str, str]) -> None:
    """Refuse an output that is there already, unless it may be replaced or a killed run of the same work put it there.

    Raises:
        FilmError: if it has to stay.
    """
    if not options.overwrite and publishing(out, signature) is None:
        raise _exists(out)


def publish(out: Path, work: WorkFolder, target: Target, make: Callable[[], Result]) -> Result:
    """Make an output in its work folder and give it its name; or finish what a run did that was killed at the end.

    Args:
        out: the output.
        work: its work folder; removed.
        target: where the frames go.
        make: makes everything but the name.

    Returns:
        The result.
    """
    result = _published(work, out)
    if result is None:
        result = make()
        work.begin_publishing(_noted(result, target.made))
        target.publish(out)
    if work.report_file().is_file():
        work.report_file().replace(report_path(out))
    work.remove()
    return result


def _make(
    session: Session,
    options: ColorizeOptions,
    encoding: Encoding | None,
    work: WorkFolder,
    target: Target,
    out: Path,
    progress: Progress,
) -> Result:
    """Make everything but the output's name, inside the work folder."""
    sources = signatures([session.film.path, *_still_files(session)])
    notes = [*(encoding.notes if encoding else []), *rehearse(target, work)]
    survey = _survey(session, options, work, progress)
    parts = whole_parts(session, survey, options)
    segments = split_shots(parts, options.segment)
    if options.again is not None:
        with _leaving_nothing(work):
            check_range(options.again, len(survey))
            segments, again = target.take_over(out, survey, segments, options.again)
        notes.append(_again_note(options.again, again, out))
    _select(session, survey, options, work, progress)
    coverage = _paint(session, survey, parts, segments, target, work, progress)
    progress.stage("writing", None)
    check_unchanged(sources)
    joined = target.prepare(survey, segments)
    check_unchanged(sources)
    report = report_path(out) if options.report and options.again is None else None
    if report and not work.report_file().is_file():
        write_report(work.report_file(), out.name, survey, coverage, segments, len(session.references))
    notes += [note for note in [*survey.notes, *joined.notes] if note not in notes]
    notes += _reference_notes(session, survey)
    notes += [*flash_notes(survey.flashes), *color_notes(survey, options.keep_colors)]
    if work.damaged:
        notes.append(f"{len(work.damaged)} files of the kept work were damaged and made again")
    return Result(out, joined.frames, len(survey.shots), joined.copied, notes, survey.problems, report)


def rehearse(target: Target, work: WorkFolder) -> list[str]:
    """Try before the work what will be done after it; a work folder that was made for it goes where that fails."""
    with _leaving_nothing(work):
        return target.rehearse()


def _again_note(wanted: range, made: range, out: Path) -> str:
    whole = (
        f"frames {made.start} to {made.stop - 1} are made again, all others are those of before, bit by bit"
    )
    if wanted != made:
        whole += "; a video's frames are encoded in segments, which end at cuts (`segment`)"
    return whole + ("; the coverage report is that of before" if report_path(out).is_file() else "")


@contextmanager
def _leaving_nothing(work: WorkFolder) -> Iterator[None]:
    """Remove a new work folder where what is tried is refused."""
    try:
        yield
    except FilmError:
        if work.is_new:
            work.remove()
        raise


def _noted(result: Result, made: Path) -> dict[str, Any]:
    """A result as the work folder keeps it, and what the file that is renamed is known by."""
    fields = vars(result) | {"out": str(result.out), "report": result.report and str(result.report)}
    return {"result": fields, "made": _identity(made)}


def _published(work: WorkFolder, out: Path) -> Result | None:
    """The result of a run that was killed after it gave the output its name; None where there is more to do."""
    noted = work.publishing()
    if noted is None or not out.exists() or noted["made"] != _identity(out):
        return None
    fields = dict(noted["result"])
    report = fields["report"]
    return Result(**{**fields, "out": Path(fields["out"]), "report": Path(report) if report else None})


def _identity(path: Path) -> list[int]:
    """What a file or folder keeps when it is renamed."""
    stat = path.stat()
    return [stat.st_dev, stat.st_ino, 0 if path.is_dir() else stat.st_size]


def report_path(out: Path) -> Path:
    """Where an output's coverage report lies."""
    return out.with_name(out.name + ".coverage.html")


def _still_files(session: Session) -> list[Path]:
    return [reference.path for reference in session.references]


def signatures(paths: Iterable[Path]) -> dict[Path, str]:
    """Of every file that the work depends on, what changes when it does."""
    return {path: file_signature(path) for path in paths}


def check_unchanged(sources: Mapping[Path, str]) -> None:
    """Make sure that film and stills are still what they were.

    Raises:
        FilmError: naming the file that is not.
    """
    for path, before in sources.items():
        try:
            same = file_signature(path) == before
        except OSError:
            same = False
        if not same:
            raise FilmError(
                f"{path} changed, or went away, while the film was coloured; restore it or run again with what is there"
            )


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


def check_paths(source: Path, out: Path, options: ColorizeOptions) -> bool:
    """Refuse paths that cannot work, before anything is opened.

    Returns:
        Whether something has the output's name: allowed with `overwrite`, and where a killed run may have put it there.

    Raises:
        FilmError: one line for the first that is wrong.
    """
    to_video = out.suffix.lower() in VIDEO_SUFFIXES
    _check_name(out)
    if not source.exists():
        raise FilmError(f"film {source} does not exist; check the path")
    stills, _ = expand_lists(options.stills, ())
    if any(path.exists() and path.resolve() == out.resolve() for path in (source, *stills)):
        raise FilmError(
            f"output {out} is also an input, which it would destroy; choose another name with `out`"
        )
    to_file = to_video or _is_picture(source, out)
    if not to_file and out.suffix and not (source.is_dir() or out.is_dir()):
        raise FilmError(
            f"output {out} has an unknown ending '{out.suffix}', expected {', '.join(VIDEO_SUFFIXES)} "
            "or a name without ending for a folder of PNG files"
        )
    if to_video and out.is_dir():
        raise FilmError(f"output {out} is a folder, expected a file name; choose another name with `out`")
    if not to_file and out.is_file():
        raise FilmError(
            f"output {out} is a file, expected a folder for PNG files; choose another name with `out`"
        )
    if out.exists() and not (out.is_file() or out.is_dir()):
        raise FilmError(f"output {out} is no regular file; choose another name with `out`")
    taken = os.path.lexists(out) and (not out.is_dir() or any(out.iterdir()))
    if options.again is not None:
        _check_earlier(out, taken=taken, picture=_is_picture(source, out))
    elif taken and not options.overwrite and publishing(out) is None:
        raise _exists(out)
    report = report_path(out)
    if options.report and os.path.lexists(report) and not options.overwrite and not is_report(report):
        raise FilmError(
            f"report {report} is there and not of ColorAlign; rename it, or add `overwrite=True` or `report=False`"
        )
    return taken


def _check_earlier(out: Path, *, taken: bool, picture: bool) -> None:
    if picture:
        raise FilmError("`again` is for films, and this is one picture; leave it out")
    if not taken:
        raise FilmError(
            f"`again` colours frames of an output again, but {out} is not there; colour the whole film first"
        )


def _is_picture(source: Path, out: Path) -> bool:
    """Whether one picture becomes one picture."""
    is_one = source.suffix.lower() in FRAME_SUFFIXES and not source.is_dir()
    return is_one and out.suffix.lower() in PICTURE_SUFFIXES and not out.is_dir()


def _check_name(out: Path) -> None:
    try:
        length = len(str(out.name).encode())
        str(out.absolute()).encode()
    except UnicodeEncodeError:
        raise FilmError(
            f"output {str(out).encode(errors='replace').decode()}: the name is not UTF-8; "
            "choose another name with `out`"
        ) from None
    if length > _LONGEST_NAME:
        raise FilmError(
            f"output {out.name[:40]}...: the name has {length} bytes, expected {_LONGEST_NAME} at most, since names of "
            "kept work are made of it; choose another name with `out`"
        )


def _exists(out: Path) -> FilmError:
    remove_remains(out)
    return FilmError(f"output {out} exists; choose another name with `out`, or add `overwrite=True`")


def check_stills(session: Session, out: Path) -> None:
    """Refuse an output folder in which a frame would replace a still.

    Raises:
        FilmError: naming the still.
    """
    for path in _still_files(session):
        if path.resolve().parent == out.resolve():
            raise FilmError(
                f"still {path} lies in the output folder {out}, where a frame could replace it; "
                "choose another name with `out`"
            )


@contextmanager
def made_parent(out: Path) -> Iterator[None]:
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


def signature_of(
    session: Session, options: ColorizeOptions, encoding: Encoding | None, out: Path
) -> dict[str, str]:
    """Everything that the kept work depends on."""
    part = f"{options.start} {options.end}" if options.is_piece else ""
    if options.again is not None:
        part = f"{options.again} of {file_signature(out)}"
    cuts = None if options.cuts is None else tuple(options.cuts)
    return {
        "kind": _KIND,
        "input": file_signature(session.film.path),
        "references": f"{options.references_per_shot} "
        + " ".join(f"{ref.digest}:{ref.frame}:{_bound(ref)}" for ref in session.references),
        "weights": session.loaded.digest,
        "size": str(options.size),
        "colour": f"{options.look} {options.keep_colors}",
        "encoding": f"{encoding} {options.png_depth} {options.frames}",
        "shots": f"{cuts} {options.segment} {options.rate}"
        + (" cut at stills" if options.cut_at_stills else ""),
        "part": part,
    }


def _open_work(
    out: Path, signature: dict[str, str], options: ColorizeOptions, progress: Progress
) -> WorkFolder:
    work = WorkFolder(out, signature, restart=options.restart)
    if work.started_afresh:
        progress.note(f"starting afresh: {work.started_afresh} changed since the unfinished work was made")
    return work


def look_through(
    session: Session,
    options: ColorizeOptions,
    work: WorkFolder,
    progress: Progress,
    *,
    checked: bool = False,
) -> Survey:
    """Survey a film and choose its references, or take over what an earlier run found.

    Args:
        session: adopts both.
        options: of the job.
        work: keeps both.
        progress: is told the frames.
        checked: whether to note checksums of the frames, by which others may seek in the film.

    Returns:
        The survey.
    """
    survey = _survey(session, options, work, progress, checked=checked)
    _select(session, survey, options, work, progress)
    return survey


def _survey(
    session: Session,
    options: ColorizeOptions,
    work: WorkFolder,
    progress: Progress,
    *,
    checked: bool = False,
) -> Survey:
    survey = work.survey()
    if survey is None:
        survey = session.survey(options.cuts, progress, checked=checked)
        work.keep_survey(survey)
    else:
        session.adopt(survey)
    return survey


def whole_parts(session: Session, survey: Survey, options: ColorizeOptions) -> list[range]:
    """The parts of a film that do not depend on each other: its shots, cut at stills where the options say so."""
    if not options.cut_at_stills:
        return survey.shots
    whole = sorted(ref.frame for ref in session.references if ref.frame is not None and ref.opaque == 1)
    return cut_shots(survey.shots, whole, options.segment)


def _select(
    session: Session, survey: Survey, options: ColorizeOptions, work: WorkFolder, progress: Progress
) -> None:
    kept = work.selection()
    if kept is None:
        session.select(survey, options.references_per_shot, progress)
        work.keep_selection(session.selection.stretches)
    else:
        session.selection = Selection(kept)


def _bound(reference: Reference) -> str:
    binding = reference.binding
    return "" if binding is None else f"{binding.shots}{binding.frames}"


def target_of(
    session: Session, encoding: Encoding | None, work: WorkFolder, out: Path, options: ColorizeOptions
) -> Target:
    """Where the coloured frames go."""
    renderer = Renderer(session.film, session.references, options.look, keep_colors=options.keep_colors)
    if encoding:
        return VideoTarget(session.film, renderer, encoding, work, options.streams)
    if _is_picture(session.film.path, out):
        kind = PICTURE_SUFFIXES[out.suffix.lower()]
        return PictureTarget(session.film, renderer, work, options.png_depth, None, kind)
    moved = out if work.publishing() is not None else None
    return FolderTarget(session.film, renderer, work, options.png_depth, moved, options.frames)


def _paint(
    session: Session,
    survey: Survey,
    parts: Sequence[range],
    segments: Sequence[range],
    target: Target,
    work: WorkFolder,
    progress: Progress,
) -> Coverage:
    """Colour what is not kept yet of a film: first against time, then all of it."""
    backward = backward_colors(session, survey, work)
    todo = [segment for segment in segments if not target.has(segment)]
    if missing := [window for window in backward.missing() if _meets(window, todo)]:
        progress.stage("colouring backward", sum(map(len, missing)))
        paint_windows(session, survey, backward, missing, progress)
    progress.stage("colouring", len(survey))
    progress.advance(len(survey) - sum(map(len, todo)))
    return paint_parts(session, survey, parts, segments, target, backward, work, progress)


def backward_colors(session: Session, survey: Survey, work: WorkFolder) -> BackwardColors:
    """The passes against time of a film."""
    return BackwardColors(work, backward_windows(survey.shots, list(session.known_colors())))


def paint_windows(
    session: Session, survey: Survey, backward: BackwardColors, windows: Sequence[range], progress: Progress
) -> None:
    """Colour stretches against time, and keep them."""
    film, painter, size, known = session.film, session.painter, session.network_size, session.known_colors()
    for window, colors in paint_backward(film, windows, painter, size, known, progress, survey.flashes):
        backward.keep(window, colors)


def paint_parts(
    session: Session,
    survey: Survey,
    parts: Sequence[range],
    segments: Sequence[range],
    target: Target,
    backward: BackwardColors,
    work: WorkFolder,
    progress: Progress,
) -> Coverage:
    """Decode, run the network, and render and encode, each in its own thread, segment by segment.

    Args:
        session: the film and the network.
        survey: of the film.
        parts: stretches that do not depend on each other.
        segments: of these parts; those that are kept are not made again.
        target: takes the frames.
        backward: the passes against time that reach into the parts, all kept.
        work: keeps coverage and states.
        progress: is told the frames.

    Returns:
        The coverage.

    Raises:
        FilmError: if the film has fewer frames than its survey.
    """
    film, painter, size, flashes = session.film, session.painter, session.network_size, survey.flashes
    coverage = Coverage(work, target.renderer)
    todo = {segment.start: segment for segment in segments if not target.has(segment)}
    runs = plan_runs(parts, list(todo.values()), painter.lookback, work.state, session.known_colors())
    segment: range | None = None
    try:
        with closing(run_network(film, runs, painter, size, flashes)) as frames:
            for colored in frames:
                index = colored.frame.index
                if index in todo:
                    segment = todo[index]
                    target.begin(segment)
                if segment is None or index not in segment:
                    continue
                colored = replace(colored, ab=backward.blend(colored))
                target.add(colored)
                coverage.add(colored)
                if index == segment.stop - 1:
                    if colored.state is not None:
                        work.keep_state(segment.stop, colored.state, range(parts[0].start, parts[-1].stop))
                    coverage.keep(segment)
                    target.finish()
                    del todo[segment.start]
                    segment = None
                advance(progress)
                if not todo:
                    break
    finally:
        target.abandon()
    if todo:
        raise FilmError(
            f"film {film.path} gave fewer frames than when it was looked through, none from "
            f"{min(todo)} on; the file changed or its disk fails: run again with `restart=True`"
        )
    return coverage


def _meets(window: range, segments: Iterable[range]) -> bool:
    return any(window.start < one.stop and one.start < window.stop for one in segments)


def flash_notes(flashes: Sequence[int]) -> list[str]:
    """What becomes of flashes, if there are any."""
    if not flashes:
        return []
    listed = ", ".join(map(str, flashes[:_LISTED])) + (" ..." if len(flashes) > _LISTED else "")
    return [f"frames far lighter or darker than both neighbours get the neighbours' colours: {listed}"]


def color_notes(survey: Survey, keep: bool) -> list[str]:
    """What becomes of colours that the film has, if it has any."""
    if survey.colorful < _COLORFUL:
        return []
    fate = "they are kept" if keep else "they are replaced; `keep_colors=True` keeps them"
    return [f"the film has colours of its own (in up to {survey.colorful:.1%} of a frame): {fate}"]


def _reference_notes(session: Session, survey: Survey) -> list[str]:
    notes, shots = list(session.notes), survey.shots
    for reference in session.references:
        name = reference.path.name
        if reference.opaque < 1:
            notes.append(f"reference {name} has alpha: only the {reference.opaque:.0%} that is opaque counts")
        numbers = () if reference.binding is None else reference.binding.shots
        if beyond := [number for number in numbers if number > len(shots)]:
            notes.append(f"reference {name} is bound to shot {beyond[0]}, but the film has {len(shots)}")
        if reference.frame is not None and reference.frame >= len(survey):
            notes.append(f"reference {name} names frame {reference.frame}, but the film has {len(survey)}")
        elif reference.digest in survey.anchors:
            notes.append(f"reference {name} is frame {reference.frame} of the film, by its picture")
    for stretch, chosen in session.selection.stretches:
        if not chosen:
            notes.append(
                f"frames {stretch.start}-{stretch.stop - 1} have no reference, since all are bound elsewhere; "
                "they stay nearly grey"
            )
    return notes
