"""Losses for colourisation: L1, PSNR, SSIM, VGG perceptual, patch-adversarial and their weighted total."""

from ca_losses.adversarial import PatchDiscriminator, discriminator_loss, generator_loss
from ca_losses.perceptual import PerceptualLoss, VGGUnavailable
from ca_losses.pixel import l1_loss
from ca_losses.psnr import psnr_loss
from ca_losses.structural import ssim_loss
from ca_losses.total import ColorizationLoss, LossWeights

__all__ = [
    "ColorizationLoss",
    "LossWeights",
    "PatchDiscriminator",
    "PerceptualLoss",
    "VGGUnavailable",
    "discriminator_loss",
    "generator_loss",
    "l1_loss",
    "psnr_loss",
    "ssim_loss",
]
