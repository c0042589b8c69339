"""The previous colour frame as features."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from ca_swin.shapes import check_map, check_positive, check_size


class StateEncoder(nn.Module):
    """Encode the previous output, L and ab, at a quarter of its resolution (E in Fig. 1, N8).

    Args:
        channels: channels of the features.

    Raises:
        ValueError: if `channels` is not positive.

    Example:
        >>> encoder = StateEncoder(8)
        >>> encoder(torch.rand(1, 1, 14, 22), torch.rand(1, 2, 14, 22)).shape
        torch.Size([1, 8, 4, 6])
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        check_positive(channels=channels)
        hidden = max(channels // 2, 1)
        self.layers = nn.Sequential(
            nn.Conv2d(3, hidden, kernel_size=3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(hidden, channels, kernel_size=3, stride=2, padding=1),
            nn.LeakyReLU(0.1),
            nn.Conv2d(channels, channels, kernel_size=3, padding=1),
        )

    def forward(
        self, lightness: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"]
    ) -> Float[Tensor, "b c h4 w4"]:
        """Encode a frame.

        Args:
            lightness: L/50 - 1, in [-1, 1], `b 1 h w`.
            ab: ab/110, in (-1, 1), `b 2 h w`.

        Returns:
            Features; odd sizes are rounded up at each of the two halvings.

        Raises:
            ValueError: if shapes do not belong together.
        """
        check_map("lightness", lightness, 1)
        check_map("ab", ab, 2)
        check_size("ab", ab, lightness.shape[0], lightness.shape[2:], why="those of lightness")
        return self.layers(torch.cat([lightness, ab], dim=1))
