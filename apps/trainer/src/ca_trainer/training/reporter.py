"""Reporting of a training run: terminal, metrics.jsonl, TensorBoard and two figures. Only rank 0 reports."""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from ca_trainer.training.figures import draw_curves, draw_preview, smooth, stack_preview
from ca_trainer.training.metrics_log import MetricsLog
from ca_trainer.training.run_folder import RunFolder
from ca_trainer.training.validation import ValidationResult

SECONDS_BETWEEN_LINES = 15.0  # where no progress bar can be drawn
STEPS_TIMED = 5  # the first steps, from which the remaining time is estimated


@dataclass(frozen=True)
class StepRecord:
    """Record of one training step; losses and numbers are averaged over the ranks.

    Args:
        losses: the weighted `loss` and its unweighted parts.
        frames: learnt from, over all ranks.
        numbers: gradient norm, learning rate, and how the discriminator fares.
        stop_requested: whether some rank was asked to stop.
    """

    losses: dict[str, float]
    frames: int
    numbers: dict[str, float]
    stop_requested: bool


class Reporter:
    """Reporter of a training loop; on other ranks than the first it does nothing.

    Args:
        folder: of the run.
        console: to print on.
        active: whether this is the first rank.
        first: step the run starts from.
        until: step it stops at.
        title: above the curves.
    """

    def __init__(
        self,
        folder: RunFolder,
        console: Console,
        *,
        active: bool,
        first: int,
        until: int,
        title: str,
    ) -> None:
        self.folder, self.console, self.active, self.title = folder, console, active, title
        self.first, self.until, self.frames = first, until, 0
        self.waited = self.trained = 0.0
        self.last: ValidationResult | None = None
        self._recent: list[float] = []
        self._spoke = time.monotonic()
        if not active:
            return
        from torch.utils.tensorboard import SummaryWriter  # slow to import, and only one rank writes

        self.log = MetricsLog(folder.metrics, keep_until=first)
        self.board = SummaryWriter(str(folder.tensorboard), purge_step=first + 1)
        columns = (
            TextColumn("training"),
            BarColumn(),
            TaskProgressColumn(),
            MofNCompleteColumn(),
            TextColumn("loss {task.fields[loss]:.4f}"),
            TextColumn("{task.fields[speed]:.3g} frames/s"),
            TimeRemainingColumn(elapsed_when_finished=True),
        )
        self.bar = Progress(*columns, console=console, disable=not console.is_terminal)
        self.task = self.bar.add_task("train", total=until, completed=first, loss=float("nan"), speed=0.0)

    def __enter__(self) -> "Reporter":
        if self.active:
            self.bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.active:
            self.bar.stop()
            self.log.close()
            self.board.close()

    def stepped(self, step: int, record: StepRecord, seconds: float, waited: float) -> None:
        """Report a finished step (counted from 1) that took `seconds`, of which `waited` for its data."""
        self.trained += seconds
        self.waited += waited
        self.frames += record.frames
        if not self.active:
            return
        timing = {"seconds": seconds, "waiting": waited, "frames_per_second": record.frames / seconds}
        self._write(step, "step", record.losses | record.numbers | timing)
        self._recent = [*self._recent[-49:], record.losses["loss"]]
        self.bar.update(self.task, completed=step, loss=smooth(self._recent)[-1], speed=self.speed())
        if step - self.first == STEPS_TIMED and self.until > step:
            self.console.print(
                f"Estimated from the first {STEPS_TIMED} steps: {self._left(step)} of training"
            )
        if not self.console.is_terminal and time.monotonic() - self._spoke > SECONDS_BETWEEN_LINES:
            self._spoke = time.monotonic()
            self.console.print(
                f"step {step}/{self.until}  loss {smooth(self._recent)[-1]:.4f}  "
                f"{self.speed():.3g} frames/s  {self._left(step)} left"
            )

    def speed(self) -> float:
        """Frames per second of training so far."""
        return self.frames / max(self.trained, 1e-9)

    def waiting_share(self) -> float:
        """Share of the training time spent waiting for data."""
        return self.waited / max(self.trained, 1e-9)

    def _left(self, step: int) -> str:
        return in_words((self.until - step) * self.trained / max(1, step - self.first))

    def validated(self, step: int, result: ValidationResult) -> None:
        """Report a validation: a line, an entry, and both pictures anew."""
        self.last = result
        if not self.active:
            return
        gain = result.psnr - result.psnr_grey
        self.console.print(
            f"step {step:>6}  validation PSNR {result.psnr:.2f} dB  "
            f"(grey {result.psnr_grey:.2f} dB, {gain:+.2f})"
        )
        clips = dict(zip(result.names, result.clip_psnr, strict=True))
        self._write(step, "validation", {"psnr": result.psnr, "psnr_grey": result.psnr_grey, "clips": clips})
        captions = [f"{name}: {psnr:.1f} dB" for name, psnr in clips.items()]
        draw_preview(result.columns, captions, self.folder.preview)
        draw_curves(self.log.losses, self.log.checks, self.folder.curve, self.title)
        self.board.add_image("preview", stack_preview(result.columns), step)

    def _write(self, step: int, event: str, values: Mapping[str, Any]) -> None:
        self.log.write({"event": event, "step": step, **values})
        for name, value in values.items():
            if isinstance(value, float):
                self.board.add_scalar(f"{event}/{name}", value, step)


def in_words(seconds: float) -> str:
    """A duration in words.

    Example:
        >>> in_words(95), in_words(4000), in_words(12)
        ('about 1 min 35 s', 'about 1 h 7 min', 'about 12 s')
    """
    whole = max(1, round(seconds))
    if whole < 60:
        return f"about {whole} s"
    if whole < 3600:
        return f"about {whole // 60} min {whole % 60} s"
    minutes = round(whole / 60)
    return f"about {minutes // 60} h {minutes % 60} min"
