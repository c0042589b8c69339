"""Means over frames, then over clips, that grow with a stream and add up over several ranks."""

import copy
from typing import Any, Self

import torch
from jaxtyping import Float, Float64
from torch import Tensor


class ClipMean:
    """Mean over frames, then over clips, of one number per frame, with the interface of torchmetrics.

    `update` adds frames, a call (`forward`) adds them and gives their value alone, `compute` is the mean of all.
    `ClipMetric` makes a `torchmetrics.Metric` of it.

    Feed a clip with any number of `update` calls, end it with `end_clip`. A clip still open counts in
    `compute` and `state`. The state is two float64 sums (clip values, clips), so several ranks merge by
    adding: each rank scores whole clips, their states are summed (`state = metric.state();
    torch.distributed.all_reduce(state)`) and merged into a fresh object. No process group is touched here.
    """

    _sum: Tensor | None
    _frames: int

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget everything."""
        self._closed = torch.zeros(2, dtype=torch.float64)
        self._clear_clip()

    def update(self, *frames: Any) -> None:
        """Add frames to the open clip; what they are, each metric says."""
        raise NotImplementedError

    def forward(self, *frames: Any) -> float:
        """Add frames to the open clip, and give the metric of these alone; they are scored twice.

        Args:
            frames: as for `update`.

        Returns:
            The metric in its own unit.
        """
        alone: ClipMean = copy.copy(self)
        alone.reset()
        alone.update(*frames)
        self.update(*frames)
        return alone.compute()

    __call__ = forward

    def end_clip(self) -> None:
        """End the clip: its mean joins the mean over clips; nothing happens where no frame came."""
        self._closed = self.state()
        self._clear_clip()

    def state(self) -> Float64[Tensor, "2"]:
        """What this object knows, as a tensor that may be summed over ranks.

        Returns:
            (sum of the clips' values, number of clips), on the CPU; move it where the process group wants it.
        """
        value = self._clip_value()
        return (
            self._closed.clone()
            if value is None
            else self._closed + torch.tensor([value, 1.0], dtype=torch.float64)
        )

    def merge(self, state: Float64[Tensor, "2"] | Self) -> None:
        """Add the clips that another object (another rank) has scored.

        Args:
            state: what its `state()` returned, a sum of several, or the object itself.

        Raises:
            ValueError: the tensor is no such state.
        """
        if isinstance(state, ClipMean):
            state = state.state()
        if state.shape != (2,) or state.dtype != torch.float64:
            raise ValueError(
                f"state: expected 2 float64 sums, got {state.dtype} {tuple(state.shape)}; "
                "pass what state() returned"
            )
        self._closed = self._closed + state.cpu()

    def compute(self) -> float:
        """The mean over all clips.

        Raises:
            ValueError: no frame has been given.

        Returns:
            The metric in its own unit.
        """
        total, clips = self.state().tolist()
        if clips == 0:
            raise ValueError(
                f"{type(self).__name__}.compute: expected at least one frame, got none; call update first"
            )
        return total / clips

    def _add(self, values: Float[Tensor, "t"]) -> None:
        # Kept where it was computed: an update makes an accelerator wait for nothing.
        total = values.detach().double().sum()
        self._sum = total if self._sum is None else self._sum + total.to(self._sum.device)
        self._frames += len(values)

    def _clip_value(self) -> float | None:
        return None if self._sum is None else float(self._sum) / self._frames

    def _clear_clip(self) -> None:
        self._sum = None
        self._frames = 0
