"""The convolutional encoders E1 (grey frames) and E2 (colour references)."""

from collections.abc import Sequence

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class _Stage(nn.Module):
    def __init__(self, inputs: int, outputs: int, *, blocks: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1)
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(outputs, outputs, 3, padding=1),
                nn.LeakyReLU(0.1, inplace=True),
                nn.Conv2d(outputs, outputs, 3, padding=1),
            )
            for _ in range(blocks)
        )

    def forward(self, x: Tensor) -> Tensor:
        x = F.leaky_relu(self.down(x), 0.1)
        for block in self.blocks:
            x = x + block(x)
        return x


class PyramidEncoder(nn.Module):
    """Encode a picture at H/2, H/4, H/8, ... (N1: each stage halves the resolution).

    Residual blocks without normalisation: statistics over a picture would make the colours of one place depend on
    everything else in the frame, and make them flicker.

    Args:
        inputs: channels of the picture: 1 (lightness) or 3 (normalized Lab).
        widths: channels of each stage.
    """

    def __init__(self, inputs: int, widths: Sequence[int]) -> None:
        super().__init__()
        # The stage at H/2 has the most pixels and the least to say: no block.
        self.stages = nn.ModuleList(
            _Stage(before, after, blocks=min(stage, 2))
            for stage, (before, after) in enumerate(zip([inputs, *widths], widths, strict=False))
        )

    def forward(self, picture: Float[Tensor, "b i h w"]) -> list[Float[Tensor, "b _c _h _w"]]:
        """Features of every stage, finest first; height and width must be multiples of `2 ** stages`."""
        maps = []
        x = picture
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps
