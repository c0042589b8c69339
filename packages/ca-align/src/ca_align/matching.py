"""Matching by features: where each cell of a map lies in another one, however far away."""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

# Numbers of one similarity matrix held at a time: 32 MiB, whatever the size of the frames.
_ENTRIES_AT_ONCE = 1 << 23
# Similarity of what may not be matched: that of opposite vectors.
_FORBIDDEN = -1.0
# Distance in cells, there and back again, at which agreement is one half.
_HALF_AGREEMENT = 2.0


class Match(NamedTuple):
    """Where each cell of a target lies in a moving map.

    Attributes:
        flow: displacement in cells, whole numbers, (x, y).
        similarity: of the matched features, in [-1, 1].
        agreement: in (0, 1]; 1 where the matched cell's own best match is the cell it started from.
    """

    flow: Float[Tensor, "b 2 h w"]
    similarity: Float[Tensor, "b 1 h w"]
    agreement: Float[Tensor, "b 1 h w"]


@torch.no_grad()
def match_features(
    target: Float[Tensor, "b c h w"],
    moving: Float[Tensor, "b c h2 w2"],
    *,
    radius: int | None = None,
    valid: Bool[Tensor, "b 1 h2 w2"] | None = None,
    hidden: Bool[Tensor, "b 1 h2 w2"] | None = None,
) -> Match:
    """Find the most similar cell, and let neighbours agree on it.

    Each cell first takes its own best match. Then it looks at the displacements its eight neighbours found and keeps
    the one, its own included, by which the 3 x 3 cells around it match best together (one round of PatchMatch's
    propagation, Barnes et al. 2009, on all cells at once). Similarities are held for a band of rows at a time.

    Args:
        target: features of unit length in each cell.
        moving: likewise; may be of another size.
        radius: how far to look, cells; None: everywhere.
        valid: where `moving` may be matched.
        hidden: where `moving` is never matched, not even by a displacement that neighbours found (one of these may lead
            out of `valid`, by a cell at its edge). Where everything is hidden, the similarity is -1.

    Raises:
        ValueError: if channels or batch sizes differ.

    Example:
        >>> features = torch.nn.functional.normalize(torch.rand(1, 8, 4, 6) - 0.5, dim=1)
        >>> match = match_features(features.roll(1, dims=3), features)
        >>> match.flow[0, 0, 1:3, 2:5].unique().tolist()
        [-1.0]
    """
    if target.shape[:2] != moving.shape[:2]:
        raise ValueError(
            f"moving: expected batch and channels {tuple(target.shape[:2])}, got {tuple(moving.shape[:2])}"
        )
    if hidden is not None:
        valid = ~hidden if valid is None else valid & ~hidden
    b, _, h, w = target.shape
    columns = moving.shape[-1]
    rows = max(1, _ENTRIES_AT_ONCE // (b * w * moving.shape[-2] * columns))
    best = target.new_full((b, moving.shape[-2] * columns), -torch.inf)
    origin = torch.zeros_like(best, dtype=torch.long)
    cells, similarities = [], []
    # A graph for frames of any size has no number of bands: it takes all rows at once.
    whole = torch.compiler.is_compiling()
    bands = [(0, h)] if whole else [(top, min(rows, h - top)) for top in range(0, h, rows)]
    for top, count in bands:
        # One row more on either side, for the neighbours; similarities of cells that look beyond `radius` stay out.
        first, last = max(0, top - 1), min(h, top + count + 1)
        near = slice(0, None) if radius is None else slice(max(0, first - radius), last + radius)
        allowed = None if valid is None else valid[..., near, :]
        table = _similarity(
            target[..., first:last, :], moving[..., near, :], first - (near.start or 0), radius, allowed
        )
        inner = slice(top - first, top - first + count)
        cell, similarity = _agree(table, columns, inner, None if hidden is None else hidden[..., near, :])
        offset = (near.start or 0) * columns
        there, (value, place) = slice(offset, offset + table.shape[-1]), _best_targets(table[:, inner])
        newer = value > best[:, there]
        best[:, there] = torch.where(newer, value, best[:, there])
        origin[:, there] = torch.where(newer, place + top * w, origin[:, there])
        cells.append(cell + offset)
        similarities.append(similarity)
    cell = torch.cat(cells, dim=1)
    place = _places(cell, columns)
    back = _places(origin.gather(1, cell.flatten(1)).view_as(cell), w)
    own = _places(torch.arange(h * w, device=cell.device).view(1, h, w), w)
    distance = (back - own).square().sum(dim=1, keepdim=True)
    return Match(
        (place - own).to(target.dtype),
        torch.cat(similarities, dim=1)[:, None],
        1 / (1 + distance / _HALF_AGREEMENT**2).to(target.dtype),
    )


def _places(cell: Int[Tensor, "b h w"], columns: int) -> Int[Tensor, "b 2 h w"]:
    """Row-major numbers of cells as (x, y)."""
    # No remainder: ONNX does not take one by a size that varies.
    row = cell // columns
    return torch.stack([cell - row * columns, row], dim=1)


def _similarity(
    target: Float[Tensor, "b c r w"],
    moving: Float[Tensor, "b c h2 w2"],
    shift: int,
    radius: int | None,
    valid: Bool[Tensor, "b 1 h2 w2"] | None,
) -> Float[Tensor, "b r w m"]:
    """Products of all cells of two maps, row 0 of the target lying at row `shift` of the moving map."""
    r, w = target.shape[-2:]
    table = (target.flatten(2).transpose(1, 2) @ moving.flatten(2)).unflatten(1, (r, w))
    if radius is not None:
        rows, columns = (torch.arange(n, device=table.device) for n in moving.shape[-2:])
        y = (torch.arange(r, device=table.device)[:, None] + shift - rows).abs() > radius
        x = (torch.arange(w, device=table.device)[:, None] - columns).abs() > radius
        table = table.masked_fill_((y[:, None, :, None] | x[:, None]).flatten(2), _FORBIDDEN)
    return table if valid is None else table.masked_fill_(~valid.flatten(2)[:, :, None], _FORBIDDEN)


# The place of the largest entry is found in two steps, the row and then the place in it: the largest value of many is
# several times as fast as its place. Of equal entries both take the first, as argmax does.
def _best_cells(table: Float[Tensor, "b r w m"], columns: int) -> Int[Tensor, "b r w"]:
    """The cell of the moving map that each target resembles most, row-major."""
    rows = table.unflatten(-1, (-1, columns))
    row = rows.amax(dim=-1).argmax(dim=-1)
    cells = rows.gather(3, row[..., None, None].expand(-1, -1, -1, 1, columns))[..., 0, :]
    return row * columns + cells.argmax(dim=-1)


def _best_targets(
    table: Float[Tensor, "b r w m"],
) -> tuple[Float[Tensor, "b m"], Int[Tensor, "b m"]]:
    """The target that each cell of the moving map resembles most, row-major, and how much."""
    w = table.shape[2]
    value, row = table.amax(dim=2).max(dim=1)
    column = table.gather(1, row[:, None, None].expand(-1, 1, w, -1))[:, 0].argmax(dim=1)
    return value, row * w + column


def _agree(
    table: Float[Tensor, "b r w m"], columns: int, inner: slice, hidden: Bool[Tensor, "b 1 h2 w2"] | None
) -> tuple[Int[Tensor, "b r2 w"], Float[Tensor, "b r2 w"]]:
    """The cell each of the `inner` rows matches, its row-major number, and its similarity."""
    _, r, w, m = table.shape
    height = m // columns
    y, x = torch.meshgrid(
        torch.arange(r, device=table.device), torch.arange(w, device=table.device), indexing="ij"
    )
    step = torch.arange(9, device=table.device)[:, None, None]
    around_y = (y[inner][None] + step // 3 - 1).clamp(0, r - 1)  # 9 r' w
    around_x = (x[inner][None] + step % 3 - 1).clamp(0, w - 1)
    around = around_y * w + around_x
    own = _best_cells(table, columns).flatten(1)  # b (r w)
    found = own[:, around]  # b 9 r' w
    found_x, found_y = _places(found, columns).unbind(1)
    move_y, move_x = found_y - around_y, found_x - around_x
    # Axes: batch, displacement, place in the window, row, column.
    at_y = (around_y + move_y[:, :, None]).clamp(0, height - 1)
    at_x = (around_x + move_x[:, :, None]).clamp(0, columns - 1)
    entry = around * m + (at_y * columns + at_x)
    together, middle = table.flatten(1).gather(1, entry.flatten(1)).view_as(entry).sum(dim=2), len(step) // 2
    if hidden is not None:
        there = (at_y * columns + at_x)[:, :, middle]
        forbidden = hidden.flatten(1).gather(1, there.flatten(1)).view_as(there)
        together = together.masked_fill(forbidden, -torch.inf)
    chosen = together.argmax(dim=1, keepdim=True)
    cell = (at_y * columns + at_x)[:, :, middle].gather(1, chosen)[:, 0]
    here = (around[middle] * m + cell).flatten(1)
    return cell, table.flatten(1).gather(1, here).view_as(cell)
