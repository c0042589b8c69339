"""How well the references cover the film: grids, the report, and which shots deserve a still."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from ca_data import YuvCoding, luma_to_lightness
from ca_film import FilmFormat, Look, ShotPlan
from ca_film.output.coverage import GRID, Coverage, is_report, least_covered, write_report
from ca_film.output.rendering import Renderer
from ca_film.output.sheets import paint_coverage
from ca_film.output.work import WorkFolder
from ca_film.plan import _wanted
from ca_film.source.film import ColoredFrame, Frame
from ca_film.source.survey import Survey
from PIL import Image


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


def frame(index: int, confidence: float) -> ColoredFrame:
    """A blue frame of which the references know so much."""
    ab = torch.stack((torch.zeros(36, 64), torch.full((36, 64), -0.4)))
    luma = np.full((36, 64), 120, np.uint8)
    lightness = luma_to_lightness(torch.from_numpy(luma.astype(np.int32))[None], YuvCoding())
    return ColoredFrame(Frame(index, luma), lightness, ab, torch.full((1, 36, 64), confidence))


def renderer(*, compare: bool = False) -> Renderer:
    return Renderer(SimpleNamespace(format=FilmFormat((36, 64), YuvCoding())), [], Look(compare=compare))  # type: ignore[arg-type]


def test_grids_are_kept_by_segment_and_missing_ones_are_no_coverage(tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "film.mkv", {}) as work:
        coverage = Coverage(work, renderer())
        for index, confidence in enumerate((0.2, 1.0)):
            coverage.add(frame(index, confidence))
        coverage.keep(range(0, 2))
        again = Coverage(work, renderer())
        grids = again.grids([range(0, 2), range(2, 5)])
        assert again.picture(range(2, 5)) is None
    assert grids.shape == (5, *GRID)
    assert [int(grid.max()) for grid in grids] == [51, 255, 0, 0, 0]


def test_the_picture_of_a_segment_is_its_least_covered_frame(tmp_path: Path) -> None:
    with WorkFolder(tmp_path / "film.mkv", {}) as work:
        coverage = Coverage(work, renderer())
        for index, confidence in enumerate((0.9, 0.3, 0.6)):
            lighter = replace(frame(index, confidence), lightness=torch.full((1, 36, 64), index * 0.3 - 0.5))
            coverage.add(lighter)
        coverage.keep(range(0, 3))
        picture = coverage.picture(range(0, 3))
    assert picture is not None
    second = renderer().small(replace(frame(1, 0.3), lightness=torch.full((1, 36, 64), -0.2)))
    assert np.abs(np.asarray(picture).transpose(2, 0, 1).astype(int) - second).max() <= 3


def test_frames_of_a_half_grey_film_are_shown_in_colour_all_over() -> None:
    colored = frame(0, 0.5)
    half = renderer(compare=True)
    film, shown = half.rgb(colored), half.small(colored)
    assert np.ptp(film[:, 18, 10].astype(int)) <= 1
    assert np.ptp(film[:, 18, 50].astype(int)) > 50
    assert np.array_equal(shown[:, 18, 10], shown[:, 18, 50])
    # Not equal: the film keeps its luma, of which a saturated colour makes another lightness than of grey.
    assert np.abs(shown[:, 18, 50].astype(int) - film[:, 18, 50]).max() <= 20


def test_red_means_guessed_and_nothing_else() -> None:
    grid = np.full(GRID, round(0.77 * 255), np.uint8)
    grid[:, 8:] = round(0.55 * 255)
    image = Image.fromarray(renderer().small(frame(0, 0.5)).transpose(1, 2, 0))
    red, green, blue = np.asarray(paint_coverage(image, grid)).astype(int).transpose(2, 0, 1)
    assert np.all(red[:, :24] == green[:, :24]), "covered places are grey"
    assert np.all(green[:, :24] == blue[:, :24])
    assert np.all(red[:, 40:] > green[:, 40:] + 100), "guessed ones are clearly red"


def test_the_report_lists_the_least_covered_shot_first_and_escapes_names(tmp_path: Path) -> None:
    survey = Survey([0] * 6, [0] * 6, cuts=[3, 5])
    with WorkFolder(tmp_path / "film.mkv", {}) as work:
        coverage = Coverage(work, renderer(compare=True))
        for segment, confidence in ((range(0, 3), 0.8), (range(3, 5), 0.4)):
            for index in segment:
                coverage.add(frame(index, confidence))
            coverage.keep(segment)
        segments = [range(0, 3), range(3, 5), range(5, 6)]
        write_report(tmp_path / "report.html", "<b>&", survey, coverage, segments, 0)
    page = (tmp_path / "report.html").read_text()
    assert "<h1>Coverage of &lt;b&gt;&amp;</h1><p>6 frames in 3 shots, 0 references." in page
    assert "<b>" not in page
    rows = [line for line in page.splitlines() if line.startswith("<tr><td>")]
    assert rows == [
        '<tr><td>3</td><td>5-5</td><td class="low">0%</td>',
        '<tr><td>2</td><td>3-4</td><td class="low">40%</td>',
        "<tr><td>1</td><td>0-2</td><td>80%</td>",
    ]
    assert page.count("data:image/jpeg;base64,") == 4, "of what was never kept there is no picture"
    assert is_report(tmp_path / "report.html")
