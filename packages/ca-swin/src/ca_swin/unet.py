"""A convolutional U-Net in the place of the Swin blocks."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ca_swin.shapes import check_map, check_positive


class UNetReconstruction(nn.Module):
    """Convolutions at falling and rising resolution with skips, beside a shortcut (ablation 3).

    `out = x + conv(up(down(x)))`; every level has the same width. No normalisation, whose statistics
    would depend on the size of the map.

    Args:
        channels: channels of the map.
        depth: how often the resolution is halved.

    Raises:
        ValueError: if a number is not positive.

    Example:
        >>> body = UNetReconstruction(8, depth=2)
        >>> body(torch.rand(1, 8, 5, 7)).shape
        torch.Size([1, 8, 5, 7])
    """

    def __init__(self, channels: int, *, depth: int = 2) -> None:
        super().__init__()
        check_positive(channels=channels, depth=depth)
        self.channels = channels
        self.enter = _stage(channels, channels)
        self.down = nn.ModuleList(_stage(channels, channels, stride=2) for _ in range(depth))
        self.up = nn.ModuleList(_stage(2 * channels, channels) for _ in range(depth))
        self.conv = nn.Conv2d(channels, channels, kernel_size=3, padding=1)

    def forward(self, x: Float[Tensor, "b c h w"]) -> Float[Tensor, "b c h w"]:
        """Reconstruct a map of any height and width.

        Args:
            x: features, `b channels h w`.

        Returns:
            Features of the same shape.

        Raises:
            ValueError: if `x` is not `b channels h w`.
        """
        check_map("x", x, self.channels)
        y = self.enter(x)
        skips = []
        for stage in self.down:
            skips.append(y)
            y = stage(y)
        for stage in self.up:
            skip = skips.pop()
            y = F.interpolate(y, size=skip.shape[2:], mode="bilinear", align_corners=False)
            y = stage(torch.cat([y, skip], dim=1))
        return x + self.conv(y)


def _stage(inputs: int, outputs: int, *, stride: int = 1) -> nn.Sequential:
    conv = nn.Conv2d(inputs, outputs, kernel_size=3, stride=stride, padding=1)
    return nn.Sequential(conv, nn.LeakyReLU(0.1))
