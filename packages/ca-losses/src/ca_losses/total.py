"""The weighted total of the losses."""

import math
from dataclasses import dataclass
from os import PathLike

from jaxtyping import Float
from torch import Tensor, nn

from ca_losses.adversarial import generator_loss
from ca_losses.perceptual import PerceptualLoss
from ca_losses.pixel import l1_loss
from ca_losses.psnr import psnr_loss
from ca_losses.structural import ssim_loss


@dataclass(frozen=True, kw_only=True)
class LossWeights:
    """Weights of Eq. 12, as the paper sets them; a part of weight 0 is never built nor computed.

    Args:
        pixel: lambda_1.
        perceptual: lambda_perc.
        adversarial: lambda_disc.
        psnr, ssim: of `psnr_loss` and `ssim_loss`, which the paper has not.

    Raises:
        ValueError: a weight is negative or not finite, or all are 0.
    """

    pixel: float = 1.0
    perceptual: float = 1.0
    adversarial: float = 0.01
    psnr: float = 0.0
    ssim: float = 0.0

    def __post_init__(self) -> None:
        for name, value in vars(self).items():
            if not (math.isfinite(value) and value >= 0):
                raise ValueError(
                    f"{name}: expected a finite weight of at least 0, got {value}; 0 switches the loss off"
                )
        if not any(vars(self).values()):
            raise ValueError("weights: expected at least one above 0, got none; nothing would be trained")


class ColorizationLoss(nn.Module):
    """Loss of the network: L1, perceptual and adversarial loss, weighted (Eq. 12, N12).

    `L_total = lambda_1 L_1 + lambda_perc L_perc + lambda_disc L_gen`. The discriminator is not in here: it
    has an optimizer of its own and judges before this loss is called.

    Args:
        weights: of the parts.
        vgg_weights: see `PerceptualLoss`; not looked at where the perceptual weight is 0.

    Raises:
        VGGUnavailable: the perceptual weight is above 0 and there are no VGG19 weights.

    Example:
        >>> import torch
        >>> loss = ColorizationLoss(LossWeights(perceptual=0))
        >>> ab = torch.full((1, 2, 3, 5), 0.5)
        >>> total, parts = loss(ab, ab - 0.25, fake_logits=torch.zeros(1, 1, 2, 2))
        >>> round(total.item(), 4), sorted(parts)
        (0.2569, ['adversarial', 'pixel'])
    """

    def __init__(
        self, weights: LossWeights | None = None, *, vgg_weights: str | PathLike[str] | None = None
    ) -> None:
        super().__init__()
        self.weights = weights or LossWeights()
        self.perceptual = PerceptualLoss(vgg_weights) if self.weights.perceptual > 0 else None

    @property
    def needs_rgb(self) -> bool:
        """Whether the frames are needed as RGB, too."""
        return self.weights.perceptual > 0 or self.weights.psnr > 0 or self.weights.ssim > 0

    @property
    def needs_discriminator(self) -> bool:
        """Whether a discriminator has to be built and asked."""
        return self.weights.adversarial > 0

    def forward(
        self,
        pred_ab: Float[Tensor, "*b 2 h w"],
        true_ab: Float[Tensor, "*b 2 h w"],
        *,
        pred_rgb: Float[Tensor, "*b 3 h w"] | None = None,
        true_rgb: Float[Tensor, "*b 3 h w"] | None = None,
        fake_logits: Float[Tensor, "b 1 ph pw"] | None = None,
    ) -> tuple[Float[Tensor, ""], dict[str, Tensor]]:
        """The total, and its parts before weighting.

        Args:
            pred_ab: predicted normalized ab.
            true_ab: true normalized ab.
            pred_rgb: the predicted frames as sRGB in [0, 1], made differentiably from L and pred_ab.
            true_rgb: the true frames as sRGB in [0, 1].
            fake_logits: the discriminator's answer to the predicted frames. The backward pass leaves
                gradients in the discriminator too: clear them before its own step.

        Returns:
            Scalar to minimise, and the detached parts "pixel", "perceptual", "psnr", "ssim", "adversarial" of those
            that have a weight.

        Raises:
            ValueError: a part with a weight lacks its input, or shapes do not fit.
        """
        values: dict[str, Tensor] = {}
        if self.weights.pixel > 0:
            values["pixel"] = l1_loss(pred_ab, true_ab)
        if self.needs_rgb:
            if pred_rgb is None or true_rgb is None:
                raise ValueError(
                    "pred_rgb and true_rgb: expected RGB frames for the perceptual, PSNR or SSIM loss, got none; "
                    "or set its weight to 0"
                )
            if self.perceptual is not None:
                values["perceptual"] = self.perceptual(pred_rgb, true_rgb)
            if self.weights.psnr > 0:
                values["psnr"] = psnr_loss(pred_rgb, true_rgb)
            if self.weights.ssim > 0:
                values["ssim"] = ssim_loss(pred_rgb, true_rgb)
        if self.needs_discriminator:
            if fake_logits is None:
                raise ValueError(
                    "fake_logits: expected logits for the adversarial loss, got none; or set its weight to 0"
                )
            values["adversarial"] = generator_loss(fake_logits)
        weighted = [getattr(self.weights, name) * value for name, value in values.items()]
        total = weighted[0]
        for value in weighted[1:]:
            total = total + value
        return total, {name: value.detach() for name, value in values.items()}
