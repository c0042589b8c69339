"""The pass against time: colours that come from a later anchored reference.

Without it the film would drift until an anchored frame and jump there.  The pass reaches a bounded way back, so
that its memory is bounded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence

import torch
from ca_model import GivenColors
from jaxtyping import Float
from torch import Tensor

from ca_film.network.lightness import SteadyLightness
from ca_film.network.painter import Painter
from ca_film.progress import Progress, advance
from ca_film.source.film import Film

__all__ = ["paint_backward"]


def paint_backward(
    film: Film,
    windows: Sequence[range],
    painter: Painter,
    size: tuple[int, int],
    known: Mapping[int, GivenColors],
    progress: Progress,
    flashes: Collection[int] = (),
) -> Iterator[tuple[range, Float[Tensor, "t c h w"]]]:
    """Colour stretches against time.

    Args:
        film: the film.
        windows: in order, as `ca_model.backward_windows` gives them.
        painter: the network.
        size: height and width at which it sees the film.
        known: ab of the anchored frames, by number.
        progress: is told the frames.
        flashes: frames in whose place the network sees the one before.

    Yields:
        Each stretch and its colours, in the order shown: ab, and the trust of each pixel's track if there are tracks.
    """
    waiting = list(windows)
    lightness: list[Tensor] = []
    steady = SteadyLightness(film, size, flashes)
    for frame in film.frames(steady.first_needed(waiting[0].start)) if waiting else ():
        window = waiting[0]
        if frame.index in window:
            own, instead = steady.see(frame)
            lightness.append(own if instead is None else instead)
            advance(progress)
        else:
            steady.look(frame)
        if frame.index >= window.stop - 1:
            passed = painter.paint(reversed(lightness), window[::-1], known)
            kept = [one.ab if one.trust is None else torch.cat((one.ab, one.trust)) for one in passed]
            yield window, torch.stack(kept[::-1])
            del waiting[0]
            lightness = []
            if not waiting:
                return
