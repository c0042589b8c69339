"""PSNR loss: the logarithm of each frame's mean squared error."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

# Of [0, 1] squared, about 50 dB: rounding to 8 bit is not worth learning to undo.
FLOOR = 1e-5


def psnr_loss(pred: Float[Tensor, "*b c h w"], true: Float[Tensor, "*b c h w"]) -> Float[Tensor, ""]:
    """Minus the PSNR of the frames, in dB, averaged over frames.

    `10 log10(mean (x - s)^2 + 1e-5)`. Where it is uncertain between two colours it learns their mean, where L1 learns
    their median; and since every frame counts by the ratio of its error, still frames count as much as wild ones. In
    use for restoration since Chen et al. 2021 (HINet).

    Args:
        pred: predicted frames, sRGB in [0, 1]; any leading axes.
        true: true frames, the same shape.

    Returns:
        Scalar, -50 for equal frames.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> psnr_loss(torch.full((2, 3, 4, 4), 0.5), torch.full((2, 3, 4, 4), 0.6)).round(decimals=3).item()
        -19.996000289916992
    """
    if pred.shape != true.shape:
        raise ValueError(
            f"pred and true: expected one shape, got {tuple(pred.shape)} and {tuple(true.shape)}"
        )
    error = (pred - true).square().mean(dim=(-3, -2, -1))
    return 10 / math.log(10) * torch.log(error + FLOOR).mean()
