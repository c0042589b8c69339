"""Partial stills: colour pictures of which only the opaque part counts."""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor

# Share of a cell that must be opaque for the cell to count.
COVERED = 0.5


def fill_hidden(
    picture: Float[Tensor, "b c h w"], opaque: Bool[Tensor, "b 1 h w"]
) -> Float[Tensor, "b c h w"]:
    """Continue a picture from its opaque part into the rest, smoothly; nothing of the rest is read.

    Means of the opaque pixels on coarser and coarser grids fill what is still open on the finer ones (pull-push,
    Gortler et al. 1996). So convolutions, resizing and sampling near the edge of the opaque part meet its own colours.

    Args:
        picture: any channels, any range; hidden pixels may hold anything, NaN as well.
        opaque: which pixels count.

    Returns:
        The picture, its opaque pixels as they were; 0 in a sample without any.

    Example:
        >>> row = torch.tensor([[[[0.25, 0.25, 9.0, 9.0]]]])
        >>> fill_hidden(row, row < 1).tolist()
        [[[[0.25, 0.25, 0.25, 0.25]]]]
    """
    known = opaque.to(picture.dtype)
    totals, weights = [picture.masked_fill(~opaque, 0.0)], [known]
    while max(totals[-1].shape[-2:]) > 1:
        totals.append(F.avg_pool2d(totals[-1], 2, ceil_mode=True))
        weights.append(F.avg_pool2d(weights[-1], 2, ceil_mode=True))
    filled = totals[-1] / torch.where(weights[-1] > 0, weights[-1], 1)
    for total, weight in zip(reversed(totals[:-1]), reversed(weights[:-1]), strict=True):
        size = (total.shape[-2], total.shape[-1])
        coarse = F.interpolate(filled, size=size, mode="bilinear", align_corners=False)
        filled = torch.where(weight > 0, total / torch.where(weight > 0, weight, 1), coarse)
    return filled


def covered_cells(
    opaque: Bool[Tensor, "b 1 h w"] | Float[Tensor, "b 1 h w"], cell: int
) -> Bool[Tensor, "b 1 h2 w2"]:
    """Which cells count: those at least half of which is opaque, or, in a still with none such, the most opaque ones.

    Args:
        opaque: which pixels count, or what share of each.
        cell: side of a cell, pixels; divides height and width.

    Example:
        >>> covered_cells(torch.tensor([[[[True, False, False, False], [True, True, False, False]]]]), 2).tolist()
        [[[[True, False]]]]
    """
    share = F.avg_pool2d(opaque.float(), cell)
    enough = share.amax(dim=(1, 2, 3), keepdim=True).clamp(max=COVERED)
    return (share >= enough) & (share > 0)
