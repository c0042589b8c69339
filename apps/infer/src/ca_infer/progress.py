"""The progress bar: rich on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time

import rich.progress
from ca_film import Progress, as_options
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    ProgressColumn,
    SpinnerColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

__all__ = ["ProgressBar"]

_SECONDS_BETWEEN_LINES = 20.0


class _Speed(ProgressColumn):
    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text(f"{speed:.1f} frames/s" if speed else "", style="cyan")


class ProgressBar(Progress):
    """Shows stages on standard error; use it as a context manager.

    Args:
        console: where to draw; standard error by default, so that standard output holds results only.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, soft_wrap=True)
        self._bar = rich.progress.Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            _Speed(),
            TimeRemainingColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task: Task | None = None
        self._done = 0
        self._last_line = 0.0

    def __enter__(self) -> ProgressBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def stage(self, name: str, total: int | None) -> None:
        """Replace the bar by one for the new stage."""
        if self._task is not None:
            self._bar.remove_task(self._task.id)
        number = self._bar.add_task(name, total=total)
        self._task = next((task for task in self._bar.tasks if task.id == number), None)
        self._done, self._last_line = 0, time.monotonic()
        if not self.console.is_terminal:
            self.console.print(f"{name} ({total} frames)" if total else name, highlight=False)

    def advance(self, count: int = 1) -> None:
        """Move the bar."""
        self._done += count
        if self._task is not None:
            self._bar.advance(self._task.id, count)
        now = time.monotonic()
        if not self.console.is_terminal and now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            total = self._task.total if self._task else None
            self.console.print(f"{self._done} of {total:.0f} frames" if total else f"{self._done} frames")

    def note(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(f"note: {as_options(line)}", highlight=False, markup=False)
