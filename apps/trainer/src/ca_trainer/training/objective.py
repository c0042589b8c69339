"""Training objective: ca_losses' weighted total (Eq. 12) and the auxiliary loss on candidate copies."""

import ca_losses
import torch
from ca_data import network_to_rgb
from ca_losses import ColorizationLoss, LossWeights
from ca_model import ColorOutput
from jaxtyping import Float
from lightning.fabric import Fabric
from torch import Tensor

from ca_trainer.errors import TrainerError
from ca_trainer.recipe import LossChoice
from ca_trainer.training.batches import Batch


class Objective:
    """Loss of the network, weighed as the recipe says.

    Args:
        losses: weights of the parts; a part of weight 0 is not built.
        fabric: device and precision of the perceptual network.

    Raises:
        TrainerError: the perceptual network's weights are not there.
    """

    def __init__(self, losses: LossChoice, fabric: Fabric) -> None:
        self.fabric, self.auxiliary = fabric, losses.auxiliary
        weights = LossWeights(
            pixel=losses.l1,
            perceptual=losses.perceptual,
            adversarial=losses.adversarial,
            psnr=losses.psnr,
            ssim=losses.ssim,
        )
        try:
            loss = ColorizationLoss(weights, vgg_weights=losses.vgg_weights or None)
        except (ValueError, OSError) as error:
            raise TrainerError(f"losses.perceptual: {error}") from None
        self.loss = loss.to(fabric.device)

    def __call__(
        self, output: ColorOutput, batch: Batch, fake_logits: Float[Tensor, "b 1 ph pw"] | None
    ) -> dict[str, Tensor]:
        """The total to minimise, named `loss`, and its unweighted, detached parts.

        Args:
            output: of the network for the batch.
            batch: with the true ab.
            fake_logits: the discriminator's answer to the output, where the recipe has one.
        """
        pred_rgb = true_rgb = None
        if self.loss.needs_rgb:
            pred_rgb = network_to_rgb(batch["lightness"], output.ab)
            true_rgb = network_to_rgb(batch["lightness"], batch["ab"])
        with self.fabric.autocast():
            total, parts = self.loss(
                output.ab, batch["ab"], pred_rgb=pred_rgb, true_rgb=true_rgb, fake_logits=fake_logits
            )
        copies = [value for name, value in output.auxiliary.items() if name.startswith("copy_")]
        if self.auxiliary and copies:
            error = torch.stack([ca_losses.l1_loss(copy, batch["ab"]) for copy in copies]).mean()
            total = total + self.auxiliary * error
            parts["auxiliary"] = error.detach()
        return {"loss": total, **parts}
