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
# Mean of 255 levels below which a fade is down, and which its darkest frame reaches.
_DARK = 12
_BLACK = 4.0


class CutFinder:
    """PySceneDetect's adaptive detector on luma, and its threshold detector for fades through black, frame by frame.

    Only luma is looked at, since a colour film is treated as grey. Without PySceneDetect the film is one
    shot, and `notes` says so.

    Args:
        rate: frames per second.
    """

    def __init__(self, rate: Fraction) -> None:
        self.notes: list[str] = []
        self._count = 0
        self._cuts: set[int] = set()
        self._fades: set[int] = set()
        self._means: list[float] = []
        self._detector, self._fade_detector, self._timecode = _detectors(float(rate))
        self._rate = float(rate)
        self._shortest = _shortest(self._rate)
        if self._detector is None:
            self.notes.append(
                "PySceneDetect is not installed, so the film is taken as one shot; "
                "install scenedetect-headless, or name the cuts with `cuts`"
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
            time = self._timecode(self._count, self._rate)
            self._cuts.update(_numbers(self._detector.process_frame(time, image)))
            self._means.append(float(grey.mean()))
            self._fades.update(_numbers(self._fade_detector.process_frame(time, image)))
        self._count += 1

    def finish(self) -> list[int]:
        """Numbers of the frames that begin a new shot."""
        if self._detector is not None and self._count:
            self._cuts.update(
                _numbers(self._detector.post_process(self._timecode(self._count - 1, self._rate)))
            )
        cuts = {cut for cut in self._cuts if 0 < cut < self._count}
        # A hard cut to black and out of it is found already; what is only dark is no fade.
        faded = {
            fade
            for fade in self._fades
            if 0 < fade < self._count
            and self._means[fade] <= _BLACK
            and not any(abs(fade - cut) < self._shortest for cut in cuts)
        }
        return sorted(cuts | faded)


def _numbers(found: Sequence[Any]) -> set[int]:
    return {int(timecode.frame_num) for timecode in found}


def _shortest(rate: float) -> int:
    return max(2, round(rate * _SHORTEST_SECONDS))


def _detectors(rate: float) -> tuple[Any, Any, Any]:
    try:
        from scenedetect import FrameTimecode
        from scenedetect.detectors import AdaptiveDetector, ThresholdDetector
    except ImportError:
        return None, None, None
    adaptive = AdaptiveDetector(min_scene_len=_shortest(rate), luma_only=True)
    return adaptive, ThresholdDetector(threshold=_DARK, min_scene_len=2), FrameTimecode
