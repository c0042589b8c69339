"""Intake of a batch: films on their way into the queue, and what a finished one leaves in the record."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

from ca_film.batch.films import BatchFilm
from ca_film.batch.progress import BatchProgress
from ca_film.batch.record import DONE, BatchRecord
from ca_film.colorize import Result

__all__ = ["Intake", "finished"]

_LOOK_SECONDS = 2.0


class Intake:
    """Puts films into the queue, and looks now and then whether more have come.

    Args:
        record: the queue.
        progress: is told of the films, and of those that are done already.
        watch: is asked for films that came since; None: none come.
    """

    def __init__(
        self,
        record: BatchRecord,
        progress: BatchProgress,
        watch: Callable[[], Sequence[BatchFilm]] | None,
    ) -> None:
        self._record, self._progress, self._watch = record, progress, watch
        self._last_look = time.monotonic()

    @property
    def open(self) -> bool:
        """Whether more may come."""
        return self._watch is not None

    def add(self, films: Sequence[BatchFilm]) -> None:
        """Put films into the queue."""
        entries = self._record.add(films)
        self._progress.waiting(len(entries))
        for entry in entries:
            if entry.state == DONE:
                self._progress.ended(entry)

    def look(self) -> None:
        """Ask for more, every two seconds."""
        if self._watch is not None and time.monotonic() - self._last_look > _LOOK_SECONDS:
            self._last_look = time.monotonic()
            if found := self._watch():
                self.add(found)


def finished(result: Result) -> dict[str, Any]:
    """What the record keeps of a film that is done."""
    return {
        "state": DONE,
        "frames": result.frames,
        "shots": result.shots,
        "notes": result.notes,
        "problems": result.problems,
    }
