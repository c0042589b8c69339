"""A network and its optimizer, as Fabric has set them up."""

from dataclasses import dataclass
from typing import cast

import torch
from lightning.fabric import Fabric
from lightning.fabric.wrappers import _FabricModule, _FabricOptimizer
from torch import Tensor, nn
from torch.distributed.tensor import DTensor
from torch.optim import Optimizer

from ca_trainer.recipe import Recipe

OPTIMIZERS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}


@dataclass(frozen=True)
class Learner:
    """One network in training.

    Args:
        module: for forward passes: moves precision and synchronises ranks.
        optimizer: of its parameters.
    """

    module: _FabricModule
    optimizer: _FabricOptimizer

    @property
    def holder(self) -> nn.Module:
        """What holds the parameters: the strategy's wrapper around the network, or the network itself."""
        return cast(nn.Module, self.module._forward_module)

    @property
    def network(self) -> nn.Module:
        """The network itself, past every wrapper."""
        return cast(nn.Module, self.module.module)

    @property
    def plain_optimizer(self) -> Optimizer:
        """The optimizer without Fabric's wrapper."""
        return self.optimizer.optimizer

    def set_rate(self, rate: float) -> None:
        """Set the learning rate of all parameters."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate

    def clip(self, fabric: Fabric, longest: float) -> Tensor:
        """Shorten the gradient to the norm `longest` (0: leave it) and return the norm it had."""
        norm = fabric.clip_gradients(
            self.module, self.optimizer, max_norm=longest or float("inf"), error_if_nonfinite=False
        )
        return norm.full_tensor() if isinstance(norm, DTensor) else cast(Tensor, norm)

    def step(self) -> None:
        """Let the optimizer step, and forget the gradients."""
        self.optimizer.step()
        self.optimizer.zero_grad()


def set_up(recipe: Recipe, fabric: Fabric, network: nn.Module) -> Learner:
    """Bring a network to its device, wrap it for the strategy and make its optimizer."""
    module = fabric.setup_module(network)
    chosen = recipe.optimizer
    betas = (chosen.betas[0], chosen.betas[1])
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = OPTIMIZERS[chosen.kind](
        trained, lr=chosen.learning_rate, betas=betas, weight_decay=chosen.weight_decay
    )
    return Learner(module, fabric.setup_optimizers(optimizer))
