"""Worker processes: one for each place, which colours one film after another and may die without harm to others."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

import torch

from ca_film.batch.devices import Place
from ca_film.batch.films import BatchFilm
from ca_film.colorize import Result, colorize
from ca_film.errors import Cancelled, FilmError
from ca_film.options import ColorizeOptions
from ca_film.progress import Progress
from ca_film.project.export import colorize_project
from ca_film.project.folder import is_project

__all__ = ["Worker", "color_film"]

_TOLD_SECONDS = 0.1
_LIVES = 3  # processes that a film may cost
# Shares of a film's work by stage: looking through it is decoding alone.
_STAGES = {"looking through the film": (0.0, 0.1), "colouring": (0.1, 0.98), "writing": (0.98, 1.0)}


def color_film(source: Path, out: Path, options: ColorizeOptions, progress: Progress) -> Result:
    """Colour a film or a project of the studio, whichever it is."""
    if not is_project(source):
        return colorize(source, out, options, progress)
    if options.stills:
        raise FilmError(
            f"the references and the project {source} both name stills; add them to the project instead"
        )
    return colorize_project(source, out, options, progress)


class Worker:
    """A process that colours films at one place, started when first needed and again where it died.

    Args:
        place: where it runs the network.
        told: gets the share of the film that is done, and how many frames were coloured since.
        stopping: whether to stop; finished work is kept.
    """

    def __init__(
        self, place: Place, told: Callable[[str, float, int], None], stopping: Callable[[], bool]
    ) -> None:
        self._place, self._told, self._stopping = place, told, stopping
        self._process: Any = None
        self._pipe: Connection | None = None

    def color(self, film: BatchFilm, out: Path) -> Result:
        """Colour a film.

        Raises:
            FilmError: if it cannot be coloured, or its process died several times.
            Cancelled: if it was to stop.
        """
        options = replace(film.options, device=self._place.device)
        for _ in range(_LIVES):
            try:
                return self._ask(film.source, out, options)
            except EOFError:
                code = self._end()
        raise FilmError(
            f"the process that coloured it died {_LIVES} times (last with code {code}); "
            "is there enough memory? Finished work is kept: run again"
        )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._end()

    def _ask(self, source: str, out: Path, options: ColorizeOptions) -> Result:
        pipe = self._start()
        told_to_stop = False
        try:
            pipe.send((source, out, options))
            while True:
                while not pipe.poll(_TOLD_SECONDS):
                    if self._stopping() and not told_to_stop:
                        pipe.send(None)
                        told_to_stop = True
                kind, value = pipe.recv()
                if kind == "far":
                    self._told(source, *value)
                elif kind == "done":
                    result: Result = value
                    return result
                else:
                    raise value
        except (BrokenPipeError, ConnectionResetError):
            raise EOFError from None

    def _start(self) -> Connection:
        if self._pipe is None:
            # A fork of this process would inherit torch's threads, broken; of a server that only imported it, none.
            context = multiprocessing.get_context("forkserver")
            context.set_forkserver_preload([__name__])
            self._pipe, theirs = context.Pipe()
            self._process = context.Process(target=_serve, args=(theirs, self._place.threads), daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe

    def _end(self) -> int | None:
        assert self._pipe is not None
        self._pipe.close()
        self._process.kill()
        self._process.join()
        code: int | None = self._process.exitcode
        self._process = self._pipe = None
        return code


class _Telling(Progress):
    """Tells the parent process how far a film is, and hears from it when to stop."""

    def __init__(self, pipe: Connection) -> None:
        self._pipe = pipe
        self._stage, self._total, self._done, self._untold = "", 0, 0, 0
        self._last = 0.0

    def stage(self, name: str, total: int | None) -> None:
        self._stage, self._total, self._done = name, total or 0, 0
        self._tell()

    def advance(self, count: int = 1) -> None:
        self._done += count
        self._untold += count if self._stage.startswith("colouring") else 0
        if time.monotonic() - self._last > _TOLD_SECONDS:
            self._tell()

    def cancelled(self) -> bool:
        return self._pipe.poll()

    def _tell(self) -> None:
        first, last = _STAGES.get(self._stage, (0.1, 0.1))
        share = first + (last - first) * (min(1.0, self._done / self._total) if self._total else 0.0)
        self._pipe.send(("far", (share, self._untold)))
        self._untold, self._last = 0, time.monotonic()


def _serve(pipe: Connection, threads: int) -> None:
    """Colour what comes through a pipe, for as long as the parent process lives."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent says what becomes of it
    threading.Thread(target=_die_with_parent, daemon=True).start()
    if threads:
        torch.set_num_threads(threads)
    while True:
        try:
            asked = pipe.recv()
        except EOFError:
            return
        if asked is None:
            continue
        source, out, options = asked
        answer: tuple[str, Any]
        try:
            answer = "done", color_film(Path(source), out, options, _Telling(pipe))
        except (FilmError, Cancelled) as error:
            answer = "failed", error
        except Exception as error:  # one film must not stop the others, whatever is wrong with it
            answer = "failed", FilmError(f"{type(error).__name__}: {' '.join(str(error).split())}")
        pipe.send(answer)


def _die_with_parent() -> None:
    """End at once when the parent is gone: the work is kept, and whoever starts again finds its lock free."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
