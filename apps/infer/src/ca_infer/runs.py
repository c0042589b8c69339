"""What the network sees in one go, and the stages that feed it, each in a thread of its own."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from ca_data import resize
from ca_model import RecurrentState
from jaxtyping import Float
from torch import Tensor

from ca_infer.film import Film, Picture
from ca_infer.geometry import turn
from ca_infer.painter import Painter, Prediction
from ca_infer.partial import PartialWork
from ca_infer.pipeline import Prefetch

__all__ = ["Item", "Run", "plan_runs", "run_network"]

_AHEAD = 4


@dataclass(frozen=True, eq=False)
class Run:
    """Pictures that the network sees in one go.

    Args:
        pictures: their numbers; never across a cut.
        given: colours known beforehand, at the network's size, by picture number.
        seen: how many of them, at the beginning, are looked at again and do not come out.
        state: what the network was left in before the others; None where a shot begins.
    """

    pictures: range
    given: Mapping[int, Float[Tensor, "2 h w"]]
    seen: int = 0
    state: RecurrentState | None = None


@dataclass(eq=False)
class Item:
    """One picture on its way.

    Args:
        run: what it is part of.
        picture: as decoded.
        low: `1 h w`, as the network sees it: upright, small, lightness in [-1, 1].
    """

    run: Run
    picture: Picture
    low: Float[Tensor, "1 h w"]


def plan_runs(
    shots: Sequence[range],
    missing: Sequence[range],
    lookback: int,
    work: PartialWork,
    dated: Mapping[int, Float[Tensor, "2 h w"]],
) -> list[Run]:
    """For every shot with something missing, a run to its end: from its beginning, or from a kept state.

    Args:
        shots: all of the film.
        missing: segments that are not finished.
        lookback: how many pictures before one the network looks at again when it goes on from a state.
        work: has the kept states.
        dated: colours of the pictures that references belong to.

    Returns:
        The runs, in order.
    """
    runs = []
    for shot in shots:
        first = next((segment.start for segment in missing if segment.start in shot), None)
        if first is None:
            continue
        given = {index: ab for index, ab in dated.items() if index in shot}
        state = work.state(first) if first - lookback >= shot.start else None
        if state is None:
            runs.append(Run(shot, given))
        else:
            runs.append(Run(range(first - lookback, shot.stop), given, lookback, state))
    return runs


def run_network(
    film: Film, runs: Sequence[Run], painter: Painter, size: tuple[int, int]
) -> Generator[tuple[Item, Prediction], None, None]:
    """Decode in one thread, run the network in another, and give what comes out.

    Args:
        film: the film.
        runs: in order, none overlapping another.
        painter: the network.
        size: height and width at which it sees the film.

    Yields:
        Every picture of every run that comes out, with its prediction.
    """
    with (
        Prefetch(_decode(film, runs, size), _AHEAD) as decoded,
        Prefetch(_predict(decoded, painter), _AHEAD) as predicted,
    ):
        yield from predicted


def _decode(film: Film, runs: Sequence[Run], size: tuple[int, int]) -> Iterator[Item]:
    waiting = deque(runs)
    if not waiting:
        return
    for picture in film.pictures(waiting[0].pictures.start):
        run = waiting[0]
        if picture.index in run.pictures:
            upright = turn(film.lightness(picture), film.format.rotation)
            yield Item(run, picture, resize(upright, size).clamp(-1.0, 1.0))
        if picture.index >= run.pictures.stop - 1:
            waiting.popleft()
            if not waiting:
                return


def _predict(items: Prefetch[Item], painter: Painter) -> Iterator[tuple[Item, Prediction]]:
    """Run the network run by run; its output lags a few pictures behind its input."""
    for start, group in itertools.groupby(items, key=lambda item: item.run.pictures.start):
        first = next(group)
        given = {index - start: ab for index, ab in first.run.given.items() if index >= start}
        waiting: deque[Item] = deque()
        for prediction in painter.paint(
            _note_all(itertools.chain([first], group), waiting), given, first.run.state
        ):
            yield waiting.popleft(), prediction


def _note_all(items: Iterable[Item], waiting: deque[Item]) -> Iterator[Float[Tensor, "1 h w"]]:
    for item in items:
        if item.picture.index - item.run.pictures.start >= item.run.seen:
            waiting.append(item)
        yield item.low
