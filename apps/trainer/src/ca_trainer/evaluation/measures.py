"""The measures of a report: their names in ``results.json``, titles, units, directions and digits."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

__all__ = ["DASH", "MEASURES", "PAPER_MEASURES", "SUMMARY_MEASURES", "Measure"]

DASH = "–"
"""What stands in a table for a figure that is missing."""


@dataclass(frozen=True)
class Measure:
    """One column of a table.

    Args:
        key: its name in ``results.json``.
        title: its name in a table's head.
        better: which direction is better; ``none`` for a description that has no better.
        digits: digits after the point, as printed.
        meaning: one sentence for the reader of a report.
        factor: the printed figure is the value times this.
        published_digits: digits after the point that papers print, where they are fewer.

    Example:
        >>> MEASURES["cdc"].format(0.002011), MEASURES["lpips"].format(None), MEASURES["psnr"].head
        ('2.011', '–', 'PSNR ↑')
    """

    key: str
    title: str
    better: Literal["higher", "lower", "none"]
    digits: int
    meaning: str
    factor: float = 1.0
    published_digits: int | None = None

    @property
    def head(self) -> str:
        """Title with an arrow towards better."""
        return self.title + {"higher": " ↑", "lower": " ↓", "none": ""}[self.better]

    def format(self, value: float | None, *, measured: bool = True) -> str:
        """The printed figure, or a dash where it is missing; a published one with its own digits."""
        if value is None or math.isnan(value):
            return DASH
        digits = self.digits if measured or self.published_digits is None else self.published_digits
        return f"{value * self.factor:.{digits}f}"


_CDC = (
    "Colour distribution consistency over 1, 2 and 4 frames, 1e-3 nats: grey and frozen colour score low too"
)

_ALL = (
    Measure("psnr", "PSNR", "higher", 2, "Peak signal-to-noise ratio on 8-bit RGB, dB."),
    Measure(
        "ssim", "SSIM", "higher", 4, "Structural similarity on RGB (Wang et al. 2004).", published_digits=3
    ),
    Measure("lpips", "LPIPS", "lower", 3, "Learned perceptual distance, v0.1, AlexNet."),
    Measure("cdc", "CDC", "lower", 3, f"{_CDC}, so read it beside the truth's.", 1e3),
    Measure("cdc_truth", "CDC truth", "none", 3, "CDC of the true frames, 1e-3 nats.", 1e3),
    Measure("cdc_distance", "|ΔCDC|", "lower", 3, "|CDC - CDC of the truth|, 1e-3 nats.", 1e3),
    Measure(
        "warping_error", "Warp", "lower", 3, "Warping error, occlusions masked (Lai et al. 2018), 1e-3.", 1e3
    ),
    Measure("warping_error_truth", "Warp truth", "none", 3, "Warping error of the true frames, 1e-3.", 1e3),
    Measure("colorfulness", "Colourful", "none", 1, "Colourfulness of the output (Hasler, Suesstrunk 2003)."),
    Measure("colorfulness_truth", "Colourful truth", "none", 1, "Colourfulness of the true frames."),
)

MEASURES: dict[str, Measure] = {measure.key: measure for measure in _ALL}
SUMMARY_MEASURES: tuple[str, ...] = tuple(key for key in MEASURES if not key.endswith("_truth"))
"""Columns of a table of methods, where the truth has a row of its own."""
PAPER_MEASURES: tuple[str, ...] = ("psnr", "ssim", "lpips", "cdc")
