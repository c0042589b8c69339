"""A batch: many films coloured one by one or side by side, each as `colorize` does it."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ca_film.batch.devices import Place
from ca_film.batch.films import BatchFilm
from ca_film.batch.intake import Intake, finished
from ca_film.batch.progress import BatchProgress
from ca_film.batch.record import FAILED, BatchRecord, Entry
from ca_film.batch.workers import Worker
from ca_film.errors import Cancelled, FilmError

__all__ = ["color_batch"]

_WAIT_SECONDS = 0.1


def color_batch(
    record: BatchRecord,
    films: Sequence[BatchFilm],
    places: Sequence[Place],
    progress: BatchProgress | None = None,
    watch: Callable[[], Sequence[BatchFilm]] | None = None,
) -> list[Entry]:
    """Colour films, one at each place at a time.

    Every film is coloured in a process of its place, by `colorize`, with its bytes. One that fails is noted in the
    record and stops no other. A batch that is stopped or killed goes on when it is called again: done films are not
    done again, and the film in work goes on from its last segment.

    Args:
        record: of the folder that the outputs go to.
        films: what to colour.
        places: where, as `parse_devices` gives them.
        progress: is told how far the work is, and may cancel it.
        watch: is asked every two seconds for films that came since; the batch then goes on until it is cancelled.

    Returns:
        What came of each film, in their order.

    Raises:
        Cancelled: if `progress` asks for it; finished work is kept.
    """
    return _Batch(record, places, progress or BatchProgress(), watch).run(films)


class _Batch:
    """One running batch: a thread for each place, and this one, which alone calls back."""

    def __init__(
        self,
        record: BatchRecord,
        places: Sequence[Place],
        progress: BatchProgress,
        watch: Callable[[], Sequence[BatchFilm]] | None,
    ) -> None:
        self._record, self._places, self._progress = record, places, progress
        self._intake = Intake(record, progress, watch)
        self._calls: queue.SimpleQueue[tuple[Callable[..., None], tuple[Any, ...]]] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._broken: Exception | None = None

    def run(self, films: Sequence[BatchFilm]) -> list[Entry]:
        self._intake.add(films)
        threads = [threading.Thread(target=self._work, args=(place,), daemon=True) for place in self._places]
        for thread in threads:
            thread.start()
        try:
            while any(thread.is_alive() for thread in threads):
                self._call_back()
                if self._progress.cancelled():
                    raise Cancelled("cancelled; finished work is kept, and the same call goes on from it")
                self._intake.look()
        finally:
            self._stop.set()
            for thread in threads:
                thread.join()
            self._call_back()
        if self._broken is not None:
            raise self._broken
        return self._record.entries()

    def _call_back(self) -> None:
        """Make the calls that the other threads asked for; wait a moment for one."""
        try:
            call, values = self._calls.get(timeout=_WAIT_SECONDS)
            while True:
                call(*values)
                call, values = self._calls.get_nowait()
        except queue.Empty:
            return

    def _work(self, place: Place) -> None:
        """Take film after film from the queue, in a thread of its own."""

        def told(film: str, share: float, frames: int) -> None:
            self._calls.put((self._progress.working, (film, share, frames)))

        worker = Worker(place, told, self._stop.is_set)
        try:
            while not self._stop.is_set():
                taken = self._record.take()
                if taken is not None:
                    self._color(worker, *taken)
                elif not self._intake.open:
                    return
                else:
                    self._stop.wait(_WAIT_SECONDS)
        except Exception as error:  # such as a record that cannot be written: the end of the whole batch
            self._broken = error
            self._stop.set()
        finally:
            worker.close()

    def _color(self, worker: Worker, number: int, film: BatchFilm) -> None:
        start = time.monotonic()
        try:
            found = finished(worker.color(film, self._record.out(number)))
        except Cancelled:
            self._record.put_back(number)
            return
        except FilmError as error:
            found = {"state": FAILED, "line": " ".join(str(error).split())}
        entry = self._record.finish(number, seconds=round(time.monotonic() - start, 3), **found)
        self._calls.put((self._progress.ended, (entry,)))
