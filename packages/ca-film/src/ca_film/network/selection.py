"""Selection: of many references, the few that the network sees in each part of the film.

The references anchored in a shot come first, the nearest in time before the others. What is left is retrieved: still
after still is taken that covers most of what the shot shows and the chosen ones do not cover yet, as the network's own
features see it, at half the size. So of stills that nearly repeat each other one is taken, not a mixture: similar
stills of different colours would wash each other out.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from ca_data import resize
from ca_model import ColorAlignNet
from jaxtyping import Bool, Float
from torch import Tensor

from ca_film.network.lightness import network_lightness
from ca_film.progress import Progress, advance
from ca_film.source.film import Film
from ca_film.source.geometry import network_size
from ca_film.source.references import Reference

__all__ = ["Selection", "select_references"]

# Places of a stretch, as shares of its length, at which it is looked at.
_LOOKS = (1 / 6, 1 / 2, 5 / 6)
# Cells above which four become one: what is left says what is where, at a 24th of the numbers.
_MOST_CELLS = 128
# Stills compared cell by cell with a stretch, those most like it as a whole: so many times those that are chosen.
_SHORTLIST = 4
# Mean similarity that a further still must add to be worth its time.
_GAIN = 0.002
# Two stills show the same where cells are this similar, and in other colours where ab/110 differs by this much; they
# contradict each other where the first holds for half of the cells and the second for a quarter of those.
_SAME, _OTHER_COLOR = 0.9, 0.1
_HALF, _QUARTER = 0.5, 0.25


@dataclass(frozen=True)
class Selection:
    """References by number for each stretch of a film.

    Args:
        stretches: all frames in order, each stretch with the numbers of its references.

    Example:
        >>> Selection([(range(0, 40), (0, 2)), (range(40, 90), (1,))]).of(40)
        (1,)
    """

    stretches: Sequence[tuple[range, tuple[int, ...]]]

    def of(self, frame: int) -> tuple[int, ...]:
        """The references that the network sees at a frame."""
        starts = [stretch.start for stretch, _ in self.stretches]
        return self.stretches[bisect_right(starts, frame) - 1][1]


@dataclass(frozen=True, eq=False)
class _Described:
    """A picture as retrieval sees it.

    Args:
        cells: features of unit length of the cells that count, half precision.
        ab: their mean ab/110; empty for a grey frame.
    """

    cells: Float[Tensor, "n d"]
    ab: Float[Tensor, "n 2"]

    @property
    def whole(self) -> Float[Tensor, " d"]:
        """The picture as one vector of unit length."""
        return F.normalize(self.cells.float().mean(dim=0), dim=0)


def select_references(
    film: Film,
    shots: Sequence[range],
    references: Sequence[Reference],
    model: ColorAlignNet,
    budget: tuple[int, int],
    most: int,
    progress: Progress,
) -> Selection:
    """Choose the references of every part of a film.

    Where no more than `most` may be used, all of them are, in their order. The stills, and a few frames of each shot,
    are looked at only if there are more somewhere; one at a time then, in a walk through the film.

    Args:
        film: the film.
        shots: its shots.
        references: all of them.
        model: the network, where it runs.
        budget: height and width of the network's pixel budget.
        most: references that the network sees at once, at most.
        progress: is told the stills and the frames.

    Returns:
        The selection; a stretch that every still is bound away from has none.
    """
    chosen: list[tuple[range, tuple[int, ...]]] = []
    open_jobs: list[tuple[int, tuple[int, ...]]] = []
    for shot, piece, usable in _pieces(shots, references):
        anchors = {number: references[number].frame for number in usable}
        own = [number for number, frame in anchors.items() if frame is not None and frame in shot]
        if len(usable) <= most:
            chosen.append((piece, usable))
        elif len(own) >= most:
            chosen += _nearest_in_time(piece, own, references, most)
        else:
            open_jobs.append((len(chosen), tuple(own)))
            chosen.append((piece, usable))
    if open_jobs:
        retrieval = _Retrieval(model, references, budget, most)
        retrieval.describe_stills(sorted({n for place, _ in open_jobs for n in chosen[place][1]}), progress)
        jobs = dict(open_jobs)
        for place, frames in retrieval.look(film, {place: chosen[place][0] for place in jobs}, progress):
            piece, usable = chosen[place]
            chosen[place] = piece, retrieval.choose(frames, usable, jobs[place])
    return Selection(chosen)


def _pieces(
    shots: Sequence[range], references: Sequence[Reference]
) -> list[tuple[range, range, tuple[int, ...]]]:
    """Each shot, cut where the range of a bound still begins or ends, with the references that may be used there."""
    ranges = [None if ref.binding is None else ref.binding.ranges(shots) for ref in references]
    edges = {edge for one in ranges if one is not None for part in one for edge in (part.start, part.stop)}
    pieces = []
    for shot in shots:
        bounds = [shot.start, *sorted(edge for edge in edges if shot.start < edge < shot.stop), shot.stop]
        for start, stop in pairwise(bounds):
            usable = tuple(
                number
                for number, one in enumerate(ranges)
                if one is None or any(start in part for part in one)
            )
            pieces.append((shot, range(start, stop), usable))
    return pieces


def _nearest_in_time(
    piece: range, own: Sequence[int], references: Sequence[Reference], most: int
) -> list[tuple[range, tuple[int, ...]]]:
    """A stretch for every few of the anchored references of a shot, with those around it.

    Example:
        >>> from types import SimpleNamespace
        >>> stills = [SimpleNamespace(frame=frame) for frame in range(0, 60, 10)]
        >>> _nearest_in_time(range(0, 60), range(6), stills, 4)
        [(range(0, 20), (0, 1, 2, 3)), (range(20, 40), (1, 2, 3, 4)), (range(40, 60), (2, 3, 4, 5))]
    """

    def frame(number: int) -> int:
        return references[number].frame or 0

    ordered = sorted(own, key=frame)
    inner = [frame(number) for number in ordered[:: max(1, most // 2)]][1:]
    bounds = [piece.start, *(edge for edge in inner if piece.start < edge < piece.stop), piece.stop]
    stretches = []
    for start, stop in pairwise(bounds):
        middle = (start + stop) / 2
        nearest = sorted(ordered, key=lambda number: (abs(frame(number) - middle), number))[:most]
        stretches.append((range(start, stop), tuple(sorted(nearest))))
    return stretches


class _Retrieval:
    """Compares frames with stills by the network's features.

    Args:
        model: the network.
        references: all of them.
        budget: height and width of the network's pixel budget; half of each side is looked at.
        most: references that the network sees at once.
    """

    def __init__(
        self, model: ColorAlignNet, references: Sequence[Reference], budget: tuple[int, int], most: int
    ) -> None:
        self._model, self._references, self._most = model, references, most
        self._budget = budget[0] // 2, budget[1] // 2
        self._stills: dict[int, _Described] = {}

    def describe_stills(self, numbers: Sequence[int], progress: Progress) -> None:
        """Look at stills, one at a time."""
        progress.stage("looking at the references", len(numbers))
        for number in numbers:
            still = self._references[number].prepared()
            size = network_size((still.lab.shape[-2], still.lab.shape[-1]), self._budget)
            lab = resize(still.lab, size)
            self._stills[number] = self._described(lab[:1], lab[1:], still.opaque)
            advance(progress)

    def look(
        self, film: Film, stretches: dict[int, range], progress: Progress
    ) -> list[tuple[int, list[_Described]]]:
        """Look at a few frames of each stretch, in one walk through the film."""
        wanted: dict[int, list[int]] = {}
        for place, stretch in stretches.items():
            for number in sorted({stretch.start + int(look * len(stretch)) for look in _LOOKS}):
                wanted.setdefault(number, []).append(place)
        form = film.format
        size = network_size(form.shown_size, self._budget, form.shown_pixel_aspect)
        found: dict[int, list[_Described]] = {place: [] for place in stretches}
        progress.stage("choosing references", len(wanted))
        for frame in film.frames(min(wanted)):
            for place in wanted.get(frame.index, ()):
                found[place].append(self._described(network_lightness(film, frame, size)))
            if frame.index in wanted:
                advance(progress)
            if frame.index >= max(wanted):
                break
        return [(place, frames) for place, frames in found.items() if frames]

    def choose(
        self, frames: Sequence[_Described], usable: Sequence[int], own: Sequence[int]
    ) -> tuple[int, ...]:
        """The best few for a stretch, in the order of the references."""
        shown = torch.cat([frame.cells.float() for frame in frames])
        whole = F.normalize(torch.stack([frame.whole for frame in frames]).mean(dim=0), dim=0)
        chosen = list(own)
        covered = torch.full((len(shown),), -1.0)
        for number in chosen:
            covered = torch.maximum(covered, self._likeness(shown, number))
        others = sorted(
            (number for number in usable if number not in chosen),
            key=lambda number: (-float(self._stills[number].whole @ whole), number),
        )[: _SHORTLIST * self._most]
        likeness = {number: self._likeness(shown, number) for number in others}
        while likeness and len(chosen) < self._most:
            gains = {n: float((torch.maximum(covered, one) - covered).mean()) for n, one in likeness.items()}
            best = max(gains, key=lambda number: (gains[number], -number))
            if chosen and gains[best] < _GAIN:
                break
            one = likeness.pop(best)
            if not any(self._contradict(best, other) for other in chosen):
                chosen.append(best)
                covered = torch.maximum(covered, one)
        return tuple(sorted(chosen))

    def _likeness(self, shown: Float[Tensor, "n d"], number: int) -> Float[Tensor, " n"]:
        """How well each cell of some frames is found in a still."""
        return (shown @ self._stills[number].cells.float().T).amax(dim=1)

    def _contradict(self, number: int, other: int) -> bool:
        """Whether two stills show the same in different colours."""
        one, two = self._stills[number], self._stills[other]
        best = (one.cells.float() @ two.cells.float().T).max(dim=1)
        same = best.values > _SAME
        differs = (one.ab - two.ab[best.indices]).norm(dim=1) > _OTHER_COLOR
        return float(same.float().mean()) > _HALF and float(differs[same].float().mean()) > _QUARTER

    def _described(
        self,
        lightness: Float[Tensor, "1 h w"],
        ab: Float[Tensor, "2 h w"] | None = None,
        opaque: Bool[Tensor, "1 h2 w2"] | None = None,
    ) -> _Described:
        device = next(self._model.parameters()).device
        features = self._model.describe(lightness[None].to(device)).float().cpu()
        if features.shape[-2] * features.shape[-1] > _MOST_CELLS:
            features = F.normalize(F.avg_pool2d(features, 2), dim=1)
        size = (features.shape[-2], features.shape[-1])
        cells = features[0].flatten(1).T.half()
        colors = torch.zeros(len(cells), 2) if ab is None else resize(ab, size).flatten(1).T
        if opaque is not None:
            share = F.adaptive_avg_pool2d(opaque.float(), size).flatten()
            counts = share >= share.max().clamp(max=_HALF)
            cells, colors = cells[counts], colors[counts]
        return _Described(cells, colors)
