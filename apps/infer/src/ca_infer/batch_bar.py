"""The batch's one progress bar, for all films: rich on a terminal, a line for each film elsewhere."""

from __future__ import annotations

import rich.progress
from ca_film import as_options
from ca_film.batch import DONE, BatchProgress, Entry
from rich.console import Console
from rich.progress import BarColumn, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["BatchBar"]


class BatchBar(BatchProgress):
    """Shows how many films are done, failed and in work, on standard error; use it as a context manager.

    Args:
        console: where to draw; standard error by default, so that standard output holds results only.
    """

    def __init__(self, console: Console | None = None) -> None:
        self.console = console or Console(stderr=True, soft_wrap=True)
        self._bar = rich.progress.Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[frames]} frames"),
            TimeElapsedColumn(),
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )
        self._task = self._bar.add_task("", total=0.0, frames=0)
        self._films, self._done, self._failed, self._frames = 0, 0, 0, 0
        self._shares: dict[str, float] = {}

    def __enter__(self) -> BatchBar:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def waiting(self, films: int) -> None:
        """Make the bar longer."""
        self._films += films
        self._draw()

    def working(self, film: str, share: float, frames: int) -> None:
        """Move the bar."""
        self._shares[film] = share
        self._frames += frames
        self._draw()

    def ended(self, entry: Entry) -> None:
        """Count the film, and say at once what is wrong with it."""
        self._shares.pop(entry.film, None)
        self._done += entry.state == DONE
        self._failed += entry.state != DONE
        self._draw()
        if entry.state != DONE:
            self.console.print(
                f"failed: {entry.film}: {as_options(entry.line)}", highlight=False, markup=False
            )
        elif not self.console.is_terminal:
            self.console.print(f"done: {entry.out} ({entry.frames} frames)", highlight=False, markup=False)

    def note(self, line: str) -> None:
        """Print a line above the bar."""
        self.console.print(f"note: {as_options(line)}", highlight=False, markup=False)

    def _draw(self) -> None:
        failed = f", {self._failed} failed" if self._failed else ""
        self._bar.update(
            self._task,
            total=float(self._films),
            completed=self._done + self._failed + sum(self._shares.values()),
            description=f"{self._done} of {self._films} films{failed}",
            frames=self._frames,
        )
