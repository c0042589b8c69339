"""Colour spread from strokes: the optimisation of Levin, Lischinski and Weiss on top of a proposal."""

from __future__ import annotations

import numpy as np
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from scipy.sparse.linalg import splu
from scipy.spatial import KDTree
from torch import Tensor

from ca_data.chroma import upsample_chroma
from ca_data.resize import resize

__all__ = ["spread_color"]

# Strokes hold this much more strongly than a pixel holds its neighbour.
_STROKE = 100.0
# Keeps weights positive, so that a region without a stroke takes the nearest colour instead of none.
_LEAST_WEIGHT = 1e-3
# Difference of neighbours that weighs as an edge, in the guide's units: 1.5 of L's 100. Of 0.02 to 0.2, and of the
# paper's own local variance, the one that came closest to the truth from few strokes (docs/studio.md).
_EDGE = 0.03
# How much an edge of the proposal counts beside an edge of lightness: ab/110 is about twice as coarse as L/50.
_PROPOSAL_EDGE = 2.0
# Distance, in the guide's units, at which a place stops being the same coat as the one under a stroke.
_ALIKE = 0.15
_MOST_SAMPLES = 256


def spread_color(
    lightness: Float[Tensor, "1 h w"],
    strokes: Float[Tensor, "2 h w"],
    painted: Bool[Tensor, "h w"],
    proposal: Float[Tensor, "2 h w"] | None = None,
    *,
    reach: float | None = None,
    pixels: int = 24_000,
) -> Float[Tensor, "2 h w"]:
    """Spread the colour of a few strokes over a picture, inside its edges.

    The residual u of the wanted ab against the proposal P minimises

    `sum_pq w_pq (u_p - u_q)^2 + c sum_p s_p (u_p - (S_p - P_p))^2 + sum_p m_p u_p^2`

    over neighbouring pixels p, q, with the strokes' ab S, the share s_p of a pixel that is painted, and
    `w_pq = exp(-|g_p - g_q|^2 / (2 v^2))`, where the guide g is the lightness and, as far as it has edges, the
    proposal. It is Levin, Lischinski and Weiss, "Colorization using Optimization" (2004), with three departures.
    Differences of neighbours are weighed, by one v for the whole picture, in place of a pixel's difference from
    its neighbours' mean, by local variance: the system is symmetric then, and the result closer to the truth
    (Grady, "Random Walks for Image Segmentation", 2006). What is spread is the residual: where no stroke reaches,
    the proposal stays. And the last term, m_p = (1 - k_p) / reach^2, lets the residual fade with the distance, but
    not where the guide looks as it does under a stroke (k_p near 1): one stroke mends a whole coat and leaves its
    neighbours alone.

    The sparse system is solved directly (SuperLU) at a working resolution; the residual is then brought to the full
    one by `upsample_chroma`.

    Args:
        lightness: `1 h w`, L/50 - 1 in [-1, 1].
        strokes: `2 h w`, ab/110 where painted; elsewhere of no meaning.
        painted: `h w`, where the strokes lie.
        proposal: `2 h w`, ab/110 that the strokes correct; grey when None.
        reach: distance at which a correction fades to about a third, as a share of the picture's longer side, > 0;
            None for as far as it goes, which is Levin's own and right without a proposal.
        pixels: most pixels of the working resolution, >= 1. Time grows a little faster than they do.

    Returns:
        `2 h w`, ab/110; the proposal itself where nothing is painted at all.

    Raises:
        ValueError: if shapes, types or options do not fit.

    Example:
        >>> painted = torch.zeros(6, 8, dtype=torch.bool)
        >>> painted[2, 3] = True
        >>> strokes = torch.full((2, 6, 8), 0.25)
        >>> spread_color(torch.zeros(1, 6, 8), strokes, painted).round(decimals=3).unique().tolist()
        [0.25]
    """
    _check(lightness, strokes, painted, proposal, reach, pixels)
    base = torch.zeros_like(strokes) if proposal is None else proposal
    if not bool(painted.any()):
        return base.clone()
    size = _working_size(painted.shape[-2:], pixels)
    low = resize(lightness, size)
    share = painted.to(strokes.dtype)[None]
    # Mean over the painted part of each cell alone: a thin stroke keeps its colour at any resolution.
    cover = torch.nn.functional.adaptive_avg_pool2d(share, size)
    wanted = torch.nn.functional.adaptive_avg_pool2d((strokes - base) * share, size) / cover.clamp(min=1e-6)
    guide = torch.cat((low, resize(base, size) * _PROPOSAL_EDGE)).double().numpy()
    residual = _solve(guide, wanted.double().numpy(), cover[0].double().numpy(), reach)
    spread = torch.from_numpy(residual).to(strokes.dtype)
    if size != tuple(painted.shape[-2:]):
        spread = upsample_chroma(spread[None], low[None], lightness[None])[0]
    return base + spread


