"""Cuts of a film, found by PySceneDetect where it is installed."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np
from ca_data import YuvCoding
from jaxtyping import Integer

from ca_film.source.film import grey_image

__all__ = ["CutFinder"]

_WIDTH = 256
_SHORTEST_SECONDS = 0.4


class CutFinder:
    """PySceneDetect's adaptive detector on luma, fed frame by frame.

    Only luma is looked at, since a colour film is treated as grey. Without PySceneDetect the film is one
    shot, and `notes` says so.

    Args:
        rate: frames per second.
    """

    def __init__(self, rate: Fraction) -> None:
        self.notes: list[str] = []
        self._count = 0
        self._cuts: set[int] = set()
        self._detector, self._timecode = _detector(float(rate))
        self._rate = float(rate)
        if self._detector is None:
            self.notes.append(
                "PySceneDetect is not installed, so the film is taken as one shot; "
                "install scenedetect-headless, or name the cuts with --cuts"
            )

    def add(self, luma: Integer[np.ndarray, "h w"], coding: YuvCoding) -> None:
        """Look at the next frame.

        Args:
            luma: `h w` codes.
            coding: what they mean.
        """
        if self._detector is not None:
            step = max(1, luma.shape[1] // _WIDTH)
            grey = grey_image(luma[::step, ::step], coding)
            image = np.repeat(grey[:, :, None], 3, axis=2)
            self._note(self._detector.process_frame(self._timecode(self._count, self._rate), image))
        self._count += 1

    def finish(self) -> list[int]:
        """Numbers of the frames that begin a new shot."""
        if self._detector is not None and self._count:
            self._note(self._detector.post_process(self._timecode(self._count - 1, self._rate)))
        return sorted(cut for cut in self._cuts if 0 < cut < self._count)

    def _note(self, found: Sequence[Any]) -> None:
        self._cuts.update(int(timecode.frame_num) for timecode in found)


def _detector(rate: float) -> tuple[Any, Any]:
    try:
        from scenedetect import FrameTimecode
        from scenedetect.detectors import AdaptiveDetector
    except ImportError:
        return None, None
    shortest = max(2, round(rate * _SHORTEST_SECONDS))
    return AdaptiveDetector(min_scene_len=shortest, luma_only=True), FrameTimecode
