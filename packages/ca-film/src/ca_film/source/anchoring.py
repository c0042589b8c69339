"""Anchoring by image: the frame of the film that a still was painted on, whatever its name says."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
import torch.nn.functional as F
from ca_data import YuvCoding, denormalize_lab, lab_to_rgb, resize
from jaxtyping import Float, Integer
from torch import Tensor

from ca_film.source.film import FilmFormat, grey_image
from ca_film.source.references import GRID, Reference

__all__ = ["AnchorFinder", "Anchors"]

_ALIKE = 3.0 / 255.0
# A frame is the better one if its distance is below half the other's by this much more.
_CLEARLY = 0.3 / 255.0
# Correlation below which a still of the film's shape shows something else than the frame that its name says.
_RELATED = 0.3
_FLAT = 4.0 / 255.0
_CROP_GRID = (36, 64)
_CROP_SCALES = (0.95, 0.9, 0.85, 0.8, 0.75, 0.7, 0.65, 0.6, 0.55, 0.5)


@dataclass
class Anchors:
    """Where stills belong, as their pictures say.

    Args:
        found: numbers of the frames that stills without a number turned out to be, by the still's digest.
        corrected: of stills with a number, by place among the references: the frame that it is instead, or None where
            it is no frame of the film.
        left_out: places of stills that another one for the same frame replaces.
        notes: one for each still that is not where its name says.
    """

    found: dict[str, int] = field(default_factory=dict)
    corrected: dict[str, int | None] = field(default_factory=dict)
    left_out: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


@dataclass
class _Named:
    """A still whose name has a number, and how well it equals the frames around that one."""

    place: int
    reference: Reference
    number: int
    near: dict[int, float] = field(default_factory=dict)
    related: bool = True
    crop: bool = False

    def prefers(self, one: float, other: float) -> bool:
        """Whether the first distance is clearly the smaller one."""
        return 2.0 * one + _CLEARLY < other


class AnchorFinder:
    """Compares every frame of a film with the stills, in grey and small.

    Whoever colours a frame of the film leaves its lightness alone, so a still says itself where it belongs: it equals
    the frame from which its grey version (the grey of its L, or its luma of BT.709 or BT.601, whichever fits
    best) differs by a root
    mean square of at most 3 of 255 levels on a grid of 32 x 18; of several, the closest. Of a partial still only what
    is opaque is compared. Stills of another shape than the film are no frames of it.

    A number in a still's name is believed unless the picture says otherwise: it equals another frame clearly better, it
    is cut out of that frame, or it shows something else altogether. A number bound to a still is always believed.

    Args:
        references: all of them.
        form: of the film.
    """

    def __init__(self, references: Sequence[Reference], form: FilmFormat) -> None:
        self._references = references
        self._turns = form.turns
        self._places = [place for place, one in enumerate(references) if one.fits and not _is_bound(one)]
        grids = [references[place].grey for place in self._places]
        self._grids = torch.stack(grids) if grids else None
        self._frame = 0
        self._best = [(_ALIKE, -1)] * len(self._places)
        self._named = {
            row: _Named(place, references[place], frame)
            for row, place in enumerate(self._places)
            if (frame := references[place].frame) is not None
        }

    def add(self, luma: Integer[np.ndarray, "h w"], coding: YuvCoding) -> None:
        """Compare the next frame.

        Args:
            luma: `h w` codes.
            coding: what they mean.
        """
        if self._grids is not None:
            upright = np.ascontiguousarray(np.rot90(grey_image(luma, coding), self._turns))
            grey = torch.from_numpy(upright).float()[None, None] / 255.0
            frame = resize(grey, GRID)[0]
            distances = _distances(self._grids, frame)
            for row, distance in enumerate(distances):
                self._best[row] = min(self._best[row], (distance, self._frame))
            for row, named in self._named.items():
                if abs(self._frame - named.number) <= 1:
                    named.near[self._frame] = distances[row]
                if self._frame == named.number and distances[row] > _ALIKE:
                    named.related = _related(self._grids[row], frame[0])
                    named.crop = _is_crop(named.reference, grey[0])
        self._frame += 1

    def finish(self, frame_name: Callable[[int], str] | None = None) -> Anchors:
        """Say where every still belongs; one still at most for each frame.

        Args:
            frame_name: names of the film's own frames, whose numbers stills may bear.
        """
        anchors = Anchors()
        self._correct(anchors, _own_numbers(frame_name, self._frame) if self._beyond() else {})
        for place, one in enumerate(self._references):
            if one.frame is not None and not one.fits and not _is_bound(one):
                anchors.corrected[str(place)] = None
                anchors.notes.append(
                    f"reference {one.path.name} has another shape than the film ({one.size[1]}x{one.size[0]}), so it "
                    f"is not frame {one.frame}, but a reference like any other"
                )
        self._resolve_doubles(anchors)
        taken = set(self._frames(anchors).values())
        rows = [row for row, place in enumerate(self._places) if self._references[place].frame is None]
        for row in sorted(rows, key=lambda row: self._best[row][0]):
            frame = self._best[row][1]
            if frame >= 0 and frame not in taken:
                taken.add(frame)
                anchors.found[self._references[self._places[row]].digest] = frame
        return anchors

    def _beyond(self) -> bool:
        return any(named.number >= self._frame for named in self._named.values())

    def _correct(self, anchors: Anchors, own_numbers: Mapping[int, int]) -> None:
        shifts = {}
        for row, named in self._named.items():
            best, where = self._best[row]
            own = named.near.get(named.number)
            if where >= 0 and where != named.number and (own is None or named.prefers(best, own)):
                shifts[row] = where
        moves = {where - self._named[row].number for row, where in shifts.items()}
        whole = moves.pop() if len(moves) == 1 else 0
        doubted = [named for row, named in self._named.items() if row not in shifts]
        if whole and not any(_confirmed(named, whole) for named in doubted):
            # Stills of one numbering: those that fit both frames go with the others.
            for row, named in self._named.items():
                if row not in shifts and named.near.get(named.number + whole, 1.0) <= _ALIKE:
                    shifts[row] = named.number + whole
        for row, named in self._named.items():
            name, number = named.reference.path.name, named.number
            if row in shifts:
                anchors.corrected[str(named.place)] = shifts[row]
                anchors.notes.append(
                    f"reference {name} equals frame {shifts[row]}, not {number}; numbers count from 0"
                )
            elif number >= self._frame and number in own_numbers:
                anchors.corrected[str(named.place)] = own_numbers[number]
                anchors.notes.append(
                    f"reference {name} is frame {own_numbers[number]}, whose own name has the number {number}"
                )
            elif named.crop or not named.related:
                anchors.corrected[str(named.place)] = None
                what = "is cut out of" if named.crop else "does not show"
                anchors.notes.append(
                    f"reference {name} {what} frame {number}, so it is not pasted there, but a reference like any other"
                )

    def _frames(self, anchors: Anchors) -> dict[int, int]:
        """Frames of the stills that have one, by place."""
        frames = {}
        for place, one in enumerate(self._references):
            frame = anchors.corrected.get(str(place), one.frame)
            if frame is not None and place not in anchors.left_out:
                frames[place] = frame
        return frames

    def _resolve_doubles(self, anchors: Anchors) -> None:
        """Of two stills for one frame the later counts; a partial one stays a reference, since it may show the rest."""
        last: dict[int, int] = {}
        for place, frame in self._frames(anchors).items():
            before = last.get(frame)
            last[frame] = place
            if before is None:
                continue
            old, new = self._references[before], self._references[place]
            partial = min(old.opaque, new.opaque) < 1 or old.binding is not None
            if partial:
                anchors.corrected[str(before)] = None
            else:
                anchors.left_out.append(before)
            anchors.notes.append(
                f"references {old.path.name} and {new.path.name} are both frame {frame}; the later one counts, the "
                + ("other is a reference like any other" if partial else "other is left out")
            )


def _is_bound(reference: Reference) -> bool:
    return reference.binding is not None and reference.binding.frame is not None


def _distances(grids: Float[Tensor, "n 4 gh gw"], frame: Float[Tensor, "1 gh gw"]) -> list[float]:
    counts = grids[:, -1:]
    squares = ((grids[:, :-1] - frame).square() * counts).mean(dim=(-2, -1)) / counts.mean(dim=(-2, -1))
    distances: list[float] = squares.sqrt().amin(dim=1).tolist()
    return distances


def _confirmed(named: _Named, shift: int) -> bool:
    """Whether a still equals the frame that its name says, and not the shifted one."""
    own, other = named.near.get(named.number, 1.0), named.near.get(named.number + shift, 1.0)
    return own <= _ALIKE and named.prefers(own, other)


def _related(grid: Float[Tensor, "4 gh gw"], frame: Float[Tensor, "gh gw"]) -> bool:
    """Whether the two show the same, however light or dark; what is flat says nothing."""
    weight = grid[-1] / grid[-1].sum()
    frame = frame - (frame * weight).sum()
    spread = (frame.square() * weight).sum().sqrt()
    for still in grid[:-1]:
        other = still - (still * weight).sum()
        own = (other.square() * weight).sum().sqrt()
        if min(float(own), float(spread)) < _FLAT:
            return True
        if float((frame * other * weight).sum() / (own * spread)) >= _RELATED:
            return True
    return False


def _is_crop(reference: Reference, frame: Float[Tensor, "1 h w"]) -> bool:
    """Whether a still is a part of the frame, enlarged: slid over it at ten scales it fits somewhere."""
    if reference.opaque < 1:
        return False
    lightness = denormalize_lab(reference.prepared().lab)[:1]
    still = lab_to_rgb(torch.cat((lightness, torch.zeros_like(lightness).expand(2, -1, -1))))[1:2]
    whole = resize(frame, _CROP_GRID)[None]
    nearest = 1.0
    for scale in _CROP_SCALES:
        size = round(_CROP_GRID[0] * scale), round(_CROP_GRID[1] * scale)
        part = resize(still, size)[None]
        nearest = min(nearest, float(_slide(whole, part).min().clamp(min=0).sqrt()))
    as_it_is = float((whole - resize(still, _CROP_GRID)[None]).square().mean().sqrt())
    return nearest <= 2.0 * _ALIKE and 2.0 * nearest < as_it_is


def _slide(whole: Float[Tensor, "1 1 h w"], part: Float[Tensor, "1 1 h2 w2"]) -> Float[Tensor, "1 1 h3 w3"]:
    """Mean square difference of a part at every place of a picture."""
    count = part.numel()
    squares = F.conv2d(whole.square(), torch.ones_like(part))
    return (squares - 2.0 * F.conv2d(whole, part) + part.square().sum()) / count


def _own_numbers(frame_name: Callable[[int], str] | None, count: int) -> dict[int, int]:
    """Frames by the number at the end of their own names."""
    numbers: dict[int, int] = {}
    for index in range(count if frame_name is not None else 0):
        assert frame_name is not None
        stem = frame_name(index)
        digits = stem[len(stem.rstrip("0123456789")) :]
        if digits:
            numbers.setdefault(int(digits), index)
    return numbers