def _solve(
    guide: Float[np.ndarray, "c h w"],
    wanted: Float[np.ndarray, "2 h w"],
    cover: Float[np.ndarray, "h w"],
    reach: float | None,
) -> Float[np.ndarray, "2 h w"]:
    height, width = cover.shape
    across, down = _weights(guide)
    hold = _STROKE * cover
    diagonal = hold + _screen(guide, cover, reach)
    diagonal[:, 1:] += across
    diagonal[:, :-1] += across
    diagonal[1:] += down
    diagonal[:-1] += down
    # A row's last pixel and the next row's first are no neighbours: their weight is 0.
    beside = -np.pad(across, ((0, 0), (0, 1))).ravel()[:-1]
    below = -down.ravel()
    # With one column, below and beside would be the same diagonal; beside is all zero there.
    bands = [(diagonal.ravel(), 0), (below, width), (below, -width)]
    bands += [(beside, 1), (beside, -1)] if width > 1 else []
    system = sparse.diags([band for band, _ in bands], [offset for _, offset in bands], format="csc")
    factors = splu(system, permc_spec="MMD_AT_PLUS_A", diag_pivot_thresh=0.0, options={"SymmetricMode": True})
    solution = factors.solve((hold * wanted).reshape(2, -1).T)
    return np.ascontiguousarray(solution.T).reshape(2, height, width)


def _weights(
    guide: Float[np.ndarray, "c h w"],
) -> tuple[Float[np.ndarray, "h w-1"], Float[np.ndarray, "h-1 w"]]:
    """w_pq of every pixel with its right and with its lower neighbour."""
    steps = (guide[:, :, 1:] - guide[:, :, :-1], guide[:, 1:] - guide[:, :-1])
    across, down = (np.exp(-np.square(step).sum(axis=0) / (2.0 * _EDGE**2)) + _LEAST_WEIGHT for step in steps)
    return across, down


def _screen(
    guide: Float[np.ndarray, "c h w"], cover: Float[np.ndarray, "h w"], reach: float | None
) -> Float[np.ndarray, "h w"]:
    """m_p: how strongly the proposal holds each pixel."""
    if reach is None:
        return np.zeros_like(cover)
    channels, height, width = guide.shape
    places = np.flatnonzero(cover)
    samples = guide.reshape(channels, -1).T[places[:: max(1, len(places) // _MOST_SAMPLES)]]
    distance, _ = KDTree(samples).query(guide.reshape(channels, -1).T)
    alike = np.exp(-np.square(distance / _ALIKE) / 2.0).reshape(height, width)
    return (1.0 - alike) / (reach * max(height, width)) ** 2 + 1e-8


def _working_size(size: tuple[int, ...] | torch.Size, pixels: int) -> tuple[int, int]:
    height, width = size
    shrink = min(1.0, (pixels / (height * width)) ** 0.5)
    return max(1, round(height * shrink)), max(1, round(width * shrink))


def _check(
    lightness: Tensor,
    strokes: Tensor,
    painted: Tensor,
    proposal: Tensor | None,
    reach: float | None,
    pixels: int,
) -> None:
    size = tuple(painted.shape)
    fits = len(size) == 2 and tuple(lightness.shape) == (1, *size) and tuple(strokes.shape) == (2, *size)
    if not fits or (proposal is not None and tuple(proposal.shape) != (2, *size)):
        got = "none" if proposal is None else tuple(proposal.shape)
        raise ValueError(
            f"spread_color expects lightness (1, h, w), strokes (2, h, w), painted (h, w) and proposal (2, h, w), got "
            f"{tuple(lightness.shape)}, {tuple(strokes.shape)}, {size} and {got}; give all of one picture's size"
        )
    if painted.dtype != torch.bool:
        raise ValueError(
            f"painted must be of type bool, got {painted.dtype}; compare the mask with a threshold"
        )
    if (reach is not None and not reach > 0.0) or pixels < 1:
        raise ValueError(f"spread_color needs reach > 0 (or None) and pixels >= 1, got {reach} and {pixels}")
