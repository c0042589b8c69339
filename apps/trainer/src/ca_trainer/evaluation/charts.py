"""Charts of the report: bars per clip and PSNR over time as SVG text, error maps as pictures."""

from __future__ import annotations

import io
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from matplotlib import colormaps, rc_context
from matplotlib.figure import Figure
from torch import Tensor

from ca_trainer.evaluation.measures import MEASURES

__all__ = ["COLORS", "ERROR_RANGE", "bar_chart", "error_map", "time_charts"]

COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444")
"""Okabe and Ito's palette: told apart with any kind of colour vision."""

ERROR_RANGE = 64.0
"""Mean absolute RGB error, in 8-bit steps, that is drawn in the brightest colour of an error map."""

_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "ca-trainer",
    "font.family": "sans-serif",
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#999999",
    "axes.linewidth": 0.6,
    "xtick.color": "#555555",
    "ytick.color": "#555555",
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": "#e4e4e4",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
}


def error_map(
    output: UInt8[Tensor, "3 h w"], truth: UInt8[Tensor, "3 h w"], *, limit: float = ERROR_RANGE
) -> UInt8[Tensor, "3 h w"]:
    """Error map of a frame: mean absolute RGB difference, black at 0, pale yellow at ``limit``.

    Args:
        output: sRGB, 0..255.
        truth: sRGB, 0..255.
        limit: difference drawn brightest, in 8-bit steps.

    Returns:
        A picture, sRGB 0..255, in matplotlib's ``inferno``.

    Example:
        >>> grey = torch.full((3, 2, 2), 100, dtype=torch.uint8)
        >>> error_map(grey, grey).amax().item() < 10
        True
    """
    difference = (output.float() - truth.float()).abs().mean(dim=0) / limit
    drawn = colormaps["inferno"](difference.clamp(0, 1).cpu().numpy(), bytes=True)[..., :3]
    return torch.from_numpy(np.ascontiguousarray(drawn)).permute(2, 0, 1)


def bar_chart(
    clips: Sequence[str],
    series: Mapping[str, Sequence[float | None]],
    key: str,
    colors: Sequence[str] = COLORS,
) -> str:
    """Bar chart of one measure per clip, one bar for each system.

    Args:
        clips: names along the axis.
        series: figures of each system, one for each clip.
        key: the measure.
        colors: one for each system, used in turn.

    Returns:
        An ``<svg>`` element.

    Example:
        >>> bar_chart(["dog"], {"flow": [36.97]}, "psnr")[:4]
        '<svg'
    """
    measure = MEASURES[key]
    with rc_context(_STYLE):
        figure = Figure(figsize=(11, 2.6), layout="constrained")
        axes = figure.subplots()
        width = 0.8 / max(1, len(series))
        for number, (name, figures) in enumerate(series.items()):
            places = [place + (number - (len(series) - 1) / 2) * width for place in range(len(clips))]
            heights = [math.nan if value is None else value * measure.factor for value in figures]
            bars = axes.bar(places, heights, width * 0.92, label=name, color=colors[number % len(colors)])
            if len(series) * len(clips) <= 30:
                axes.bar_label(
                    bars, fmt=f"%.{min(measure.digits, 2)}f", fontsize=7, color="#555555", padding=1
                )
        axes.set_xticks(range(len(clips)), clips, rotation=0 if len(clips) <= 14 else 60, fontsize=8)
        axes.set_ylabel(measure.head)
        axes.tick_params(length=0)
        axes.margins(x=0.01, y=0.12)
        return _svg(figure)


def time_charts(
    clips: Sequence[str],
    series: Mapping[str, Mapping[str, tuple[Sequence[int], Sequence[float]]]],
    colors: Sequence[str] = COLORS,
) -> str:
    """Line charts of PSNR over time, one small chart for each clip on one common scale.

    Args:
        clips: names, one chart each.
        series: for each system and clip the frame numbers and their PSNR, dB.
        colors: one for each system, used in turn.

    Returns:
        An ``<svg>`` element.

    Example:
        >>> time_charts(["dog"], {"flow": {"dog": ([1, 2], [40.0, 38.5])}}).count("</svg>")
        1
    """
    columns = min(4, len(clips))
    rows = math.ceil(len(clips) / columns)
    with rc_context(_STYLE):
        figure = Figure(figsize=(11, 1.75 * rows + 0.2), layout="constrained")
        grid = figure.subplots(rows, columns, sharey=True, squeeze=False)
        for place, axes in enumerate(grid.flat):
            if place >= len(clips):
                axes.set_visible(False)
                continue
            for number, (name, lines) in enumerate(series.items()):
                if clips[place] in lines:
                    frames, values = lines[clips[place]]
                    color = colors[number % len(colors)]
                    axes.plot(frames, values, label=name, color=color, linewidth=1.3)
            axes.set_title(clips[place], fontsize=9, loc="left", pad=3)
            axes.tick_params(length=2, labelsize=7)
            if place % columns == 0:
                axes.set_ylabel("PSNR, dB", fontsize=8)
        return _svg(figure)


def _svg(figure: Figure) -> str:
    text = io.StringIO()
    figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None}, transparent=True)
    svg = text.getvalue()
    # Several drawings share one page, so an identifier must not mean two things.
    tag = f"f{zlib.crc32(svg.encode())}"
    svg = re.sub(r'(id="|href="#|url\(#)', rf"\g<1>{tag}-", svg[svg.index("<svg") :])
    return re.sub(r'width="[\d.]+pt" height="[\d.]+pt"', "", svg, count=1)
