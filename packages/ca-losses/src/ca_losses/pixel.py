"""Pixel loss: the mean absolute error of the colours."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def l1_loss(pred: Float[Tensor, "*b c h w"], true: Float[Tensor, "*b c h w"]) -> Float[Tensor, ""]:
    """Mean absolute error of normalized colours (Eq. 9, N12).

    `L_1 = 1/T sum_t |x_t - s_t|`. The paper's norm grows with the frame; we divide by the number of values,
    so that the weights of Eq. 12 mean the same at every size.

    Args:
        pred: predicted colours, normalized ab (ab/110, about [-1, 1]); any leading axes.
        true: true colours, the same shape.

    Returns:
        Scalar in units of normalized ab: 0.01 is 1.1 in Lab.

    Raises:
        ValueError: the shapes differ.

    Example:
        >>> import torch
        >>> l1_loss(torch.zeros(1, 2, 1, 2), torch.tensor([[[[0.1, -0.3]], [[0.0, 0.4]]]])).item()
        0.20000000298023224
    """
    if pred.shape != true.shape:
        raise ValueError(
            f"pred and true: expected one shape, got {tuple(pred.shape)} and {tuple(true.shape)}; "
            "broadcasting would average over pairs that do not belong together"
        )
    return F.l1_loss(pred, true)
