"""Adversarial training (Eq. 11): the discriminator's logits for the network's frames, and its own steps."""

from collections.abc import Callable, Sequence
from typing import cast

import ca_losses
import torch
from jaxtyping import Float
from lightning.fabric import Fabric
from torch import Tensor

from ca_trainer.errors import TrainerError
from ca_trainer.recipe import Recipe
from ca_trainer.training.batches import Batch
from ca_trainer.training.learners import set_up

Agree = Callable[[dict[str, Tensor], Batch], tuple[dict[str, float], bool]]


class Adversary:
    """A patch discriminator on single frames in normalized Lab, with its optimizer.

    Args:
        recipe: optimizer and seed.
        fabric: device and ranks.
    """

    def __init__(self, recipe: Recipe, fabric: Fabric) -> None:
        if recipe.compute.strategy == "fsdp":
            raise TrainerError(
                'losses.adversarial: not with compute.strategy = "fsdp"; use "ddp" or set it to 0'
            )
        self.recipe, self.fabric = recipe, fabric
        discriminator = ca_losses.PatchDiscriminator(channels=recipe.losses.discriminator_channels)
        self.learner = set_up(recipe, fabric, discriminator)

    def judge(self, ab: Float[Tensor, "b t 2 h w"], batch: Batch) -> Float[Tensor, "bt 1 ph pw"]:
        """Logits of the discriminator for the network's frames, for the network to learn from.

        Runs the bare discriminator with frozen weights, so that neither its gradients nor the ranks'
        bookkeeping are touched.
        """
        discriminator = self.learner.network.requires_grad_(False)
        with self.fabric.autocast():
            logits = discriminator(_frames(batch, ab))
        discriminator.requires_grad_(True)
        return cast(Tensor, logits).float()

    def learn(
        self,
        outputs: Sequence[Float[Tensor, "b t 2 h w"]],
        parts: Sequence[Batch],
        factor: float,
        agree: Agree,
    ) -> dict[str, float]:
        """Take one step of the discriminator on the network's frames of this step.

        Args:
            outputs: the network's ab of each micro-batch, without gradient.
            parts: the micro-batches.
            factor: of the schedule.
            agree: averages losses over the ranks and refuses those that are not finite.

        Returns:
            Its loss, the shares of true and of coloured patches it judges rightly, and the norm of its
            gradient.
        """
        self.learner.set_rate(self.recipe.optimizer.discriminator_learning_rate * factor)
        losses_of_parts: list[dict[str, float]] = []
        for number, (ab, batch) in enumerate(zip(outputs, parts, strict=True)):
            with self.fabric.no_backward_sync(self.learner.module, enabled=number + 1 < len(parts)):
                both = torch.cat((_frames(batch, batch["ab"]), _frames(batch, ab)))
                true, colored = self.learner.module(both).float().chunk(2)
                loss = ca_losses.discriminator_loss(true, colored)
                right = {
                    "discriminator_true": (true > 0).float(),
                    "discriminator_colored": (colored < 0).float(),
                }
                named = {"discriminator_loss": loss} | {name: value.mean() for name, value in right.items()}
                losses_of_parts.append(agree(named, batch)[0])
                self.fabric.backward(loss / len(parts))
        norm = self.learner.clip(self.fabric, self.recipe.optimizer.clip_norm)
        self.learner.step()
        numbers = {
            name: sum(part[name] for part in losses_of_parts) / len(losses_of_parts)
            for name in losses_of_parts[0]
        }
        return numbers | {"discriminator_gradient_norm": float(norm)}


def _frames(batch: Batch, ab: Float[Tensor, "b t 2 h w"]) -> Float[Tensor, "bt 3 h w"]:
    return torch.cat((batch["lightness"], ab.to(batch["lightness"].dtype)), dim=2).flatten(0, 1)
