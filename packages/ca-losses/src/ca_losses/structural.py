"""SSIM loss: how unlike two frames are in local mean, contrast and structure."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

# Uniform windows of 8 x 8 pixels, as Wang et al. 2004 first had them; every fourth is enough for a gradient.
WINDOW, STRIDE = 8, 4
# (0.01 L)^2 and (0.03 L)^2 for frames in [0, 1].
_C1, _C2 = 0.01**2, 0.03**2
# Taken off before squares are averaged: float32 has too few digits for the small variance of a bright window.
_MIDDLE = 0.5


def ssim_loss(pred: Float[Tensor, "*b c h w"], true: Float[Tensor, "*b c h w"]) -> Float[Tensor, ""]:
    """One minus the structural similarity, averaged over windows, channels and frames (Wang et al. 2004, Eq. 13).

    Colour that is sharp but in the wrong place costs more here than colour that is blurred; L1 does not tell them
    apart. Not the measure of the evaluation: `ca_metrics.ssim` has a Gaussian window around every pixel, which takes
    some ten times as long with its gradient on a CPU.

    Args:
        pred: predicted frames, sRGB in [0, 1], at least 8 x 8 pixels; any leading axes.
        true: true frames, the same shape.

    Returns:
        Scalar in [0, 2], 0 for equal frames.

    Raises:
        ValueError: the shapes differ or the frames are too small.

    Example:
        >>> frames = torch.rand(2, 3, 9, 13)
        >>> abs(ssim_loss(frames, frames).item()) < 1e-6
        True
    """
    if pred.shape != true.shape:
        raise ValueError(
            f"pred and true: expected one shape, got {tuple(pred.shape)} and {tuple(true.shape)}"
        )
    if min(pred.shape[-2:]) < WINDOW:
        raise ValueError(f"pred: expected at least {WINDOW} x {WINDOW} pixels, got {tuple(pred.shape[-2:])}")
    x, y = (frames.flatten(0, -4).float() - _MIDDLE for frames in (pred, true))
    ux, uy, uxx, uyy, uxy = F.avg_pool2d(torch.cat([x, y, x * x, y * y, x * y], dim=1), WINDOW, STRIDE).chunk(
        5, dim=1
    )
    vx, vy, vxy = uxx - ux * ux, uyy - uy * uy, uxy - ux * uy
    ux, uy = ux + _MIDDLE, uy + _MIDDLE
    similarity = (2 * ux * uy + _C1) * (2 * vxy + _C2) / ((ux * ux + uy * uy + _C1) * (vx + vy + _C2))
    return 1 - similarity.mean()
