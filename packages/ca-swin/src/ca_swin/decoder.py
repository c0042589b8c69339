"""From features at a quarter of the resolution to colour at all of it."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from ca_swin.shapes import check_map, check_positive, check_size, halved


class ColorDecoder(nn.Module):
    """Bring features to full resolution, guided by the grey frame, and predict ab (N10).

    Bilinear x2, joined with the encoder's features at H/2; bilinear x2, joined with the lightness itself,
    whose edges the colour has to follow; tanh. A 1 x 1 convolution narrows the map *before* each enlargement:
    it commutes with the interpolation and costs a quarter.

    Args:
        channels: channels of the features.
        skip_channels: channels of the encoder's features at H/2.

    Raises:
        ValueError: if a number is not positive.

    Example:
        >>> decoder = ColorDecoder(16, 8)
        >>> features, skip = torch.rand(1, 16, 4, 6), torch.rand(1, 8, 7, 11)
        >>> decoder(features, skip, torch.rand(1, 1, 14, 22)).shape
        torch.Size([1, 2, 14, 22])
    """

    def __init__(self, channels: int, skip_channels: int) -> None:
        super().__init__()
        check_positive(channels=channels, skip_channels=skip_channels)
        self.channels = channels
        self.skip_channels = skip_channels
        half, full = max(channels // 2, 1), max(channels // 4, 1)
        self.narrow_half = nn.Conv2d(channels, half, kernel_size=1)
        self.join_skip = _conv(half + skip_channels, half)
        self.narrow_full = nn.Conv2d(half, full, kernel_size=1)
        self.join_lightness = _conv(full + 1, full)
        self.to_ab = nn.Conv2d(full, 2, kernel_size=3, padding=1)

    def forward(
        self,
        features: Float[Tensor, "b c h4 w4"],
        skip: Float[Tensor, "b s h2 w2"],
        lightness: Float[Tensor, "b 1 h w"],
    ) -> Float[Tensor, "b 2 h w"]:
        """Predict the colour of a frame.

        Args:
            features: reconstructed features at H/4, `b channels h/4 w/4` (each halving rounded up).
            skip: the encoder's features at H/2, `b skip_channels h/2 w/2`.
            lightness: L/50 - 1, in [-1, 1], `b 1 h w`.

        Returns:
            ab/110, in (-1, 1), at full resolution.

        Raises:
            ValueError: if shapes do not belong together.
        """
        check_map("features", features, self.channels)
        check_map("skip", skip, self.skip_channels)
        check_map("lightness", lightness, 1)
        batch, full = lightness.shape[0], (lightness.shape[2], lightness.shape[3])
        half = halved(full)
        check_size("skip", skip, batch, half, why="half of lightness, rounded up")
        check_size("features", features, batch, halved(half), why="a quarter of lightness, rounded up")
        x = self.join_skip(torch.cat([_resize(self.narrow_half(features), half), skip], dim=1))
        x = self.join_lightness(torch.cat([_resize(self.narrow_full(x), full), lightness], dim=1))
        return self.to_ab(x).tanh()


def _conv(inputs: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel_size=3, padding=1), nn.LeakyReLU(0.1))


def _resize(x: Tensor, size: tuple[int, int]) -> Tensor:
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
