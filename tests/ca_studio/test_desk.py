"""The desk without a page: paint, colour, mend, bring stills in and take them out."""

import io
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from ca_data import synthetic_clip, write_frames
from ca_film import FilmError
from ca_film.project import Still, Stroke
from ca_studio.access import Folders
from ca_studio.desk import Desk
from ca_studio.queue import ExportQueue
from ca_studio.studio import Studio
from PIL import Image

SIZE = (48, 80)
RED = Stroke("brush", ((0.2, 0.2), (0.4, 0.4)), 0.05, (200, 60, 50))
BLUE = Stroke("brush", ((0.7, 0.7),), 0.1, (60, 80, 200))


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    grey = (
        synthetic_clip(5, frames=9, size=SIZE).float().mean(dim=1, keepdim=True).byte().expand(-1, 3, -1, -1)
    )
    film = write_frames(grey.contiguous(), tmp_path / "film")
    desk = Desk(film, SIZE, device="cpu")
    wait(desk, lambda: desk.project.surveyed)
    yield desk
    desk.close()


def wait(desk: Desk, ready, seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, desk.problem or "the desk stands still"
        time.sleep(0.02)


def pixels(data: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB")).astype(int)


def chroma(data: bytes) -> float:
    image = pixels(data)
    return float((image.max(axis=2) - image.min(axis=2)).mean())


def colored(desk: Desk) -> None:
    wait(desk, lambda: desk.coloring is None and not desk.colorist.missing(len(desk)))


def test_paint_color_mend_and_only_its_range_runs(desk: Desk) -> None:
    assert chroma(desk.frame_jpeg(0, "color")) < 3
    desk.add_stroke(0, RED)
    desk.add_stroke(0, BLUE)
    assert chroma(desk.frame_jpeg(0, "color")) > 10
    desk.undo(0)
    desk.undo(0)
    assert chroma(desk.frame_jpeg(0, "color")) < 3
    desk.redo(0)
    assert desk.keep_painting(0) == Still("stills/frame_000000.png", 0)
    desk.color(0, everything=True)
    colored(desk)
    assert all(desk.has_colors(frame) for frame in range(9))
    assert desk.covered().min() > 0
    kept = {file.name for file in desk.folder.kept.glob("*.npy")}
    desk.change(lambda project: project.cut(5))
    desk.add_stroke(6, BLUE)
    desk.keep_painting(6)
    missing = {frame for stretch in desk.colorist.missing(9) for frame in stretch.frames}
    assert missing == set(range(9))  # the first shot is another now that it is shorter
    desk.color(0, everything=True)
    colored(desk)
    desk.add_stroke(6, RED)
    desk.keep_painting(6)
    assert {frame for stretch in desk.colorist.missing(9) for frame in stretch.frames} == set(range(5, 9))
    assert kept <= {file.name for file in desk.folder.kept.glob("*.npy")}


def test_painting_goes_on_another_day(desk: Desk) -> None:
    desk.add_stroke(3, RED)
    desk.keep_painting(3)
    before = pixels(desk.frame_jpeg(3, "color"))
    path = desk.folder.path
    desk.close()
    again = Desk(path, device="cpu")
    try:
        assert again.painting(3).strokes == [RED]
        assert np.abs(pixels(again.frame_jpeg(3, "color")) - before).mean() < 2
    finally:
        again.close()
        desk.folder.__enter__()


def test_a_still_goes_out_and_comes_back_from_another_editor(desk: Desk) -> None:
    desk.add_stroke(2, RED)
    still = desk.keep_painting(2)
    image = Image.open(desk.still_png(still.file))
    assert image.size == (80, 48)
    buffer = io.BytesIO()
    Image.new("RGB", (80, 48), (40, 120, 60)).save(buffer, "PNG")
    assert desk.add_still(buffer.getvalue(), "painted.png", 2) == still
    assert len(desk.project.stills) == 1
    came = np.asarray(Image.open(desk.still_png(still.file)))
    assert (came == (40, 120, 60)).all()
    desk.remove_still(still.file)
    assert desk.project.stills == ()
    assert list(desk.folder.stills.glob("*")) == []


def test_a_partial_still_stays_partial(desk: Desk) -> None:
    partial = np.zeros((48, 80, 4), np.uint8)
    partial[10:24, 10:34] = (200, 40, 40, 255)
    buffer = io.BytesIO()
    Image.fromarray(partial).save(buffer, "PNG")
    still = desk.add_still(buffer.getvalue(), "partial.png", 4)
    assert np.array_equal(np.asarray(Image.open(desk.still_png(still.file))), partial)
    desk.color(4)
    colored(desk)
    image = pixels(desk.frame_jpeg(4, "color"))
    assert (image[12:22, 14:30, 0] - image[12:22, 14:30, 1]).mean() > 20
    buffer = io.BytesIO()
    Image.new("RGBA", (80, 48), (200, 40, 40, 0)).save(buffer, "PNG")
    with pytest.raises(FilmError, match="transparent everywhere"):
        desk.add_still(buffer.getvalue(), "nothing.png", 4)


def png(size: tuple[int, int], color: tuple[int, int, int]) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, color).save(buffer, "PNG")
    return buffer.getvalue()


def test_a_dropped_still_belongs_where_its_name_says(desk: Desk) -> None:
    assert desk.add_still(png((80, 48), (40, 120, 60)), "frame_000003.png", None).frame == 3
    assert desk.add_still(png((80, 48), (40, 120, 60)), "frame_000300.png", None).frame is None
    assert desk.add_still(png((48, 80), (40, 120, 60)), "frame_000004.png", None).frame is None
    assert [still.frame for still in desk.project.stills] == [3, None, None]


def test_stills_without_color_or_of_another_shape_are_refused(desk: Desk) -> None:
    with pytest.raises(FilmError, match="holds no colour"):
        desk.add_still(png((80, 48), (90, 90, 90)), "planned.png", None)
    with pytest.raises(FilmError, match=r"another shape than the film \(48x80\)"):
        desk.add_still(png((48, 80), (40, 120, 60)), "tall.png", 2)
    desk.add_stroke(1, Stroke("brush", ((0.2, 0.2),), 0.05, (120, 120, 120)))
    with pytest.raises(FilmError, match="holds no colour"):
        desk.keep_painting(1)
    assert desk.project.stills == ()
    assert [file.name for file in desk.folder.kept.iterdir() if file.is_dir()] == []


def test_what_is_no_picture_is_refused(desk: Desk) -> None:
    with pytest.raises(FilmError, match="no picture that can be read"):
        desk.add_still(b"text", "notes.png", 1)
    with pytest.raises(FilmError, match="no still"):
        desk.still_png("../film/00000.png")
    with pytest.raises(FilmError, match="has no strokes"):
        desk.keep_painting(1)
    with pytest.raises(FilmError, match=r"0\.\.8"):
        desk.frame_jpeg(9, "grey")


def test_a_broken_film_leaves_the_open_one_open(desk: Desk, tmp_path: Path) -> None:
    path = desk.folder.path
    desk.close()
    studio = Studio(Folders([tmp_path]), ExportQueue(tmp_path / "queue.json", paused=True))
    opened = studio.open(path)
    (tmp_path / "broken.mp4").write_bytes(b"no film")
    for wrong in (tmp_path / "broken.mp4", tmp_path / "none.mp4"):
        with pytest.raises(FilmError):
            studio.open(wrong)
    assert studio.desk is opened
    assert studio.open(tmp_path / "film") is opened  # another tab, the same desk
    with pytest.raises(FilmError, match="outside the allowed"):
        studio.open("/etc/passwd")
    studio.close()
    desk.folder.__enter__()


def test_no_picture_of_another_film_is_taken_for_this_one(desk: Desk) -> None:
    path, stamp = desk.folder.path, desk.stamp
    desk.close()
    again = Desk(path, device="cpu")  # the same film another day: its pictures may be others
    try:
        assert again.stamp != stamp
    finally:
        again.close()
        desk.folder.__enter__()
