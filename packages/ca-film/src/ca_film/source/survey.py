"""The survey: one walk through a film, before any work, that feeds the finders of cuts, content and anchors."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from ca_film.progress import Progress, advance
from ca_film.source.anchoring import AnchorFinder
from ca_film.source.content import ContentFinder
from ca_film.source.film import Film
from ca_film.source.references import Reference
from ca_film.source.shots import CutFinder

__all__ = ["Survey", "flashes_within", "survey_film"]

_MOST_PROBLEMS = 100
_NEAR_SECONDS = 0.5


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
        corrected: frames of stills with a wrong number, None for no frame at all, by the still's place.
        left_out: places of stills that another one for the same frame replaces.
        lightness: mean of each frame, 0 to 255.
        sharpness: of each frame, the spread of its Laplacian.
        flashes: numbers of frames, three in a row at most, far lighter or darker than both neighbours.
        changes: numbers of frames from which on a shot shows something else than before, after a dissolve, say.
        colorful: largest share of a frame that has colour.
    """

    timestamps: list[int]
    durations: list[int]
    cuts: list[int] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    anchors: dict[str, int] = field(default_factory=dict)
    corrected: dict[str, int | None] = field(default_factory=dict)
    left_out: list[int] = field(default_factory=list)
    lightness: list[float] = field(default_factory=list)
    sharpness: list[float] = field(default_factory=list)
    flashes: list[int] = field(default_factory=list)
    changes: list[int] = field(default_factory=list)
    colorful: float = 0.0

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

    def scenes(self, shot: range) -> list[range]:
        """A shot, parted where what it shows changes.

        Example:
            >>> Survey([0, 1, 2, 3, 4], [0] * 5, changes=[3]).scenes(range(0, 5))
            [range(0, 3), range(3, 5)]
        """
        inner = [change for change in self.changes if change in shot and change > shot.start]
        return [range(first, last) for first, last in pairwise([shot.start, *inner, shot.stop])]


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
        references: looked for in the film by their pictures.
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
    content = ContentFinder(film.format.rate)
    for frame in film.frames():
        survey.timestamps.append(frame.timestamp)
        survey.durations.append(frame.duration)
        if cut_finder:
            cut_finder.add(frame.luma, film.format.coding)
        anchor_finder.add(frame.luma, film.format.coding)
        content.add(frame, film.format.coding)
        advance(progress)
    survey.problems = _shortened(film.problems)
    anchors = anchor_finder.finish(film.frame_name)
    survey.anchors, survey.corrected, survey.left_out = anchors.found, anchors.corrected, anchors.left_out
    survey.notes += anchors.notes
    if cut_finder:
        survey.cuts = cut_finder.finish()
        survey.notes += cut_finder.notes
    else:
        survey.cuts = sorted({cut for cut in cuts or () if 0 < cut < len(survey)})
    _keep_content(survey, content, found=cut_finder is not None, rate=float(film.format.rate))
    moved = _make_increasing(survey.timestamps)
    if moved:
        survey.notes.append(f"{moved} timestamps did not increase and were moved on by a tick")
    return survey


def _keep_content(survey: Survey, content: ContentFinder, *, found: bool, rate: float) -> None:
    """Note what the content says; a flash is no cut, unless the user says so, and a cut is no change within a shot."""
    survey.lightness, survey.sharpness, survey.colorful = (
        content.lightness,
        content.sharpness,
        content.colorful,
    )
    flashes = set(content.flashes)
    if found:
        survey.cuts = [cut for cut in survey.cuts if not {cut, cut - 1} & flashes]
    survey.flashes = flashes_within(survey.cuts, flashes)
    near = round(rate * _NEAR_SECONDS)
    survey.changes = [
        change for change in content.changes if not any(abs(change - cut) <= near for cut in survey.cuts)
    ]


def flashes_within(cuts: Iterable[int], flashes: Collection[int]) -> list[int]:
    """Flashes but for those that a shot begins with: no frame of it comes before them.

    Example:
        >>> flashes_within([4], [2, 4, 5, 9])
        [2, 9]
    """
    within = set(flashes)
    for cut in cuts:
        while cut in within:
            within.remove(cut)
            cut += 1
    return sorted(within)


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
