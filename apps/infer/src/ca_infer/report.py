"""The coverage report: one HTML file that shows where the references do not cover the film."""

from __future__ import annotations

import html
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from ca_infer.film import Survey
from ca_infer.references import Reference
from ca_infer.sheets import as_data_url, paint_coverage, thumbnail
from ca_infer.stills import read_colors

__all__ = ["least_covered", "write_report"]

_THUMBNAIL = 300
_MOST_SHOTS = 400
_PAGE = """<!doctype html><meta charset="utf-8"><title>Coverage of {name}</title>
<style>body{{font:15px sans-serif;margin:2em;background:#fff;color:#222}}img{{display:block}}
table{{border-collapse:collapse}}td,th{{padding:6px 10px;text-align:left;vertical-align:top;
border-bottom:1px solid #ddd}}.low{{color:#b00020;font-weight:bold}}</style>
<h1>Coverage of {name}</h1><p>{frames} frames in {shots} shots, {references} references. Coverage is how similar,
to the network, the best matching places of the references are (100% is the same picture); red marks places
without a match. Shots with the least coverage deserve a new reference first.</p>
<table><tr><th>shot</th><th>frames</th><th>coverage</th><th>least covered frame</th>
<th>where</th></tr>{rows}</table>
"""


def least_covered(grids: UInt8[np.ndarray, "t h w"], shots: Sequence[range]) -> list[int]:
    """The picture of each shot whose coverage is least.

    Example:
        >>> grids = np.full((5, 2, 2), 200, np.uint8)
        >>> grids[3] = 9
        >>> least_covered(grids, [range(0, 2), range(2, 5)])
        [0, 3]
    """
    means = grids.reshape(len(grids), -1).mean(axis=1)
    return [shot.start + int(means[shot.start : shot.stop].argmin()) for shot in shots]


def write_report(
    path: Path, out: Path, survey: Survey, grids: UInt8[np.ndarray, "t h w"], references: Sequence[Reference]
) -> None:
    """Write the report of a finished film.

    Args:
        path: the HTML file.
        out: the coloured film or folder.
        survey: of the source.
        grids: confidence of every picture.
        references: what it was coloured from.
    """
    shots = survey.shots
    means = grids.reshape(len(grids), -1).mean(axis=1) / 255.0
    worst = least_covered(grids, shots)
    covered = [float(means[shot.start : shot.stop].mean()) for shot in shots]
    order = sorted(range(len(shots)), key=lambda number: covered[number])[:_MOST_SHOTS]
    pictures = read_colors(out, [worst[number] for number in order])
    rows = [
        _row(
            number,
            shots[number],
            covered[number],
            worst[number],
            pictures[worst[number]],
            grids[worst[number]],
        )
        for number in order
        if worst[number] in pictures
    ]
    path.write_text(
        _PAGE.format(
            name=html.escape(out.name),
            frames=len(survey),
            shots=len(shots),
            references=len(references),
            rows="".join(rows),
        ),
        encoding="utf-8",
    )


def _row(
    number: int,
    shot: range,
    covered: float,
    worst: int,
    rgb: UInt8[np.ndarray, "3 h w"],
    grid: UInt8[np.ndarray, "h w"],
) -> str:
    picture: Image.Image = thumbnail(rgb, _THUMBNAIL)
    marked = paint_coverage(picture, grid)
    kind = " class=low" if covered < 0.5 else ""
    return (
        f"<tr><td>{number + 1}</td><td>{shot.start}-{shot.stop - 1}</td><td{kind}>{covered:.0%}</td>"
        f"<td>{worst}<img src='{as_data_url(picture)}'></td><td><img src='{as_data_url(marked)}'></td></tr>"
    )
