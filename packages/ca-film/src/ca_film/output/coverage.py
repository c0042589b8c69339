"""Coverage: how well the references cover the film, as a coarse grid of confidence per frame, and its report."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import jinja2
import numpy as np
import torch.nn.functional as F
from ca_data import write_atomically
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from ca_film.output.rendering import Renderer
from ca_film.output.sheets import COVERED, GUESSED, as_data_url, jpeg_bytes, paint_coverage, thumbnail
from ca_film.output.work import WorkFolder
from ca_film.source.film import ColoredFrame
from ca_film.source.survey import Survey

__all__ = ["GRID", "Coverage", "coarse_grid", "is_report", "least_covered", "write_report"]

GRID = (9, 16)
_KIND = "coverage.npy"
_PICTURE = "least.npy"  # the least covered frame of a segment, as the bytes of a JPEG file
_THUMBNAIL = 300
_MOST_SHOTS = 400
_GENERATOR = b'<meta name="generator" content="ColorAlign">'
_TEMPLATES = Path(__file__).parent


class Coverage:
    """Collects confidence frame by frame, and keeps it on disk segment by segment, with its least covered frame.

    Args:
        work: the folder of unfinished work.
        renderer: makes the picture of that frame.
    """

    def __init__(self, work: WorkFolder, renderer: Renderer) -> None:
        self._work, self._renderer = work, renderer
        self._grids: list[UInt8[np.ndarray, "h w"]] = []
        self._least: tuple[float, ColoredFrame] | None = None

    def add(self, colored: ColoredFrame) -> None:
        """Note the next frame of the segment."""
        grid = coarse_grid(colored.confidence)
        if self._least is None or grid.mean() < self._least[0]:
            self._least = float(grid.mean()), colored
        self._grids.append(grid)

    def drop(self) -> None:
        """Forget the frames of a segment that is begun again."""
        self._grids, self._least = [], None

    def keep(self, segment: range) -> None:
        """Write a finished segment down."""
        assert self._least is not None
        self._work.keep_array(_KIND, segment, np.stack(self._grids))
        # Made now, once: where coverage falls from frame to frame, each is the least covered one for a while.
        picture = jpeg_bytes(thumbnail(self._renderer.small(self._least[1]), _THUMBNAIL))
        self._work.keep_array(_PICTURE, segment, np.frombuffer(picture, np.uint8))
        self.drop()

    def picture(self, segment: range) -> Image.Image | None:
        """The least covered frame of a segment; None where none is kept."""
        kept = self._work.array(_PICTURE, segment)
        return None if kept is None else Image.open(io.BytesIO(kept.tobytes()))

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
    name: str,
    survey: Survey,
    coverage: Coverage,
    segments: Sequence[range],
    references: int,
) -> None:
    """Write an HTML file that shows where the references do not cover the film.

    Args:
        path: the HTML file.
        name: of the coloured film or folder.
        survey: of the source.
        coverage: of all segments.
        segments: of the film; none lies in two shots.
        references: how many it was coloured from.
    """
    shots, grids = survey.shots, coverage.grids(segments)
    means = grids.reshape(len(grids), -1).mean(axis=1) / 255.0
    worst = least_covered(grids, shots)
    covered = [float(means[shot.start : shot.stop].mean()) for shot in shots]
    order = sorted(range(len(shots)), key=lambda number: covered[number])[:_MOST_SHOTS]
    rows = []
    for number in order:
        shot, least = shots[number], worst[number]
        image = coverage.picture(next(segment for segment in segments if least in segment))
        rows.append(
            {
                "number": number + 1,
                "frames": f"{shot.start}-{shot.stop - 1}",
                "covered": covered[number],
                "worst": least,
                "least": float(means[least]),
                "image": image and as_data_url(image),
                "marked": image and as_data_url(paint_coverage(image, grids[least])),
            }
        )
    environment = jinja2.Environment(loader=jinja2.FileSystemLoader(_TEMPLATES), autoescape=True)
    page = environment.get_template("coverage.html.jinja").render(
        name=name,
        frames=len(survey),
        shots=len(shots),
        references=references,
        rows=rows,
        right=COVERED,
        guessed=GUESSED,
    )
    write_atomically(path, page)
