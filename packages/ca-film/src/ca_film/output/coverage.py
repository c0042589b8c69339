"""Coverage: how well the references cover the film, as a coarse grid of confidence per frame, and its report."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
import torch.nn.functional as F
from ca_data import write_atomically
from jaxtyping import Float, UInt8
from torch import Tensor

from ca_film.output.sheets import as_data_url, paint_coverage, thumbnail
from ca_film.output.work import WorkFolder
from ca_film.source.images import color_images
from ca_film.source.references import Reference
from ca_film.source.survey import Survey

__all__ = ["GRID", "Coverage", "coarse_grid", "is_report", "least_covered", "write_report"]

GRID = (9, 16)
_KIND = "coverage.npy"
_THUMBNAIL = 300
_MOST_SHOTS = 400
_GENERATOR = b'<meta name="generator" content="ColorAlign">'
_TEMPLATES = Path(__file__).parent


class Coverage:
    """Collects confidence frame by frame, and keeps it on disk segment by segment.

    Args:
        work: the folder of unfinished work.
    """

    def __init__(self, work: WorkFolder) -> None:
        self._work = work
        self._grids: list[UInt8[np.ndarray, "h w"]] = []

    def add(self, confidence: Float[Tensor, "1 h w"]) -> None:
        """Note the next frame of the segment."""
        self._grids.append(coarse_grid(confidence))

    def keep(self, segment: range) -> None:
        """Write a finished segment down."""
        self._work.keep_array(_KIND, segment, np.stack(self._grids))
        self._grids = []

    def grids(self, segments: Sequence[range]) -> UInt8[np.ndarray, "t h w"]:
        """Everything kept: 255 is full coverage; 0 too where nothing was kept."""
        kept = ((segment, self._work.array(_KIND, segment)) for segment in segments)
        return np.concatenate(
            [np.zeros((len(part), *GRID), np.uint8) if grid is None else grid for part, grid in kept]
        )


def coarse_grid(confidence: Float[Tensor, "1 h w"]) -> UInt8[np.ndarray, "h w"]:
    """Average confidence over a grid of 9 x 16.

    Args:
        confidence: `1 h w` in [0, 1].

    Returns:
        `h w` in 0..255.

    Example:
        >>> import torch
        >>> coarse_grid(torch.ones(1, 40, 60)).min()
        np.uint8(255)
    """
    grid = F.adaptive_avg_pool2d(confidence[None], GRID)[0, 0]
    return (grid * 255.0).round().clamp(0, 255).byte().numpy()


def least_covered(grids: UInt8[np.ndarray, "t h w"], shots: Sequence[range]) -> list[int]:
    """The frame of each shot whose coverage is least.

    Example:
        >>> grids = np.full((5, 2, 2), 200, np.uint8)
        >>> grids[3] = 9
        >>> least_covered(grids, [range(0, 2), range(2, 5)])
        [0, 3]
    """
    means = grids.reshape(len(grids), -1).mean(axis=1)
    return [shot.start + int(means[shot.start : shot.stop].argmin()) for shot in shots]


def is_report(path: Path) -> bool:
    """Whether a file is a report of ours, which may be replaced by another."""
    try:
        with path.open("rb") as file:
            return not path.is_symlink() and _GENERATOR in file.read(500)
    except OSError:
        return False


def write_report(
    path: Path,
    made: Path,
    name: str,
    survey: Survey,
    grids: UInt8[np.ndarray, "t h w"],
    references: Sequence[Reference],
) -> None:
    """Write an HTML file that shows where the references do not cover the film.

    Args:
        path: the HTML file.
        made: the coloured film or folder.
        name: that it has, or is about to get.
        survey: of the source.
        grids: confidence of every frame.
        references: what it was coloured from.
    """
    shots = survey.shots
    means = grids.reshape(len(grids), -1).mean(axis=1) / 255.0
    worst = least_covered(grids, shots)
    covered = [float(means[shot.start : shot.stop].mean()) for shot in shots]
    order = sorted(range(len(shots)), key=lambda number: covered[number])[:_MOST_SHOTS]
    images = color_images(made, [worst[number] for number in order])
    rows = []
    for number in order:
        if worst[number] not in images:
            continue
        shot, image = shots[number], thumbnail(images[worst[number]], _THUMBNAIL)
        rows.append(
            {
                "number": number + 1,
                "frames": f"{shot.start}-{shot.stop - 1}",
                "covered": covered[number],
                "worst": worst[number],
                "image": as_data_url(image),
                "marked": as_data_url(paint_coverage(image, grids[worst[number]])),
            }
        )
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    page = environment.get_template("coverage.html.jinja").render(
        name=name, frames=len(survey), shots=len(shots), references=len(references), rows=rows
    )
    write_atomically(path, page)
