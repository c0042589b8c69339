"""A project coloured: nearest first, only what a change reaches, to the same bytes whoever coloured it before."""

import hashlib
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ca_data import synthetic_clip, write_frames
from ca_film import Cancelled, ColorizeOptions, FilmError, Progress
from ca_film.project import (
    CHANGED,
    Colorist,
    Project,
    ProjectFolder,
    Shot,
    Still,
    Viewer,
    color_stretches,
    colorize_project,
    project_folder,
    survey_project,
)
from ca_film.source.survey import survey_film
from PIL import Image

SIZE = (48, 80)


@pytest.fixture
def film(tmp_path: Path) -> Path:
    grey = (
        synthetic_clip(3, frames=11, size=SIZE).float().mean(dim=1, keepdim=True).byte().expand(-1, 3, -1, -1)
    )
    return write_frames(grey.contiguous(), tmp_path / "film")


def opened(film: Path, *frames: int) -> tuple[ProjectFolder, Project]:
    """A project with true stills of some frames, cut at 7."""
    folder = ProjectFolder(project_folder(film))
    clip = synthetic_clip(3, frames=11, size=SIZE)
    project = replace(Project(film, size=SIZE).cut(7), surveyed=True)
    for frame in frames:
        name = f"stills/frame_{frame:06d}.png"
        Image.fromarray(clip[frame].permute(1, 2, 0).numpy()).save(folder.stills / Path(name).name)
        project = project.with_still(Still(name, frame))
    folder.save(project)
    return folder, project


def color_all(folder: ProjectFolder, project: Project, near: int) -> tuple[Colorist, list[int]]:
    viewer = Viewer(project.film)
    colorist = Colorist(folder, project, viewer.film, "cpu")

    def lightness(index: int, *, backward: bool) -> np.ndarray:  # noqa: ARG001
        return colorist.see(viewer.film, viewer.frame(index))

    colorist.follow(survey_film(viewer.film, ()))
    return colorist, list(color_stretches(colorist, colorist.missing(11, near), lightness, near))


def frames_of(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())}


def test_frames_come_nearest_first_and_only_what_a_change_reaches_comes_again(film: Path) -> None:
    folder, project = opened(film, 3, 8)
    colorist, made = color_all(folder, project, 3)
    assert made[0] == 3
    assert max(abs(frame - 3) for frame in made[:5]) <= 2
    assert set(made) == set(range(11))
    assert colorist.missing(11) == []
    clip = synthetic_clip(4, frames=1, size=SIZE)
    Image.fromarray(clip[0].permute(1, 2, 0).numpy()).save(folder.path / "stills" / "frame_000008.png")
    os.utime(folder.path / "stills" / "frame_000008.png", ns=(1, 1))
    _, again = color_all(folder, project, 3)
    assert set(again) == set(range(7, 11))


def test_the_same_project_gives_the_same_bytes_whatever_was_kept(film: Path, tmp_path: Path) -> None:
    folder, project = opened(film, 3)
    color_all(folder, project, 5)
    colorize_project(folder.path, tmp_path / "kept")
    for file in folder.kept.glob("*.npy"):
        file.unlink()
    colorize_project(folder.path, tmp_path / "anew")
    assert frames_of(tmp_path / "kept") == frames_of(tmp_path / "anew")
    assert len(frames_of(tmp_path / "anew")) == 11


def test_kept_colors_of_other_frames_are_made_again(film: Path, tmp_path: Path) -> None:
    folder, project = opened(film, 3)
    colorist, _ = color_all(folder, project, 5)
    colorize_project(folder.path, tmp_path / "right")
    (file,) = [colorist.kept._path(stretch) for stretch in colorist.stretches(11) if not stretch.backward]
    records = np.lib.format.open_memmap(file, "r+")
    records["seen"], records["ab"] = 0, 0.5
    records.flush()
    colorize_project(folder.path, tmp_path / "again")
    assert frames_of(tmp_path / "right") == frames_of(tmp_path / "again")


