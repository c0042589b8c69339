"""A project coloured: nearest first, only what a change reaches, to the same bytes whoever coloured it before."""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from ca_data import synthetic_clip, write_frames
from ca_film import Cancelled, ColorizeOptions, FilmError, Progress
from ca_film.project import (
    Colorist,
    Project,
    ProjectFolder,
    Shot,
    Still,
    Viewer,
    color_stretches,
    colorize_project,
    project_folder,
)
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
