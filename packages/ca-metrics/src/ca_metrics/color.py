"""Colorfulness after Hasler and Suesstrunk."""

import torch
from jaxtyping import Float64
from torch import Tensor

from ca_metrics.accumulate import ClipMean
from ca_metrics.frames import Frames, check_frames, frames_at_once, scaled


def colorfulness(frames: Frames) -> Float64[Tensor, "t"]:
    """Colorfulness of every frame (Hasler and Suesstrunk 2003, metric M3).

    With `rg = R - G` and `yb = (R + G) / 2 - B` on 0..255: `sqrt(var rg + var yb) + 0.3 sqrt((mean rg)^2 +
    (mean yb)^2)`, population variances. It has no truth in it: a wrong colour counts as much as a right one,
    so read it beside the truth's.

    Args:
        frames: RGB frames "t 3 h w", uint8 or float in [0, 1].

    Returns:
        "t"; 0 is grey, about 15 slightly, 45 averagely and 109 extremely colourful (the authors' scale).

    Raises:
        ValueError: the frames are not RGB frames.

    Example:
        >>> red = torch.tensor([1.0, 0.0, 0.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
        >>> round(colorfulness(red).item(), 3)  # 0.3 sqrt(255^2 + 127.5^2)
        85.53
    """
    check_frames("frames", frames, channels=3)
    return torch.cat([_colorfulness(scaled(part)) for part in frames.split(frames_at_once(frames))])


def _colorfulness(rgb: Float64[Tensor, "t 3 h w"]) -> Float64[Tensor, "t"]:
    red, green, blue = rgb.flatten(2).unbind(1)
    opponents = torch.stack([red - green, (red + green) / 2 - blue])
    spread = opponents.var(-1, correction=0).sum(0).sqrt()
    return spread + 0.3 * opponents.mean(-1).square().sum(0).sqrt()


class Colorfulness(ClipMean):
    """`colorfulness`, averaged over frames and then over clips.

    Example:
        >>> metric = Colorfulness()
        >>> metric.update(torch.full((2, 3, 4, 4), 0.5))
        >>> metric.compute()
        0.0
    """

    def update(self, frames: Frames) -> None:
        """Add frames to the open clip.

        Args:
            frames: RGB frames "t 3 h w", uint8 or float in [0, 1].
        """
        self._add(colorfulness(frames))
