"""Advice: the frame whose still would help most."""

from __future__ import annotations

import numpy as np
from jaxtyping import UInt8

from ca_film.project.model import Project

__all__ = ["next_frame"]

_COVERED = 0.8


def next_frame(project: Project, covered: UInt8[np.ndarray, " t"]) -> int | None:
    """The frame that most deserves a still.

    Of every shot that is not left grey, the frame that its stills cover least, or its middle one where it has none;
    of these the one of the shot that lacks most, long shots before short ones: (1 - mean confidence) sqrt(length).

    Args:
        project: shots and stills.
        covered: mean confidence of every frame, 255 for 1.

    Returns:
        Its number; None where every shot is covered to 80% or more.

    Example:
        >>> from pathlib import Path
        >>> project = Project(Path("film")).cut(4)
        >>> next_frame(project, np.array([255, 255, 255, 255, 20, 90, 90, 90, 90], np.uint8))
        4
        >>> next_frame(project, np.zeros(9, np.uint8))
        6
    """
    best: tuple[float, int] | None = None
    for shot, frames in zip(project.shots, project.ranges(len(covered)), strict=True):
        if shot.grey or not frames:
            continue
        inside = covered[frames.start : frames.stop] / 255.0
        lack = 1.0 - float(inside.mean())
        if lack <= 1.0 - _COVERED:
            continue
        frame = frames.start + (int(inside.argmin()) if inside.any() else len(frames) // 2)
        weight = lack * len(frames) ** 0.5
        if best is None or weight > best[0]:
            best = weight, frame
    return None if best is None else best[1]