def test_shots_have_their_own_look_and_grey_shots_stay_grey(film: Path, tmp_path: Path) -> None:
    folder, project = opened(film, 3, 8)
    colorize_project(folder.path, tmp_path / "full")
    folder.save(project.with_shot(Shot(7, grey=True)).with_shot(Shot(0, saturation=0.5)))
    colorize_project(folder.path, tmp_path / "changed")

    def chroma(name: str, frame: int) -> float:
        pixels = np.asarray(Image.open(tmp_path / name / f"{frame:05d}.png")).astype(int)
        return float((pixels.max(axis=2) - pixels.min(axis=2)).mean())

    assert chroma("changed", 9) <= 1.0 < chroma("full", 9)
    for frame in (2, 3):
        assert chroma("changed", frame) == pytest.approx(chroma("full", frame) / 2, rel=0.25)


def test_a_cancelled_export_goes_on_and_gives_the_same_bytes(film: Path, tmp_path: Path) -> None:
    folder, _ = opened(film, 3)

    class Stop(Progress):
        left = 14

        def advance(self, count: int = 1) -> None:  # noqa: ARG002
            self.left -= 1

        def cancelled(self) -> bool:
            return self.left < 0

    options = ColorizeOptions(segment=4)
    with pytest.raises(Cancelled):
        colorize_project(folder.path, tmp_path / "out", options, Stop())
    assert not (tmp_path / "out").exists()
    colorize_project(folder.path, tmp_path / "out", options)
    colorize_project(folder.path, tmp_path / "whole", options)
    assert frames_of(tmp_path / "out") == frames_of(tmp_path / "whole")


def test_the_output_may_not_be_an_input(film: Path) -> None:
    folder, _ = opened(film, 3)
    with pytest.raises(FilmError, match="also an input"):
        colorize_project(folder.path, film, ColorizeOptions(overwrite=True))


def test_a_project_without_stills_gives_a_grey_film(film: Path, tmp_path: Path) -> None:
    folder, _ = opened(film)
    result = colorize_project(folder.path, tmp_path / "grey")
    assert result.frames == 11
    pixels = torch.from_numpy(np.array(Image.open(tmp_path / "grey" / "00004.png"))).int()
    assert (pixels.amax(dim=2) - pixels.amin(dim=2)).max() <= 1


def flashing(film: Path) -> Path:
    """The film with a flash at frame 5."""
    file = sorted(film.iterdir())[5]
    light = np.asarray(Image.open(file)).astype(int) // 3 + 170
    Image.fromarray(light.astype(np.uint8)).save(file)
    return film


def test_a_flash_leaves_no_trace_and_is_paled_as_in_colorize(film: Path, tmp_path: Path) -> None:
    folder, project = opened(flashing(film), 3)
    colorist, _ = color_all(folder, project, 5)
    assert colorist.flashes == [5]
    forward = next(s for s in colorist.stretches(11) if not s.backward)
    kept = colorist.kept.get(forward)
    assert kept is not None
    assert kept.seen(5) == kept.seen(4)  # the network saw the frame before
    files = {file.name for file in folder.kept.glob("*.npy")}
    result = colorize_project(folder.path, tmp_path / "kept")
    assert {
        file.name for file in folder.kept.glob("*.npy")
    } == files  # and the export uses what was made for the page
    assert any("lighter or darker than both neighbours" in note for note in result.notes)
    for file in folder.kept.glob("*.npy"):
        file.unlink()
    colorize_project(folder.path, tmp_path / "anew")
    assert frames_of(tmp_path / "kept") == frames_of(tmp_path / "anew")
    strength = []
    for frame in (4, 5):
        pixels = np.asarray(Image.open(tmp_path / "anew" / f"{frame:05d}.png")).astype(int)
        strength.append(float((pixels.max(axis=2) - pixels.min(axis=2)).mean()))
    assert 0 < strength[1] < 0.8 * strength[0]


def test_a_flash_that_begins_a_shot_is_none(film: Path) -> None:
    folder, project = opened(flashing(film), 3)
    colorist, _ = color_all(folder, project.cut(5), 5)
    assert colorist.flashes == []
    assert colorist.source(5) == 5


def test_stills_lose_black_bars_and_grey_ones_are_refused(film: Path) -> None:
    folder, project = opened(film, 3)
    viewer = Viewer(film)
    colorist = Colorist(folder, project, viewer.film, "cpu")
    (still,) = project.stills
    plain = colorist.reference(still)
    picture = Image.open(folder.path / still.file)
    barred = Image.new("RGB", (80, 64))
    barred.paste(picture, (0, 8))
    barred.save(folder.path / still.file)
    os.utime(folder.path / still.file, ns=(1, 1))
    taken = colorist.reference(still)
    assert taken.bars
    assert taken.fits
    assert torch.equal(taken.full_ab((48, 80))[0], plain.full_ab((48, 80))[0])
    picture.convert("L").convert("RGB").save(folder.path / still.file)
    os.utime(folder.path / still.file, ns=(2, 2))
    with pytest.raises(FilmError, match=r"frame_000003\.png holds no colour; paint it"):
        colorist.reference(still)


