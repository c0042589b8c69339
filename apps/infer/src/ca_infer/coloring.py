"""Colourising one film: checks first, then a survey, then the network, then the finished file."""

from __future__ import annotations

import itertools
import shutil
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch
from ca_data import resize
from jaxtyping import Float
from torch import Tensor

from ca_infer.arguments import choose_device
from ca_infer.encoding import VIDEO_SUFFIXES, Encoding, choose_encoding
from ca_infer.errors import InferError
from ca_infer.film import Film, Picture, Survey
from ca_infer.folder_film import FolderFilm
from ca_infer.geometry import network_size, turn
from ca_infer.mux import StreamChoice, rehearse
from ca_infer.outputs import FolderOutput, Output, VideoOutput
from ca_infer.painter import Painter, Prediction
from ca_infer.partial import PartialWork, file_signature
from ca_infer.pipeline import Prefetch
from ca_infer.references import Reference, prepare_references
from ca_infer.rendering import Look, Renderer
from ca_infer.shots import split_shots
from ca_infer.video_film import VideoFilm
from ca_infer.weights import LoadedModel, load_weights

__all__ = ["ColorizeOptions", "Result", "Tell", "colorize", "open_film"]

_AHEAD = 4
_KIND = "ca-infer 1"


@dataclass(frozen=True)
class ColorizeOptions:
    """What the command line says about one film.

    Args:
        references: files and folders of colour stills.
        weights: a shipped name, a file or a hub id; None for the shipped default.
        size: budget of pixels for the network, as height and width.
        device: where the network runs.
        look: how strong the colours are.
        overwrite: whether an output that is there may be replaced.
        restart: whether kept work is thrown away.
        codec: encoder of a video, None for the default.
        crf: its constant quality.
        pixel_format: its storage.
        png_depth: bits of PNG files, 8 or 16.
        streams: which streams of the source come along.
        rate: pictures per second of a folder of frames that becomes a video.
        find_cuts: whether to look for cuts.
        cuts: numbers of the pictures that begin a shot, in place of looking for them.
        segment: most pictures between two points from which the work can go on.
    """

    references: tuple[Path, ...]
    weights: str | None = None
    size: tuple[int, int] = (224, 384)
    device: str = "auto"
    look: Look = field(default_factory=Look)
    overwrite: bool = False
    restart: bool = False
    codec: str | None = None
    crf: int | None = None
    pixel_format: str | None = None
    png_depth: int = 8
    streams: StreamChoice = field(default_factory=StreamChoice)
    rate: Fraction = Fraction(24)
    find_cuts: bool = True
    cuts: tuple[int, ...] | None = None
    segment: int = 240


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
    """

    out: Path
    pictures: int
    shots: int
    copied: list[str]
    notes: list[str]
    problems: list[str]


class Tell:
    """What the work says while it goes on; this one says nothing."""

    def stage(self, name: str, total: int | None) -> None:
        """A new stage begins, of so many pictures if that is known."""

    def advance(self, count: int = 1) -> None:
        """So many pictures are done."""

    def note(self, line: str) -> None:
        """Something to know now rather than at the end."""


@dataclass(frozen=True, eq=False)
class _Run:
    """Pictures that the network sees in one go, and those among them whose colours are known beforehand."""

    pictures: range
    given: dict[int, Float[Tensor, "2 h w"]]


@dataclass(eq=False)
class _Item:
    run: _Run
    picture: Picture
    low: Float[Tensor, "1 h w"]


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
    film = open_film(source, options.rate)
    references = prepare_references(options.references, options.size)
    device = choose_device(options.device)
    loaded = load_weights(options.weights)
    encoding = _encoding(film, out, options) if to_video else None
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
    work = _partial_work(film, out, options, references, loaded, encoding, tell)
    survey = _survey(film, options, work, tell)
    renderer = Renderer(film, references, options.look)
    output: Output
    if encoding:
        output = VideoOutput(film, renderer, encoding, work.folder, options.streams)
    else:
        output = FolderOutput(film, renderer, work.folder, options.png_depth)
    segments = split_shots(survey.shots, options.segment)
    painter = Painter(loaded.model, references, device)
    size = network_size(film.format.shown_size, options.size, film.format.shown_pixel_aspect)
    _paint(film, survey, segments, painter, output, work, _known_colors(references, size), size, tell)
    tell.stage("writing", None)
    joined = output.publish(out, survey, segments)
    work.remove()
    notes += [note for note in [*survey.notes, *joined.notes] if note not in notes]
    notes += _dated_notes(references, len(survey))
    return Result(out, joined.pictures, len(survey.shots), joined.copied, notes, survey.problems)


def open_film(source: Path, rate: Fraction = Fraction(24)) -> Film:
    """Open a video file or a folder of frames.

    Args:
        source: the path.
        rate: pictures per second of a folder.

    Returns:
        The film.

    Raises:
        InferError: if there is nothing to colourise.
    """
    return FolderFilm(source, rate) if source.is_dir() else VideoFilm(source)


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


def _encoding(film: Film, out: Path, options: ColorizeOptions) -> Encoding:
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
    film: Film,
    out: Path,
    options: ColorizeOptions,
    references: Sequence[Reference],
    loaded: LoadedModel,
    encoding: Encoding | None,
    tell: Tell,
) -> PartialWork:
    folder = out.with_name(out.name + ".partial")
    if options.restart:
        shutil.rmtree(folder, ignore_errors=True)
    signature = {
        "kind": _KIND,
        "input": file_signature(film.path),
        "references": " ".join(f"{reference.digest}:{reference.frame}" for reference in references),
        "weights": loaded.digest,
        "size": str(options.size),
        "colour": str(options.look),
        "encoding": f"{encoding} {options.png_depth}",
        "shots": f"{options.find_cuts} {options.cuts} {options.segment} {options.rate}",
    }
    try:
        work = PartialWork(out, signature)
    except OSError as error:
        raise InferError(
            f"output folder {out.parent} cannot be written to ({error.strerror}); choose another place"
        ) from error
    if work.started_afresh:
        tell.note(f"starting afresh: {work.started_afresh} changed since the unfinished work was made")
    return work


def _survey(film: Film, options: ColorizeOptions, work: PartialWork, tell: Tell) -> Survey:
    survey = work.survey()
    if survey is None:
        tell.stage("looking through the film", None)
        survey = film.survey(find_cuts=options.find_cuts and options.cuts is None)
        if options.cuts is not None:
            survey.cuts = sorted({cut for cut in options.cuts if 0 < cut < len(survey)})
        work.keep_survey(survey)
    film.follow(survey)
    return survey


def _known_colors(
    references: Sequence[Reference], size: tuple[int, int]
) -> dict[int, Float[Tensor, "2 h w"]]:
    return {ref.frame: ref.network_ab(size) for ref in references if ref.frame is not None}


def _paint(
    film: Film,
    survey: Survey,
    segments: Sequence[range],
    painter: Painter,
    output: Output,
    work: PartialWork,
    dated: dict[int, Float[Tensor, "2 h w"]],
    size: tuple[int, int],
    tell: Tell,
) -> None:
    """Decode, run the network, and make and encode pictures, each in its own thread, segment by segment."""
    todo = {segment.start: segment for segment in segments if not output.has(segment)}
    tell.stage("colouring", len(survey))
    tell.advance(len(survey) - sum(len(segment) for segment in todo.values()))
    runs = _runs(survey.shots, list(todo.values()), painter.lookback, work, dated)
    latest: deque[Tensor] = deque(maxlen=painter.lookback)
    segment: range | None = None
    try:
        with (
            Prefetch(_decode(film, runs, size), _AHEAD) as decoded,
            Prefetch(_predict(decoded, painter), _AHEAD) as predicted,
        ):
            for item, prediction in predicted:
                index = item.picture.index
                latest.append(prediction.ab)
                if index in todo:
                    segment = todo[index]
                    output.begin(segment)
                if segment is None or index not in segment:
                    continue
                output.add(item.picture, prediction, item.low)
                tell.advance()
                if index == segment.stop - 1:
                    work.keep_state(segment.stop, torch.stack(list(latest)))
                    output.finish()
                    del todo[segment.start]
                    segment = None
    finally:
        output.abandon()
    if todo:
        raise InferError(
            f"film {film.path} gave fewer pictures than when it was looked through, none from {min(todo)} "
            "on; the file changed or its disk fails: run again with --restart"
        )


def _runs(
    shots: Sequence[range],
    missing: Sequence[range],
    lookback: int,
    work: PartialWork,
    dated: dict[int, Float[Tensor, "2 h w"]],
) -> list[_Run]:
    """For every shot with something missing, a run to its end: from its beginning, or from a kept state.

    A run that goes on from a state begins a little earlier, with pictures whose colours are given, which puts
    the network into the very state it was left in.
    """
    runs = []
    for shot in shots:
        first = next((segment.start for segment in missing if segment.start in shot), None)
        if first is None:
            continue
        given = {index: ab for index, ab in dated.items() if index in shot}
        state = work.state(first) if first - lookback >= shot.start else None
        if state is None or len(state) != lookback:
            runs.append(_Run(shot, given))
        else:
            start = first - lookback
            runs.append(_Run(range(start, shot.stop), given | dict(enumerate(state, start))))
    return runs


def _decode(film: Film, runs: Sequence[_Run], size: tuple[int, int]) -> Iterator[_Item]:
    """The pictures of all runs, each also as the network sees it."""
    waiting = deque(runs)
    if not waiting:
        return
    for picture in film.pictures(waiting[0].pictures.start):
        run = waiting[0]
        if picture.index in run.pictures:
            upright = turn(film.lightness(picture), film.format.rotation)
            yield _Item(run, picture, resize(upright, size).clamp(-1.0, 1.0))
        if picture.index >= run.pictures.stop - 1:
            waiting.popleft()
            if not waiting:
                return


def _predict(items: Prefetch[_Item], painter: Painter) -> Iterator[tuple[_Item, Prediction]]:
    """Run the network run by run; its output lags a few pictures behind its input."""
    for start, group in itertools.groupby(items, key=lambda item: item.run.pictures.start):
        first = next(group)
        given = {index - start: ab for index, ab in first.run.given.items() if index >= start}
        waiting: deque[_Item] = deque()
        for prediction in painter.paint(_note_all(itertools.chain([first], group), waiting), given):
            yield waiting.popleft(), prediction


def _note_all(items: Iterable[_Item], waiting: deque[_Item]) -> Iterator[Float[Tensor, "1 h w"]]:
    for item in items:
        waiting.append(item)
        yield item.low


def _dated_notes(references: Sequence[Reference], pictures: int) -> list[str]:
    return [
        f"reference {reference.path.name} names frame {reference.frame}, but the film has {pictures}"
        for reference in references
        if reference.frame is not None and reference.frame >= pictures
    ]
