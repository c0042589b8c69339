"""The body of a reconstruction: window attention, or the U-Net of ablation 3."""

from ca_swin import SwinReconstruction, UNetReconstruction
from torch import nn

from ca_model.config import ColorAlignConfig


def make_body(config: ColorAlignConfig, channels: int) -> nn.Module:
    """Swin blocks (Eq. 8) or a U-Net, from "b channels h w" to the same."""
    if config.reconstruction == "unet":
        return UNetReconstruction(channels)
    return SwinReconstruction(
        channels, depth=config.body_depth, heads=config.body_heads, window=config.window
    )
