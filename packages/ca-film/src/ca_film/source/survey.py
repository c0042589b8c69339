"""The survey: one walk through a film, before any work, that feeds the cut finder and the anchor finder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ca_film.progress import Progress, advance
from ca_film.source.anchoring import AnchorFinder
from ca_film.source.film import Film
from ca_film.source.references import Reference
from ca_film.source.shots import CutFinder

__all__ = ["Survey", "survey_film"]

_MOST_PROBLEMS = 100


@dataclass
class Survey:
    """Findings of one walk through a film.

    Args:
        timestamps: of every frame that decodes, in the film's time base, in the order shown.
        durations: as long, in the same unit; 0 where the film does not say.
        cuts: numbers of the frames that begin a new shot, 0 not among them.
        problems: one line for every stretch of the film that could not be decoded.
        notes: what else the user should know.
        anchors: numbers of the frames that stills without a number turned out to be, by the still's digest.
    """

    timestamps: list[int]
    durations: list[int]
    cuts: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.timestamps)

    @property
    def shots(self) -> list[range]:
        """The shots, as ranges of frame numbers.

        Example:
            >>> Survey([0, 1, 2, 3, 4], [0] * 5, cuts=[2]).shots
            [range(0, 2), range(2, 5)]
        """
        edges = [0, *self.cuts, len(self)]
        return [range(first, last) for first, last in pairwise(edges) if last > first]


def survey_film(
    film: Film,
    cuts: Sequence[int] | None = None,
    references: Sequence[Reference] = (),
    progress: Progress | None = None,
) -> Survey:
    """Walk through a film, and once more, carefully, if it is damaged; the film stays careful then.

    Args:
        film: the film.
        cuts: numbers of the frames that begin a shot, () for none; None to look for them.
        references: of which those without a frame number are looked for in the film.
        progress: is told the frames.

    Returns:
        The findings.

    Raises:
        FilmError: if not one frame decodes.
        Cancelled: if `progress` asks for it.
    """
    progress = progress or Progress()
    survey = _walk(film, cuts, references, progress)
    if survey.problems and not film.careful:
        film.careful = True
        survey = _walk(film, cuts, references, progress)
    film.careful = bool(survey.problems)
    return survey


def _walk(
    film: Film, cuts: Sequence[int] | None, references: Sequence[Reference], progress: Progress
) -> Survey:
    progress.stage("looking through the film", None)
    survey = Survey([], [], notes=list(film.notes))
    cut_finder = CutFinder(film.format.rate) if cuts is None else None
    anchor_finder = AnchorFinder(references, film.format)
    for frame in film.frames():
        survey.timestamps.append(frame.timestamp)
        survey.durations.append(frame.duration)
        if cut_finder:
            cut_finder.add(frame.luma, film.format.coding)
        anchor_finder.add(frame.luma, film.format.coding)
        advance(progress)
    survey.problems = _shortened(film.problems)
    survey.anchors = anchor_finder.finish()
    if cut_finder:
        survey.cuts = cut_finder.finish()
        survey.notes += cut_finder.notes
    else:
        survey.cuts = sorted({cut for cut in cuts or () if 0 < cut < len(survey)})
    moved = _make_increasing(survey.timestamps)
    if moved:
        survey.notes.append(f"{moved} timestamps did not increase and were moved on by a tick")
    return survey


def _make_increasing(timestamps: list[int]) -> int:
    moved = 0
    for position in range(1, len(timestamps)):
        if timestamps[position] <= timestamps[position - 1]:
            timestamps[position] = timestamps[position - 1] + 1
            moved += 1
    return moved


def _shortened(problems: list[str]) -> list[str]:
    """A film damaged from end to end should not fill the screen with complaints."""
    if len(problems) <= _MOST_PROBLEMS:
        return list(problems)
    return [*problems[:_MOST_PROBLEMS], f"and {len(problems) - _MOST_PROBLEMS} more"]
