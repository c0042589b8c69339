"""How well the references cover the film, kept small: a coarse grid of confidence per picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

__all__ = ["GRID", "Coverage", "coarse_grid"]

GRID = (9, 16)


class Coverage:
    """Collects confidence picture by picture, and keeps it on disk segment by segment.

    Args:
        folder: of the unfinished work.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._grids: list[UInt8[np.ndarray, "h w"]] = []

    def add(self, confidence: Float[Tensor, "1 h w"]) -> None:
        """Note the next picture of the segment."""
        self._grids.append(coarse_grid(confidence))

    def keep(self, segment: range) -> None:
        """Write a finished segment down."""
        final = self._path(segment)
        growing = final.with_suffix(".growing.npy")
        np.save(growing, np.stack(self._grids))
        growing.replace(final)
        self._grids = []

    def grids(self, segments: Sequence[range]) -> UInt8[np.ndarray, "t h w"]:
        """Everything kept: 255 is full coverage; 0 too where nothing was kept."""
        parts = []
        for segment in segments:
            try:
                parts.append(np.load(self._path(segment)))
            except (OSError, ValueError):
                parts.append(np.zeros((len(segment), *GRID), np.uint8))
        return np.concatenate(parts)

    def _path(self, segment: range) -> Path:
        return self._folder / f"{segment.start:08d}-{segment.stop:08d}.coverage.npy"


def coarse_grid(confidence: Float[Tensor, "1 h w"]) -> UInt8[np.ndarray, "h w"]:
    """Average confidence over a grid of 9 x 16.

    Args:
        confidence: `1 h w` in [0, 1].

    Returns:
        `h w` in 0..255.

    Example:
        >>> import torch
        >>> coarse_grid(torch.ones(1, 40, 60)).min()
        np.uint8(255)
    """
    grid = F.adaptive_avg_pool2d(confidence[None], GRID)[0, 0]
    return (grid * 255.0).round().clamp(0, 255).byte().numpy()
