"""Parts of a film: what can be coloured in any process, at any time, and more than once, to the same bytes.

A film is first looked through (`outline`); then its parts are coloured in any order (`color`), each into files of its
own in the work folder `OUT.partial/`, which several processes and machines share; at the end `colorize` finds all of it
made and joins it (`finish`). The outline, kept in the work folder, is the point from which all of this resumes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ca_film.colorize import (
    Result,
    backward_colors,
    check_paths,
    check_stills,
    check_taken,
    choose_output,
    colorize,
    look_through,
    made_parent,
    paint_parts,
    paint_windows,
    rehearse,
    signature_of,
    target_of,
    whole_parts,
)
from ca_film.errors import FilmError
from ca_film.options import ColorizeOptions
from ca_film.output.encoding import Encoding
from ca_film.output.segments import split_shots
from ca_film.output.work import WorkFolder, publishing
from ca_film.progress import Progress
from ca_film.session import Session, open_session
from ca_film.source.survey import Survey

__all__ = ["FilmParts", "Outline", "Part"]


@dataclass(frozen=True)
class Part:
    """A part of a film, the work of one task.

    Args:
        start, stop: its frames, from the first to the one after the last.
        missing: frames of it that are still to be coloured.
        backward: whether it is stretches coloured against time.
    """

    start: int
    stop: int
    missing: int
    backward: bool = False

    @property
    def frames(self) -> range:
        """Its frames."""
        return range(self.start, self.stop)


@dataclass(frozen=True)
class Outline:
    """What a film consists of.

    Args:
        frames, shots: how many.
        parts: what is still to be made; forward parts need the backward parts that reach into them.
    """

    frames: int
    shots: int
    parts: list[Part]


class FilmParts:
    """Outlines films and colours parts of them; the last film stays open for its next part."""

    def __init__(self) -> None:
        self._open: tuple[tuple[Path, Path], _Opened] | None = None

    def outline(self, source: Path, out: Path, options: ColorizeOptions, progress: Progress) -> Outline:
        """Look through a film, try its output, and say what there is to do.

        Args:
            source: a video file or a folder of frames.
            out: the output.
            options: how.
            progress: is told the frames.

        Returns:
            What is not made yet.

        Raises:
            FilmError: as `colorize`.
            OSError: if the output's folder cannot be written to.
        """
        taken = check_paths(source, out, options)
        opened = _Opened.of(source, out, options)
        if taken:
            check_taken(out, options, opened.signature)
        with made_parent(out), WorkFolder(out, opened.signature, restart=options.restart) as work:
            if work.publishing() is not None:
                return Outline(0, 0, [])  # all is made; only the name is to be given
            target = target_of(opened.session, opened.encoding, work, out, options)
            if work.manifest() is None:
                rehearse(target, work)
            survey = look_through(opened.session, options, work, progress, checked=True)
            whole = whole_parts(opened.session, survey, options)
            windows = backward_colors(opened.session, survey, work).missing()
            parts = [
                Part(group[0].start, group[-1].stop, sum(map(len, group)), backward=True)
                for group in _grouped(windows, options.segment)
            ]
            for group in _grouped(whole, options.segment):
                left = [one for one in split_shots(group, options.segment) if not target.has(one)]
                if left:
                    parts.append(Part(group[0].start, group[-1].stop, sum(map(len, left))))
            found = Outline(len(survey), len(survey.shots), parts)
            work.keep_manifest(asdict(found))
        return found

    def color(
        self, source: Path, out: Path, options: ColorizeOptions, part: Part, progress: Progress
    ) -> None:
        """Colour a part; of one that is begun, only what is not kept.

        Raises:
            FilmError: if the film, or the work on it, is not what was outlined.
            OSError: if the work folder cannot be written to.
        """
        opened = self._opened(source, out, options)
        with WorkFolder(out, opened.signature, shared=True) as work:
            survey = opened.surveyed(options, work)
            backward = backward_colors(opened.session, survey, work)
            if part.backward:
                inside = [window for window in backward.missing() if window.start in part.frames]
                paint_windows(opened.session, survey, backward, inside, progress)
                return
            whole = [one for one in whole_parts(opened.session, survey, options) if one.start in part.frames]
            segments = split_shots(whole, options.segment)
            target = target_of(opened.session, opened.encoding, work, out, options)
            paint_parts(opened.session, survey, whole, segments, target, backward, work, progress)
            work.drop_states(part.frames)  # of a film of a thousand shots they would fill the disk

    def finish(self, source: Path, out: Path, options: ColorizeOptions, progress: Progress) -> Result:
        """Join what is made, and give the output its name.

        Raises:
            FilmError: as `colorize`; if the film is not what was outlined.
        """
        self._open = None
        if publishing(out) is None:
            opened = _Opened.of(source, out, options)
            with WorkFolder(out, opened.signature, shared=True):
                pass  # what changed meanwhile would otherwise be coloured anew, by this one process
        return colorize(source, out, replace(options, restart=False), progress)

    def _opened(self, source: Path, out: Path, options: ColorizeOptions) -> _Opened:
        if self._open is None or self._open[0] != (source, out):
            self._open = None  # two at once would double the memory
            self._open = (source, out), _Opened.of(source, out, options)
        return self._open[1]


class _Opened:
    """A film with its stills and the network, and how its output is stored."""

    def __init__(self, session: Session, encoding: Encoding | None, signature: dict[str, str]) -> None:
        self.session, self.encoding, self.signature = session, encoding, signature
        self._survey: Survey | None = None

    @classmethod
    def of(cls, source: Path, out: Path, options: ColorizeOptions) -> _Opened:
        session = open_session(source, options)
        check_stills(session, out)
        encoding = choose_output(session.film, out, options)
        return cls(session, encoding, signature_of(session, options, encoding, out))

    def surveyed(self, options: ColorizeOptions, work: WorkFolder) -> Survey:
        """The survey that the outline left, adopted once."""
        if self._survey is None:
            if work.survey() is None or work.selection() is None:
                raise FilmError(f"output {work.out}: its film was not looked through; run again")
            self._survey = look_through(self.session, options, work, Progress())
        return self._survey


def _grouped(ranges: Sequence[range], most: int) -> list[list[range]]:
    """Neighbours put together up to so many frames: a task for each short shot would cost more than it does.

    Example:
        >>> _grouped([range(0, 3), range(3, 5), range(5, 30), range(30, 32)], 10)
        [[range(0, 3), range(3, 5)], [range(5, 30)], [range(30, 32)]]
    """
    groups: list[list[range]] = []
    for one in ranges:
        if groups and sum(map(len, groups[-1])) + len(one) <= most:
            groups[-1].append(one)
        else:
            groups.append([one])
    return groups
