"""How well the references cover the film: grids, the report, and which shots deserve a still."""

from pathlib import Path

import numpy as np
import torch
from ca_data import write_frames
from ca_film import ShotPlan
from ca_film.output.coverage import GRID, Coverage, least_covered, write_report
from ca_film.output.work import WorkFolder
from ca_film.plan import _wanted
from ca_film.source.survey import Survey


def test_the_least_covered_shots_come_first() -> None:
    shots = [
        ShotPlan(range(0, 9), 0.9, 4, ()),
        ShotPlan(range(9, 18), 0.2, 10, ()),
        ShotPlan(range(18, 27), 0.1, 20, (21,)),
        ShotPlan(range(27, 36), 0.5, 30, ()),
    ]
    assert _wanted(shots) == [10, 30]


def test_the_least_covered_frame_of_each_shot() -> None:
    grids = np.full((7, *GRID), 90, np.uint8)
    grids[5, 3:] = 10
    assert least_covered(grids, Survey([0] * 7, [0] * 7, cuts=[2]).shots) == [0, 5]


def test_grids_are_kept_by_segment_and_missing_ones_are_no_coverage(tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "film.mkv", {}) as work:
        coverage = Coverage(work)
        for confidence in (0.2, 1.0):
            coverage.add(torch.full((1, 36, 64), confidence))
        coverage.keep(range(0, 2))
        grids = Coverage(work).grids([range(0, 2), range(2, 5)])
    assert grids.shape == (5, *GRID)
    assert [int(grid.max()) for grid in grids] == [51, 255, 0, 0, 0]


def test_the_report_lists_the_least_covered_shot_first_and_escapes_names(tmp_path: Path) -> None:
    out = write_frames(torch.zeros(5, 3, 20, 30, dtype=torch.uint8), tmp_path / "<b>&")
    grids = np.full((5, *GRID), 204, np.uint8)
    grids[3:] = 102
    write_report(tmp_path / "report.html", out, out.name, Survey([0] * 5, [0] * 5, cuts=[3]), grids, [])
    page = (tmp_path / "report.html").read_text()
    assert "<h1>Coverage of &lt;b&gt;&amp;</h1><p>5 frames in 2 shots, 0 references." in page
    assert "<b>" not in page
    rows = [line for line in page.splitlines() if line.startswith("<tr><td>")]
    assert rows == [
        '<tr><td>2</td><td>3-4</td><td class="low">40%</td>',
        "<tr><td>1</td><td>0-2</td><td>80%</td>",
    ]
    assert page.count("data:image/jpeg;base64,") == 4
