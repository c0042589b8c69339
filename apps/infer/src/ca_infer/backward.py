"""Colours that come from the future: a pass against time from every dated reference, blended into the forward one.

Without it the film would drift until a dated reference and jump there.  The pass reaches a bounded way back, so
that its memory is bounded; its result waits on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from ca_data import resize
from jaxtyping import Float
from torch import Tensor

from ca_infer.geometry import turn
from ca_infer.options import Tell
from ca_infer.session import Session

__all__ = ["Backward", "backward_windows"]

REACH = 48


def backward_windows(shots: Sequence[range], dated: Sequence[int], reach: int = REACH) -> list[range]:
    """The stretches that a pass against time covers, each ending with the picture of a dated reference.

    A stretch begins after the cut, after the dated reference before it, or `reach` pictures earlier.

    Args:
        shots: of the film.
        dated: numbers of the pictures that references belong to.
        reach: most pictures in a stretch.

    Returns:
        The stretches, in order, of two pictures or more.

    Example:
        >>> backward_windows([range(0, 100), range(100, 110)], [3, 80, 105], reach=10)
        [range(0, 4), range(71, 81), range(100, 106)]
    """
    windows = []
    for shot in shots:
        free = shot.start
        for index in sorted(number for number in dated if number in shot):
            windows.append(range(max(free, index + 1 - reach), index + 1))
            free = index + 1
    return [window for window in windows if len(window) > 1]


class Backward:
    """The passes against time of one film, made once and kept in a folder.

    Args:
        folder: of the unfinished work.
        windows: what `backward_windows` gave.
    """

    def __init__(self, folder: Path, windows: Sequence[range]) -> None:
        self._folder = folder
        self._windows = list(windows)
        self._open: tuple[range, np.ndarray] | None = None

    def prepare(self, session: Session, tell: Tell) -> None:
        """Run every pass that is not on disk yet."""
        missing = [window for window in self._windows if not self._path(window).is_file()]
        if not missing:
            return
        tell.stage("colouring backward", sum(map(len, missing)))
        known, size, film = session.known_colors(), session.network_size, session.film
        window, seen = missing.pop(0), []
        for picture in film.pictures(window.start):
            if picture.index in window:
                upright = turn(film.lightness(picture), film.format.rotation)
                seen.append(resize(upright, size).clamp(-1.0, 1.0))
                tell.advance()
            if picture.index >= window.stop - 1:
                passed = session.painter.paint(reversed(seen), {0: known[window.stop - 1]})
                self._keep(window, [prediction.ab for prediction in passed][::-1])
                if not missing:
                    return
                window, seen = missing.pop(0), []

    def blend(self, index: int, ab: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 h w"]:
        """Mix the forward pass with the backward one, whose share grows towards the dated reference.

        Args:
            index: number of the picture.
            ab: of the forward pass.

        Returns:
            The mixture; `ab` itself where no backward pass reaches.
        """
        window = next((window for window in self._windows if index in window), None)
        if window is None:
            return ab
        if self._open is None or self._open[0] != window:
            self._open = window, np.load(self._path(window), mmap_mode="r")
        place = index - window.start
        share = (place + 1) / len(window)
        other = torch.from_numpy(np.asarray(self._open[1][place], np.float32))
        return torch.lerp(ab, other, share)

    def _keep(self, window: range, ab: Sequence[Tensor]) -> None:
        final = self._path(window)
        growing = final.with_suffix(".growing.npy")
        np.save(growing, torch.stack(list(ab)).half().numpy())
        growing.replace(final)

    def _path(self, window: range) -> Path:
        return self._folder / f"{window.start:08d}-{window.stop:08d}.backward.npy"
