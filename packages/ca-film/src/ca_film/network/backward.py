"""The pass against time: colours that come from a later anchored reference.

Without it the film would drift until an anchored frame and jump there.  The pass reaches a bounded way back, so
that its memory is bounded.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from ca_film.network.painter import Painter, network_lightness
from ca_film.progress import Progress, advance
from ca_film.source.film import Film

__all__ = ["backward_windows", "paint_backward"]

REACH = 48


def backward_windows(shots: Sequence[range], anchored: Sequence[int], reach: int = REACH) -> list[range]:
    """The stretches that a pass against time covers, each ending with an anchored frame.

    A stretch begins after the cut, after the anchored frame before it, or `reach` frames earlier.

    Args:
        shots: of the film.
        anchored: numbers of the frames that references are anchored to.
        reach: most frames in a stretch.

    Returns:
        The stretches, in order, of two frames or more.

    Example:
        >>> backward_windows([range(0, 100), range(100, 110)], [3, 80, 105], reach=10)
        [range(0, 4), range(71, 81), range(100, 106)]
    """
    windows = []
    for shot in shots:
        free = shot.start
        for index in sorted(number for number in anchored if number in shot):
            windows.append(range(max(free, index + 1 - reach), index + 1))
            free = index + 1
    return [window for window in windows if len(window) > 1]


def paint_backward(
    film: Film,
    windows: Sequence[range],
    painter: Painter,
    size: tuple[int, int],
    known: Mapping[int, Float[Tensor, "2 h w"]],
    progress: Progress,
) -> Iterator[tuple[range, Float[Tensor, "t 2 h w"]]]:
    """Colour stretches against time.

    Args:
        film: the film.
        windows: in order, as `backward_windows` gives them.
        painter: the network.
        size: height and width at which it sees the film.
        known: ab of the anchored frames, by number.
        progress: is told the frames.

    Yields:
        Each stretch and its ab, in the order shown.
    """
    waiting = list(windows)
    lightness: list[Tensor] = []
    for frame in film.frames(waiting[0].start) if waiting else ():
        window = waiting[0]
        if frame.index in window:
            lightness.append(network_lightness(film, frame, size))
            advance(progress)
        if frame.index >= window.stop - 1:
            passed = painter.paint(reversed(lightness), {0: known[window.stop - 1]})
            yield window, torch.stack([prediction.ab for prediction in passed][::-1])
            del waiting[0]
            lightness = []
            if not waiting:
                return
