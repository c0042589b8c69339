"""A metric of ours as a `torchmetrics.Metric`, for loops that log, checkpoint and synchronise metrics by themselves."""

import copy
from typing import Any

import torch
import torchmetrics
from jaxtyping import Float64
from torch import Tensor

from ca_metrics.accumulate import ClipMean


class ClipMetric(torchmetrics.Metric):
    """Mean over clips of a metric of this package; one `update` is one clip.

    The state is two float64 sums (values, clips), which torchmetrics adds over processes.

    Args:
        metric: what scores a clip, such as `PSNR()`; copied.

    Example:
        >>> from ca_metrics import PSNR
        >>> metric = ClipMetric(PSNR())
        >>> round(float(metric(torch.full((2, 3, 4, 4), 0.1), torch.zeros(2, 3, 4, 4))), 4)
        20.0
        >>> metric.update(torch.full((5, 3, 4, 4), 0.01), torch.zeros(5, 3, 4, 4))
        >>> round(float(metric.compute()), 4)
        30.0
    """

    full_state_update = False
    totals: Float64[Tensor, "2"]

    def __init__(self, metric: ClipMean) -> None:
        super().__init__()
        self._clip = copy.deepcopy(metric)
        self.add_state("totals", default=torch.zeros(2, dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, *frames: Any) -> None:
        """Add a whole clip.

        Args:
            frames: as for the metric's own `update`.
        """
        self._clip.reset()
        self._clip.update(*frames)
        self.totals = self.totals + self._clip.state().to(self.totals.device)

    def compute(self) -> Float64[Tensor, ""]:
        """The mean over all clips of all processes; NaN where none came."""
        return self.totals[0] / self.totals[1]
