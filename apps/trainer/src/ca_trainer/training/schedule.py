"""Schedules: learning rate and clip length as functions of the step, so that a resumed run agrees."""

import math

from ca_trainer.recipe import DataChoice, ScheduleChoice


def rate_factor(schedule: ScheduleChoice, step: int, steps: int) -> float:
    """Share of the full learning rate that step `step` (from 0) of `steps` takes.

    Linear from 1/warmup to 1 over the warm-up, then `final + (1 - final)(1 + cos(pi p)) / 2` with p the share
    of the remaining steps that is done. A step past the plan keeps the rate of its end.

    Args:
        schedule: kind, warm-up in steps, final share in [0, 1].
        step: index of the step about to be taken, from 0.
        steps: planned number of steps.

    Returns:
        A factor in (0, 1].

    Example:
        >>> rate_factor(ScheduleChoice(kind="cosine", warmup=4, final=0.0), 1, 100)
        0.5
    """
    if step < schedule.warmup:
        return (step + 1) / schedule.warmup
    if schedule.kind == "constant":
        return 1.0
    done = min(1.0, (step - schedule.warmup) / max(1, steps - schedule.warmup))
    return schedule.final + (1 - schedule.final) * (1 + math.cos(math.pi * done)) / 2


def clip_length_at(data: DataChoice, step: int) -> int:
    """Length in frames of the clips that step `step` (from 0) trains on.

    Grows evenly from `clip_length_start` to `clip_length` over `clip_length_growth` steps.

    Example:
        >>> data = DataChoice(
        ...     size=(64, 96), clip_length=6, clip_length_start=2, clip_length_growth=100
        ... )
        >>> [clip_length_at(data, step) for step in (0, 50, 100)]
        [2, 4, 6]
    """
    if not data.clip_length_growth or not data.clip_length_start or step >= data.clip_length_growth:
        return data.clip_length
    return (
        data.clip_length_start + (data.clip_length - data.clip_length_start) * step // data.clip_length_growth
    )
