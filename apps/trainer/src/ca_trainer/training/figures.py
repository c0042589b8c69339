"""Figures of a training run: its curves and its preview grid."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
from ca_data import write_atomically
from jaxtyping import UInt8
from matplotlib.figure import Figure
from torch import Tensor

ROWS = ("grey", "reference", "output", "truth")
SMOOTHING = 0.95


def smooth(values: Sequence[float], weight: float = SMOOTHING) -> list[float]:
    """Exponential moving average without the pull of its start.

    Example:
        >>> smooth([2.0, 2.0, 2.0])
        [2.0, 2.0, 2.0]
    """
    total, norm, smoothed = 0.0, 0.0, []
    for value in values:
        total, norm = weight * total + (1 - weight) * value, weight * norm + (1 - weight)
        smoothed.append(total / norm)
    return smoothed


def thin(values: Sequence[float], most: int = 2000) -> tuple[list[float], list[float]]:
    """Positions (from 1) and means of at most `most` equal blocks of values, so that a million steps can be drawn.

    Example:
        >>> thin([1.0, 3.0, 5.0, 7.0, 8.0], most=3)
        ([1.5, 3.5, 5.0], [2.0, 6.0, 8.0])
    """
    size = max(1, -(-len(values) // most))
    blocks = [values[start : start + size] for start in range(0, len(values), size)]
    positions = [1 + number * size + (len(block) - 1) / 2 for number, block in enumerate(blocks)]
    return positions, [sum(block) / len(block) for block in blocks]


def draw_curves(losses: Sequence[float], checks: Sequence[Mapping[str, Any]], path: Path, title: str) -> None:
    """Draw loss and validation PSNR over the steps, the PSNR beside that of the grey film.

    Args:
        losses: of the steps from 1 on.
        checks: validation entries of a metrics log.
        path: PNG to write.
        title: above the curves.
    """
    figure = Figure(figsize=(10, 4), layout="constrained")
    figure.suptitle(title)
    loss_axes, psnr_axes = figure.subplots(1, 2)
    loss_axes.plot(*thin(losses), color="tab:blue", alpha=0.25, linewidth=1, label="each step")
    loss_axes.plot(*thin(smooth(losses)), color="tab:blue", label="smoothed")
    loss_axes.set(xlabel="step", ylabel="training loss")
    numbers = [entry["step"] for entry in checks]
    psnr_axes.plot(numbers, [entry["psnr"] for entry in checks], "o-", color="tab:green", label="network")
    psnr_axes.plot(numbers, [entry["psnr_grey"] for entry in checks], "--", color="tab:gray", label="grey")
    psnr_axes.set(xlabel="step", ylabel="validation PSNR (dB)")
    for axes in (loss_axes, psnr_axes):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    save_figure(figure, path)


def stack_preview(columns: Sequence[Sequence[UInt8[Tensor, "3 h w"]]]) -> UInt8[Tensor, "3 H W"]:
    """Join columns of (grey, reference, output, truth) into one picture, padded with white."""
    height = max(picture.shape[1] for column in columns for picture in column)
    width = max(picture.shape[2] for column in columns for picture in column)
    grid = torch.full(
        (3, len(ROWS) * (height + 4) - 4, len(columns) * (width + 4) - 4), 255, dtype=torch.uint8
    )
    for x, column in enumerate(columns):
        for y, picture in enumerate(column):
            top, left = y * (height + 4), x * (width + 4)
            grid[:, top : top + picture.shape[1], left : left + picture.shape[2]] = picture
    return grid


def draw_preview(
    columns: Sequence[Sequence[UInt8[Tensor, "3 h w"]]], captions: Sequence[str], path: Path
) -> None:
    """Write the preview grid: a row each for grey, reference, output and truth, a column a clip.

    Args:
        columns: per clip its four pictures.
        captions: per clip the line above it.
        path: PNG to write.
    """
    grid = stack_preview(columns)
    height, width = grid.shape[1:]
    figure = Figure(figsize=(max(4.0, width / 100) + 0.6, height / 100 + 0.4), dpi=150, layout="constrained")
    axes = figure.subplots()
    axes.imshow(grid.permute(1, 2, 0).numpy())
    axes.set_yticks([(row + 0.5) * height / len(ROWS) for row in range(len(ROWS))], ROWS)
    axes.set_xticks(
        [(column + 0.5) * width / len(columns) for column in range(len(columns))], captions, fontsize=8
    )
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    save_figure(figure, path)


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure as PNG, under another name first: whoever looks never sees half a picture."""
    write_atomically(path, partial(figure.savefig, format="png"))
