"""Stretches: what the network sees in one go in a project, and how two of them blend; pure planning, nothing decoded.

A still reaches from the still before it to the still after it, in its own shot: that is what a change colours again.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ca_film.project.model import Project, Still

__all__ = ["BACKWARD_REACH", "MOST_OTHERS", "Stretch", "mixture", "plan_stretches"]

BACKWARD_REACH = 240
# Stills from other shots that the network sees at once: time and memory stay bounded, and alike stills do not mix.
MOST_OTHERS = 6


@dataclass(frozen=True)
class Stretch:
    """Frames that the network colours in one go, with or against time.

    Args:
        frames: their numbers, ascending.
        backward: whether it runs against time, from the last frame to the first.
        anchor: the still that its first frame, in the order of work, is; None where none is given.
        stills: references of the network.
    """

    frames: range
    backward: bool
    anchor: Still | None
    stills: tuple[Still, ...]

    @property
    def order(self) -> range:
        """Frame numbers in the order of work."""
        return self.frames[::-1] if self.backward else self.frames


def plan_stretches(project: Project, total: int) -> list[Stretch]:
    """All stretches of a project; a shot that is left grey, or that no still colours, has none.

    In a shot, the network goes forward from every anchored still to the next, and backward from every one to the
    one before, at most 240 frames. It sees the stills at both ends of its stretch and those bound from other shots, the
    six nearest at most.

    Args:
        project: the project.
        total: number of frames of the film.

    Returns:
        The stretches, shot by shot.

    Example:
        >>> from pathlib import Path
        >>> stills = (Still("a.png", 10), Still("b.png", 30))
        >>> [(s.frames, s.backward) for s in plan_stretches(Project(Path("film"), stills=stills), 40)]
        [(range(0, 11), True), (range(10, 30), False), (range(11, 31), True), (range(30, 40), False)]
    """
    return [
        stretch
        for shot, frames in zip(project.shots, project.ranges(total), strict=True)
        if not shot.grey
        for stretch in _in_shot(frames, [still for still in project.stills if still.colors(frames)])
    ]


def _in_shot(frames: range, stills: Sequence[Still]) -> Iterator[Stretch]:
    if not frames or not stills:
        return
    inside = sorted(
        (s for s in stills if s.frame is not None and s.frame in frames), key=lambda s: s.frame or 0
    )
    middle = (frames.start + frames.stop) // 2
    foreign = [still for still in stills if still not in inside]
    others = tuple(sorted(foreign, key=lambda still: abs((still.frame or 0) - middle))[:MOST_OTHERS])
    if not inside or (inside[0].frame or 0) - frames.start >= BACKWARD_REACH:
        # Too far before the first still to be reached from it.
        stop = frames.stop if not inside else inside[0].frame or 0
        yield Stretch(range(frames.start, stop), False, None, (*inside[:1], *others))
    for before, still in pairwise([None, *inside]):
        assert still is not None
        assert still.frame is not None
        first = frames.start if before is None else (before.frame or 0) + 1
        back = range(max(first, still.frame + 1 - BACKWARD_REACH), still.frame + 1)
        ends = tuple(end for end in (before, still) if end is not None)
        if before is not None:
            yield Stretch(range(before.frame or 0, still.frame), False, before, (*ends, *others))
        if len(back) > 1:
            yield Stretch(back, True, still, (*ends, *others))
    if inside:
        last = inside[-1]
        yield Stretch(range(last.frame or 0, frames.stop), False, last, (last, *others))


def mixture(index: int, stretches: Sequence[Stretch]) -> list[tuple[Stretch, float]]:
    """Which stretches colour a frame, and by which share each: the backward one's grows towards its still.

    Args:
        index: number of the frame.
        stretches: of the project.

    Returns:
        One or two stretches with shares that sum to 1; none where the frame stays grey.

    Example:
        >>> from pathlib import Path
        >>> stills = (Still("a.png", 10), Still("b.png", 30))
        >>> plan = plan_stretches(Project(Path("film"), stills=stills), 40)
        >>> [(stretch.backward, share) for stretch, share in mixture(15, plan)]
        [(False, 0.75), (True, 0.25)]
        >>> [(stretch.backward, share) for stretch, share in mixture(30, plan)]
        [(False, 1.0)]
    """
    found = [stretch for stretch in stretches if index in stretch.frames]
    forward = next((stretch for stretch in found if not stretch.backward), None)
    backward = next((stretch for stretch in found if stretch.backward), None)
    if backward is None or forward is None:
        return [(stretch, 1.0) for stretch in (forward, backward) if stretch is not None]
    if forward.order[0] == index and forward.anchor is not None:
        return [(forward, 1.0)]
    share = (index - backward.frames.start + 1) / len(backward.frames)
    return [(forward, 1.0 - share), (backward, share)]
