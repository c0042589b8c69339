"""Stills that are frames of the film are recognised by their grey; others are not."""

from pathlib import Path

import numpy as np
import pytest
import torch
from ca_data import network_to_rgb, read_image, rgb_to_network, to_uint8
from ca_film import ColorizeOptions, colorize
from ca_film.source.folder import FolderFilm
from ca_film.source.references import prepare_references
from ca_film.source.survey import survey_film
from PIL import Image

BUDGET = (48, 80)


def found(film: FolderFilm, stills: list[Path]) -> dict[str, int]:
    references = prepare_references(stills, BUDGET)
    anchors = survey_film(film, (), references).anchors
    names = {reference.digest: reference.path.stem for reference in references}
    return {names[digest]: frame for digest, frame in anchors.items()}


def save(folder: Path, name: str, image: np.ndarray) -> Path:
    path = folder / f"{name}.png"
    Image.fromarray(image).save(path)
    return path


def test_a_frame_is_found_in_any_colors_and_at_any_size(
    frames_folder: Path, clip: np.ndarray, tmp_path: Path
) -> None:
    film = FolderFilm(frames_folder)
    large = np.asarray(Image.fromarray(clip[7]).resize((148, 92), Image.Resampling.BICUBIC))
    lightness, ab = rgb_to_network(torch.from_numpy(clip[3]).permute(2, 0, 1))
    shifted = to_uint8(network_to_rgb(lightness, 0.3 * ab.flip(0))).permute(1, 2, 0).numpy()
    stills = [save(tmp_path, "large", large), save(tmp_path, "shifted", shifted)]
    assert found(film, stills) == {"large": 7, "shifted": 3}


def test_other_images_and_other_shapes_are_not(frames_folder: Path, clip: np.ndarray, tmp_path: Path) -> None:
    film = FolderFilm(frames_folder)
    stills = [
        save(tmp_path, "mirrored", clip[4][:, ::-1].copy()),
        save(tmp_path, "brighter", np.clip(clip[4].astype(int) + 12, 0, 255).astype(np.uint8)),
        save(tmp_path, "narrow", clip[4][:, :60].copy()),
    ]
    assert found(film, stills) == {}


def test_a_name_has_the_last_word(frames_folder: Path, clip: np.ndarray, tmp_path: Path) -> None:
    film = FolderFilm(frames_folder)
    stills = [save(tmp_path, "named_000002", clip[5]), save(tmp_path, "again", clip[2])]
    assert found(film, stills) == {}, "frame 2 is taken by name, and a named still is not looked for"


@pytest.mark.parametrize("number", [0, 6])
def test_a_recognised_frame_comes_out_in_its_own_colors(
    number: int, frames_folder: Path, clip: np.ndarray, weights: Path, tmp_path: Path
) -> None:
    still = save(tmp_path, "still", clip[number])
    out = tmp_path / "out"
    options = ColorizeOptions(references=(still,), weights=str(weights), size=(46, 74), device="cpu")
    result = colorize(frames_folder, out, options)
    assert any(f"still.png is frame {number} of the film" in note for note in result.notes)
    written = read_image(sorted(out.glob("*.png"))[number]).permute(1, 2, 0).numpy()
    assert np.abs(written.astype(int) - clip[number]).mean() < 2
