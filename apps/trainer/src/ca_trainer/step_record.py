"""What one training step did."""

from dataclasses import dataclass


@dataclass(frozen=True)
class StepRecord:
    """Numbers of one step, all averaged over the ranks.

    Args:
        losses: the weighted `loss` and its unweighted parts.
        numbers: gradient norm, learning rate, and how the discriminator fares.
        stop_requested: whether some rank was asked to stop.
    """

    losses: dict[str, float]
    numbers: dict[str, float]
    stop_requested: bool
