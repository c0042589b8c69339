"""Exponential moving average (EMA) of the weights, which validates better than the last step's weights."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn


class WeightAverage:
    """Exponential moving average of a module's parameters: average <- decay average + (1 - decay) weights.

    The decay of update n (from 0) is min(decay, (1 + n) / (10 + n)), so that random first weights are
    forgotten. The average lies beside the parameters one for one, hence also beside the local shards of a
    sharded module.

    Args:
        module: the network, after it was set up for its device.
        decay: in [0, 1); 0 keeps no average.

    Example:
        >>> layer = nn.Linear(2, 1)
        >>> average = WeightAverage(layer, decay=0.9)
        >>> average.update()
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = module
        self.decay = decay
        self.updates = 0
        self.tensors = [parameter.detach().clone() for parameter in module.parameters()] if decay else []

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights of one more step."""
        if not self.decay:
            return
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        weights = [parameter.detach() for parameter in self.module.parameters()]
        torch._foreach_lerp_(self.tensors, weights, 1 - decay)
        self.updates += 1

    @torch.no_grad()
    def take(self) -> None:
        """Make the module's present weights the average (a checkpoint's was loaded into them)."""
        for average, parameter in zip(self.tensors, self.module.parameters(), strict=False):
            average.copy_(parameter)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the module holds the averaged weights; afterwards its own again, bit for bit."""
        self._swap()
        try:
            yield
        finally:
            self._swap()

    @torch.no_grad()
    def _swap(self) -> None:
        for average, parameter in zip(self.tensors, self.module.parameters(), strict=False):
            held = parameter.detach().clone()
            parameter.copy_(average)
            average.copy_(held)
