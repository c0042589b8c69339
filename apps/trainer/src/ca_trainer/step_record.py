"""What one training step did."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRecord:
    """What one step did; losses and numbers are averaged over the ranks.

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
