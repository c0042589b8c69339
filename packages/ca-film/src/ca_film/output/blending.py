"""Blending: colours of the pass against time, kept on disk and mixed into those of the forward pass."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from ca_film.output.work import WorkFolder

__all__ = ["BackwardColors"]

_KIND = "backward.npy"


class BackwardColors:
    """The passes against time of one film.

    Args:
        work: the folder that keeps them.
        windows: the stretches that they cover.
    """

    def __init__(self, work: WorkFolder, windows: Sequence[range]) -> None:
        self._work = work
        self._windows = list(windows)
        self._open: tuple[range, np.ndarray] | None = None

    def missing(self) -> list[range]:
        """The stretches that are not kept yet."""
        return [window for window in self._windows if not self._work.has(_KIND, window)]

    def keep(self, window: range, ab: Float[Tensor, "t 2 h w"]) -> None:
        """Keep the colours of a stretch, in half precision."""
        self._work.keep_array(_KIND, window, ab.half().numpy())

    def blend(self, index: int, ab: Float[Tensor, "2 h w"]) -> Float[Tensor, "2 h w"]:
        """Mix a frame's forward colours with its backward ones, whose share grows towards the anchored frame.

        Args:
            index: number of the frame.
            ab: of the forward pass.

        Returns:
            The mixture; `ab` itself where no pass against time reaches.
        """
        window = next((window for window in self._windows if index in window), None)
        if window is None:
            return ab
        if self._open is None or self._open[0] != window:
            kept = self._work.array(_KIND, window)
            assert kept is not None, f"no backward colours of {window}"
            self._open = window, kept
        place = index - window.start
        share = (place + 1) / len(window)
        other = torch.from_numpy(np.asarray(self._open[1][place], np.float32))
        return torch.lerp(ab, other, share)