def test_a_project_keeps_the_films_own_colors_if_it_says_so(film: Path, tmp_path: Path) -> None:
    for file in film.iterdir():
        pixels = np.asarray(Image.open(file)).copy()
        pixels[:8, :8] = (200, 40, 40)
        Image.fromarray(pixels).save(file)
    folder, project = opened(film, 3)
    result = colorize_project(folder.path, tmp_path / "replaced")
    assert any("`keep_colors=True` keeps them" in note for note in result.notes)
    folder.save(replace(project, keep_colors=True))
    assert folder.load().keep_colors
    colorize_project(folder.path, tmp_path / "kept")

    def logo(name: str) -> np.ndarray:
        return np.asarray(Image.open(tmp_path / name / "00009.png"))[1:7, 1:7].astype(int)

    assert np.abs(logo("kept") - (200, 40, 40)).max() <= 2
    assert np.abs(logo("replaced") - (200, 40, 40)).max() > 10


def test_a_film_that_changes_while_it_is_exported_is_named(film: Path, tmp_path: Path) -> None:
    folder, _ = opened(film, 3)

    class Meddle(Progress):
        def stage(self, name: str, total: int | None) -> None:  # noqa: ARG002
            if name == "rendering":
                os.utime(folder.path / "stills" / "frame_000003.png", ns=(1, 1))

    with pytest.raises(FilmError, match=r"frame_000003\.png changed, or went away"):
        colorize_project(folder.path, tmp_path / "out", progress=Meddle())
    assert not (tmp_path / "out").exists()


def test_a_project_goes_where_its_film_goes_and_says_what_became_of_it(film: Path, tmp_path: Path) -> None:
    folder, project = opened(film, 3)
    color_all(folder, project, 5)
    survey_project(folder, project, Viewer(film).film)
    kept = sorted(file.name for file in folder.kept.glob("*.npy"))
    place = tmp_path / 'elsewhere, "ünïcode" & more'
    shutil.copytree(film, place / "new name")
    shutil.copytree(folder.path, place / "new name.coloralign")
    moved = ProjectFolder(place / "new name.coloralign")
    assert moved.load().film == place / "new name"
    survey, again = survey_project(moved, moved.load(), Viewer(moved.load().film).film)
    assert CHANGED not in survey.notes
    assert again.stills == project.stills
    result = colorize_project(moved.path, place / "out")
    assert result.frames == 11
    assert sorted(file.name for file in moved.kept.glob("*.npy")) == kept
    file = sorted((place / "new name").iterdir())[2]
    Image.open(file).transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(file)
    survey, _ = survey_project(moved, moved.load(), Viewer(moved.load().film).film)
    assert CHANGED in survey.notes
    shutil.rmtree(place / "new name")
    assert moved.load().film == (place / "film").resolve()
    with pytest.raises(FilmError, match="is not there; put it there or beside the project's folder"):
        moved.load_with_film()


def test_what_no_shot_needs_goes_once_there_is_too_much(film: Path) -> None:
    folder, project = opened(film, 3, 8)
    colorist, _ = color_all(folder, project, 3)
    needed = {file.name for file in folder.kept.glob("*.npy")}
    for number in range(2):
        stray = folder.kept / f"stray{number}.npy"
        stray.write_bytes(bytes(1000))
        os.utime(stray, (number, number))
    left = folder.kept / "old.1234.growing"
    left.write_bytes(b"cut short")
    os.utime(left, (1, 1))
    whole = sum(file.stat().st_size for file in folder.kept.glob("*.npy"))
    colorist.kept.tidy(colorist.stretches(11), whole - 500)
    assert {file.name for file in folder.kept.glob("*.npy")} == {*needed, "stray1.npy"}
    assert not left.exists()
    colorist.kept.tidy(colorist.stretches(11), 0)
    assert {file.name for file in folder.kept.glob("*.npy")} == needed
