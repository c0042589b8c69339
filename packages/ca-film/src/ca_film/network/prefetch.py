"""Prefetching: the stages of a film run at the same time, with a bounded number of frames between them."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Generic, TypeVar

__all__ = ["Prefetch"]

T = TypeVar("T")
_LOOK_SECONDS = 0.1


class Prefetch(Generic[T]):
    """Runs an iterator in a thread of its own, a few items ahead.

    Decoder, network and encoder release the interpreter while they work, so stages chained with this overlap.
    An error inside the iterator is raised where its items are taken. `close` stops the thread.

    Args:
        items: what to iterate over; only the new thread touches it.
        ahead: most finished items to hold.

    Example:
        >>> with Prefetch(iter(range(3)), ahead=2) as numbers:
        ...     list(numbers)
        [0, 1, 2]
    """

    def __init__(self, items: Iterable[T], ahead: int) -> None:
        self._items = items
        self._queue: queue.Queue[tuple[str, T | BaseException | None]] = queue.Queue(maxsize=ahead)
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self._thread.start()

    def __enter__(self) -> Prefetch[T]:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __iter__(self) -> Iterator[T]:
        while not self._stopping.is_set():
            kind, value = self._queue.get()
            if kind == "end":
                return
            if kind == "error":
                assert isinstance(value, BaseException)
                raise value
            yield value  # type: ignore[misc]

    def close(self) -> None:
        """Stop the thread and wait for the item it is working on."""
        self._stopping.set()
        with suppress(queue.Empty):
            while True:
                self._queue.get_nowait()
        self._thread.join()

    def _work(self) -> None:
        try:
            for item in self._items:
                if not self._put("item", item):
                    return
            self._put("end", None)
        except BaseException as error:
            self._put("error", error)
        finally:
            close = getattr(self._items, "close", None)
            if close is not None:
                close()

    def _put(self, kind: str, value: T | BaseException | None) -> bool:
        """Wait for room, but not beyond the moment the reader gives up."""
        while not self._stopping.is_set():
            try:
                self._queue.put((kind, value), timeout=_LOOK_SECONDS)
            except queue.Full:
                continue
            return True
        return False
