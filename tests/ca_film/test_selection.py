"""Selection: the best few references of each part of a film."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from ca_data import synthetic_clip, write_frames
from ca_film import ColorizeOptions, Progress, StillBinding, colorize
from ca_film.network.selection import Selection, select_references
from ca_film.source.folder import FolderFilm
from ca_film.source.references import Reference, prepare_references
from ca_model import ColorAlignNet, create_model
from PIL import Image

BUDGET = (64, 112)
SHOTS = [range(0, 5), range(5, 12)]


@pytest.fixture(scope="module")
def model() -> ColorAlignNet:
    torch.manual_seed(5)
    return create_model("tiny").eval()


@pytest.fixture(scope="module")
def scenes() -> tuple[np.ndarray, np.ndarray]:
    """Two shots of different scenes, `t h w 3`."""
    clips = [synthetic_clip(seed, frames=count, size=BUDGET) for seed, count in ((3, 5), (11, 7))]
    return clips[0].permute(0, 2, 3, 1).numpy(), clips[1].permute(0, 2, 3, 1).numpy()


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory, scenes: tuple[np.ndarray, np.ndarray]) -> FolderFilm:
    folder = tmp_path_factory.mktemp("film")
    write_frames(torch.from_numpy(np.concatenate(scenes)).permute(0, 3, 1, 2), folder)
    return FolderFilm(folder)


def stills(folder: Path, **pictures: np.ndarray) -> list[Path]:
    for name, picture in pictures.items():
        Image.fromarray(picture).save(folder / f"{name}.png")
    return [folder / f"{name}.png" for name in pictures]


def select(film: FolderFilm, references: list[Reference], model: ColorAlignNet, most: int) -> Selection:
    return select_references(film, SHOTS, references, model, BUDGET, most, Progress())


class Untouched:
    """A film that nobody may walk through."""

    def frames(self, start: int = 0) -> Iterator[None]:
        raise AssertionError(f"a walk from {start}")


def test_where_there_are_few_all_are_used_and_nothing_is_looked_at(
    tmp_path: Path, scenes: tuple[np.ndarray, np.ndarray]
) -> None:
    references = prepare_references(stills(tmp_path, a=scenes[0][0], b=scenes[1][0]), BUDGET)
    selection = select_references(Untouched(), SHOTS, references, None, BUDGET, 2, Progress())  # type: ignore[arg-type]
    assert [chosen for _, chosen in selection.stretches] == [(0, 1), (0, 1)]
    assert selection.of(4) == (0, 1)


def test_each_shot_gets_the_still_that_shows_it(
    tmp_path: Path, film: FolderFilm, scenes: tuple[np.ndarray, np.ndarray], model: ColorAlignNet
) -> None:
    other = synthetic_clip(23, frames=1, size=BUDGET)[0].permute(1, 2, 0).numpy()
    paths = stills(
        tmp_path, other=other, second=scenes[1][3], mirrored=other[:, ::-1].copy(), first=scenes[0][2]
    )
    selection = select(film, prepare_references(paths, BUDGET), model, 1)
    assert selection.of(0) == (3,)
    assert selection.of(5) == selection.of(11) == (1,)


def test_a_still_that_repeats_another_in_other_colors_is_left_out(
    tmp_path: Path, film: FolderFilm, scenes: tuple[np.ndarray, np.ndarray], model: ColorAlignNet
) -> None:
    """Of a still, the same turned from red to blue, and one of another place: the first and the last."""
    still = scenes[0][2]
    other = synthetic_clip(23, frames=1, size=BUDGET)[0].permute(1, 2, 0).numpy()
    paths = stills(tmp_path, still=still, swapped=still[..., ::-1].copy(), other=other)
    chosen = select(film, prepare_references(paths, BUDGET), model, 2).of(0)
    assert not {0, 1} <= set(chosen)
    assert {0, 1} & set(chosen)


def test_the_references_of_a_shot_come_first_the_nearest_in_time(
    tmp_path: Path, film: FolderFilm, scenes: tuple[np.ndarray, np.ndarray], model: ColorAlignNet
) -> None:
    own = {f"own_{number:06d}": scenes[1][number - 5][:, ::-1].copy() for number in range(5, 12)}
    paths = stills(tmp_path, looks=scenes[1][3], **own)
    references = prepare_references(paths, BUDGET)
    selection = select(film, references, model, 2)
    for stretch, chosen in selection.stretches[1:]:
        frames = [references[number].frame for number in chosen]
        assert len(frames) == 2
        assert all(frame is not None and abs(frame - stretch.start) <= 1 for frame in frames)
    few = [references[0], references[1], references[7]]
    assert select(film, few, model, 2).of(8) == (1, 2)


def test_a_bound_still_is_seen_in_its_part_only(
    tmp_path: Path, scenes: tuple[np.ndarray, np.ndarray], model: ColorAlignNet
) -> None:
    paths = stills(tmp_path, a=scenes[0][0], b=scenes[1][0])
    bindings = [StillBinding(paths[0], shots=[1], frames=[range(9, 11)]), StillBinding(paths[1], shots=[2])]
    references = prepare_references(paths, BUDGET, bindings)
    selection = select_references(Untouched(), SHOTS, references, model, BUDGET, 8, Progress())  # type: ignore[arg-type]
    assert selection.stretches == [
        (range(0, 5), (0,)),
        (range(5, 9), (1,)),
        (range(9, 11), (0, 1)),
        (range(11, 12), (1,)),
    ]


def test_a_film_sees_bound_stills_where_they_are_bound(
    tmp_path: Path, film: FolderFilm, scenes: tuple[np.ndarray, np.ndarray], weights: Path
) -> None:
    """Colours of the second shot do not depend on a still bound to the first; what has none stays without."""
    first, second = stills(tmp_path, first=scenes[0][0], second=scenes[1][0][:, ::-1].copy())

    def colored(name: str, *references: Path, **changes: object) -> list[bytes]:
        options = ColorizeOptions(references, str(weights), BUDGET, "cpu", cuts=(5,), **changes)  # type: ignore[arg-type]
        self.notes = colorize(film.path, tmp_path / name, options).notes
        return [file.read_bytes() for file in sorted((tmp_path / name).iterdir())]

    self = SimpleNamespace(notes=[])
    alone = colored("alone", second)
    bound = colored("bound", first, second, bindings=[StillBinding(first, shots=[1, 7])])
    assert any("bound to shot 7, but the film has 2" in note for note in self.notes)
    assert bound[5:] == alone[5:]
    assert bound[1:5] != alone[1:5]
    colored("none", first, bindings=[StillBinding(first, shots=[1])])
    assert any("frames 5-11 have no reference" in note for note in self.notes)


def test_more_stills_than_are_seen_change_nothing_when_they_show_something_else(
    tmp_path: Path, film: FolderFilm, scenes: tuple[np.ndarray, np.ndarray], weights: Path
) -> None:
    """And interrupted work goes on with the selection it began with."""
    other = synthetic_clip(23, frames=1, size=BUDGET)[0].permute(1, 2, 0).numpy()
    paths = stills(tmp_path, first=scenes[0][2], other=other)
    one = ColorizeOptions(paths[:1], str(weights), BUDGET, "cpu", cuts=())
    two = ColorizeOptions(paths, str(weights), BUDGET, "cpu", cuts=(5,), references_per_shot=1)
    colorize(film.path, tmp_path / "one", one)
    colorize(film.path, tmp_path / "two", two)
    files = [(tmp_path / name / "00003.png").read_bytes() for name in ("one", "two")]
    assert files[0] == files[1]
