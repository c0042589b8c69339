"""How long colour lasts: PSNR by how many frames ago the reference was."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

__all__ = ["SPANS", "mean_or_none", "psnr_by_span", "span_title"]

SPANS: Mapping[str, tuple[int, float]] = {"1_8": (1, 8), "9_32": (9, 32), "33": (33, math.inf)}
"""First and last frame of each span, counted from the latest reference."""


def span_title(span: str) -> str:
    """A span for people.

    Example:
        >>> [span_title(span) for span in SPANS]
        ['1–8', '9–32', '33+']
    """
    return span.replace("_", "–") if "_" in span else f"{span}+"


def psnr_by_span(ages: Sequence[int], psnr: Sequence[float | None]) -> dict[str, float | None]:
    """Mean PSNR of each span of a clip's frames.

    Args:
        ages: frames since the latest reference, one for each scored frame.
        psnr: of those frames, dB; None where infinite.

    Returns:
        By the span's name, for the spans that have frames; None where one of them equals the truth.

    Example:
        >>> psnr_by_span([1, 2, 9, 10], [40.0, 30.0, 20.0, None])
        {'1_8': 35.0, '9_32': None}
    """
    means: dict[str, float | None] = {}
    for span, (first, last) in SPANS.items():
        values = [value for age, value in zip(ages, psnr, strict=True) if first <= age <= last]
        if values:
            means[span] = mean_or_none(values)
    return means


def mean_or_none(values: Sequence[float | None]) -> float | None:
    """The mean, or None where a value is missing.

    Example:
        >>> mean_or_none([1.0, 2.0]), mean_or_none([1.0, None])
        (1.5, None)
    """
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
