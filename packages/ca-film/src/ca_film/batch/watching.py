"""Watching a folder: films that arrive in it, each taken when nothing writes to it any more."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from ca_film.batch.films import BatchFilm, film_with_own, films_in
from ca_film.errors import FilmError
from ca_film.options import ColorizeOptions
from ca_film.output.work import file_signature

__all__ = ["Watch"]


class Watch:
    """A folder in which films arrive; called, it gives those that are whole and were not given before.

    A film is whole when size, time and ends of the file, or names, sizes and times of a folder's frames, were the same
    for `settle` seconds. Folders are looked at anew each time, so that network file systems, which tell nobody of
    changes, can be watched.

    Args:
        folder: the folder.
        options: for the films in it.
        settle: seconds.
        clock: seconds that go on.

    Raises:
        FilmError: if it is no folder.
    """

    def __init__(
        self,
        folder: Path,
        options: ColorizeOptions,
        settle: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        if not folder.is_dir():
            raise FilmError(f"`watch` {folder} is no folder; make it first")
        self._folder, self._options, self._settle, self._clock = folder, options, settle, clock
        self._seen: dict[str, tuple[str, float]] = {}
        self._given: set[str] = set()

    def __call__(self) -> list[BatchFilm]:
        whole, now = [], self._clock()
        for source in self._films():
            if source in self._given:
                continue
            try:
                signature = file_signature(Path(source))
            except OSError:
                continue
            before, since = self._seen.get(source, ("", now))
            if signature != before:
                self._seen[source] = signature, now
            elif now - since >= self._settle:
                self._given.add(source)
                whole.append(film_with_own(source, self._options))
        return whole

    def _films(self) -> list[str]:
        try:
            return films_in(self._folder)
        except OSError:
            return []  # one went away while it was looked at
