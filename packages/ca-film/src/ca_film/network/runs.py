"""Runs: stretches of film that the network sees in one go, decoded in one thread and coloured in another."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ca_model import GivenColors, RecurrentState
from jaxtyping import Float
from torch import Tensor

from ca_film.network.lightness import SteadyLightness
from ca_film.network.painter import Painter
from ca_film.network.prefetch import Prefetch
from ca_film.source.film import ColoredFrame, Film, Frame

__all__ = ["Run", "plan_runs", "run_network"]

_AHEAD = 4


@dataclass(frozen=True, eq=False)
class Run:
    """Frames that the network sees in one go.

    Args:
        frames: their numbers; never across a cut.
        given: colours known beforehand, at the network's size, by frame number; those of other frames do not matter.
        seen: how many of them, at the beginning, are looked at again and do not come out.
        state: what the network was left in before the others; None where a shot begins.
    """

    frames: range
    given: Mapping[int, GivenColors]
    seen: int = 0
    state: RecurrentState | None = None


@dataclass(eq=False)
class _Seen:
    """A decoded frame of a run, its lightness at the network's size, and what the network sees of a flash instead."""

    run: Run
    frame: Frame
    lightness: Float[Tensor, "1 h w"]
    steady: Float[Tensor, "1 h w"] | None


def plan_runs(
    shots: Sequence[range],
    missing: Sequence[range],
    lookback: int,
    kept_state: Callable[[int], RecurrentState | None],
    given: Mapping[int, GivenColors],
) -> list[Run]:
    """For every shot with something missing, a run to its end: from its beginning, or from a kept state.

    Args:
        shots: all of the film.
        missing: segments that are not finished.
        lookback: how many frames before one the network looks at again when it goes on from a state.
        kept_state: gives the state before a frame, None where none is kept.
        given: colours of the frames that references are anchored to.

    Returns:
        The runs, in order.
    """
    runs = []
    for shot in shots:
        first = next((segment.start for segment in missing if segment.start in shot), None)
        if first is None:
            continue
        # The state before a shot's first frame is that of the shot before.
        inside = first > shot.start and first - lookback >= shot.start
        state = kept_state(first) if inside else None
        if state is None:
            runs.append(Run(shot, given))
        else:
            runs.append(Run(range(first - lookback, shot.stop), given, lookback, state))
    return runs


def run_network(
    film: Film,
    runs: Sequence[Run],
    painter: Painter,
    size: tuple[int, int],
    flashes: Collection[int] = (),
) -> Generator[ColoredFrame, None, None]:
    """Decode in one thread, run the network in another, and give what comes out.

    Args:
        film: the film.
        runs: in order, none overlapping another.
        painter: the network.
        size: height and width at which it sees the film.
        flashes: frames in whose place the network sees the one before.

    Yields:
        Every frame of every run that comes out, coloured.
    """
    with (
        Prefetch(_decode(film, runs, SteadyLightness(film, size, flashes)), _AHEAD) as decoded,
        Prefetch(_color(decoded, painter), _AHEAD) as colored,
    ):
        yield from colored


def _decode(film: Film, runs: Sequence[Run], lightness: SteadyLightness) -> Iterator[_Seen]:
    waiting = deque(runs)
    if not waiting:
        return
    for frame in film.frames(lightness.first_needed(waiting[0].frames.start)):
        run = waiting[0]
        if frame.index in run.frames:
            yield _Seen(run, frame, *lightness.see(frame))
        else:
            lightness.look(frame)
        if frame.index >= run.frames.stop - 1:
            waiting.popleft()
            if not waiting:
                return


def _color(decoded: Prefetch[_Seen], painter: Painter) -> Iterator[ColoredFrame]:
    """Run the network run by run; its output lags a few frames behind its input."""
    for _, group in itertools.groupby(decoded, key=lambda seen: seen.run.frames.start):
        first = next(group)
        run = first.run
        waiting: deque[_Seen] = deque()
        lightness = _remember(itertools.chain([first], group), waiting)  # noqa: B031 - the first, then the rest
        for made in painter.paint(lightness, run.frames, run.given, run.state):
            seen = waiting.popleft()
            yield ColoredFrame(
                seen.frame, seen.lightness, made.ab, made.confidence, made.state, made.trust, seen.steady
            )


def _remember(frames: Iterable[_Seen], waiting: deque[_Seen]) -> Iterator[Float[Tensor, "1 h w"]]:
    for seen in frames:
        if seen.frame.index - seen.run.frames.start >= seen.run.seen:
            waiting.append(seen)
        yield seen.lightness if seen.steady is None else seen.steady
