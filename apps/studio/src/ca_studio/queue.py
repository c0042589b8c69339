"""The queue of films to be exported: one at a time, in order, and still there after a restart."""

from __future__ import annotations

import fcntl
import json
import threading
import time
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import IO

from ca_data import write_atomically
from ca_film import Cancelled, ColorizeOptions, FilmError, Progress, StreamChoice
from ca_film.project import colorize_project

__all__ = ["Export", "ExportQueue"]

WAITING, RUNNING, DONE, FAILED, CANCELLED = "waiting", "running", "done", "failed", "cancelled"


@dataclass
class Export:
    """One film to be exported.

    Args:
        project: its folder.
        out: a video file, or a folder for PNG files.
        codec: of the video; None for the default.
        crf: its constant quality; None for the codec's default.
        audio: whether sound is copied.
        subtitles: whether subtitles are copied.
        overwrite: whether an output that is there may be replaced.
        state: `waiting`, `running`, `done`, `failed` or `cancelled`.
        message: what the user should know.
        stage: what is being done.
        done: frames of the stage that are done.
        total: frames of the stage; 0 where it is not known.
    """

    project: str
    out: str
    codec: str | None = None
    crf: int | None = None
    audio: bool = True
    subtitles: bool = True
    overwrite: bool = False
    state: str = WAITING
    message: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0

    def options(self) -> ColorizeOptions:
        """How the output is stored."""
        streams = StreamChoice(audio=self.audio, subtitles=self.subtitles)
        return ColorizeOptions(codec=self.codec, crf=self.crf, streams=streams, overwrite=self.overwrite)


class _Follow(Progress):
    def __init__(self, export: Export, stopped: threading.Event) -> None:
        self._export, self._stopped = export, stopped
        self.began = time.monotonic()

    def stage(self, name: str, total: int | None) -> None:
        self._export.stage, self._export.done, self._export.total = name, 0, total or 0
        self.began = time.monotonic()

    def advance(self, count: int = 1) -> None:
        self._export.done += count

    def note(self, line: str) -> None:
        self._export.message = line

    def cancelled(self) -> bool:
        return self._stopped.is_set()


class ExportQueue:
    """Exports in the order given.

    Args:
        file: where they are kept.
        paused: add and remove only; nothing runs.

    Raises:
        FilmError: if another process has the queue: both would run it, and write over each other.
    """

    def __init__(self, file: Path, *, paused: bool = False) -> None:
        self._file = file
        self._taken = _take(file)
        self.exports = _read(file)
        self._lock = threading.RLock()
        self._wake, self._stopped = threading.Event(), threading.Event()
        self._closing = False
        self._follow: _Follow | None = None
        self._thread = threading.Thread(target=self._run, name="exports", daemon=True)
        if not paused:
            self._wake.set()
            self._thread.start()

    def add(self, export: Export) -> None:
        """Put an export at the end."""
        with self._lock:
            self.exports.append(export)
            self._save()
        self._wake.set()

    def cancel(self, export: Export) -> None:
        """Stop an export; what is finished of it is kept, and `resume` goes on from there."""
        with self._lock:
            if export.state == RUNNING:
                self._stopped.set()
            elif export.state == WAITING:
                export.state = CANCELLED
            self._save()

    def resume(self, export: Export) -> None:
        """Go on with an export that was cancelled or failed."""
        with self._lock:
            if export.state in (CANCELLED, FAILED):
                export.state, export.message = WAITING, ""
            self._save()
        self._wake.set()

    def remove(self, export: Export) -> None:
        """Forget an export that is not running."""
        with self._lock:
            if export.state != RUNNING and export in self.exports:
                self.exports.remove(export)
            self._save()

    def seconds_left(self, export: Export) -> float | None:
        """Time that the stage is likely to take; None where that is not known."""
        if export.state != RUNNING or self._follow is None or not export.done or not export.total:
            return None
        return (time.monotonic() - self._follow.began) / export.done * (export.total - export.done)

    def close(self) -> None:
        """Stop; what was running is waiting when the queue is opened again."""
        with self._lock:
            self._closing = True
            self._stopped.set()
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(timeout=60)
        self._taken.close()

    def _run(self) -> None:
        while not self._closing:
            self._wake.wait()
            self._wake.clear()
            while not self._closing and (export := self._next()) is not None:
                self._export(export)

    def _next(self) -> Export | None:
        with self._lock:
            export = next((export for export in self.exports if export.state == WAITING), None)
            if self._closing:
                return None
            if export is not None:
                export.state, export.message = RUNNING, ""
                self._stopped.clear()
                self._save()
            return export

    def _export(self, export: Export) -> None:
        self._follow = _Follow(export, self._stopped)
        try:
            result = colorize_project(export.project, export.out, export.options(), self._follow)
            export.message = "; ".join([f"{result.frames} frames", *result.notes, *result.problems[:3]])
            export.state = DONE
        except Cancelled:
            # Closing is no decision against the film.
            export.state = WAITING if self._closing else CANCELLED
        except (FilmError, OSError) as error:
            export.state, export.message = FAILED, str(error)
        except Exception as error:  # one broken film must not stop the others
            export.state, export.message = FAILED, f"{type(error).__name__}: {error}"
        with self._lock:
            self._save()

    def _save(self) -> None:
        self._file.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self._file, json.dumps([asdict(export) for export in self.exports], indent=1))


def _take(file: Path) -> IO[str]:
    file.parent.mkdir(parents=True, exist_ok=True)
    lock = file.with_suffix(".lock").open("w")
    try:
        # The system lets go of the lock when the process ends, even a killed one.
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise FilmError(
            f"queue {file} belongs to a studio that is running; use that one, or give another folder with --state"
        ) from None
    return lock


def _read(file: Path) -> list[Export]:
    known = {field.name for field in fields(Export)}
    try:
        entries = json.loads(file.read_text(encoding="utf-8"))
        exports = [
            Export(**{name: value for name, value in entry.items() if name in known}) for entry in entries
        ]
    except (OSError, ValueError, TypeError, AttributeError):
        return []
    for export in exports:
        if export.state == RUNNING:
            export.state = WAITING
    return exports
