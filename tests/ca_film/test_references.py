"""References: few in memory, partial ones, lists, and files that change."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
import torch
from ca_film import ColorizeOptions, FilmError, StillBinding, colorize
from ca_film.source.reference_list import expand_lists, read_reference_list
from ca_film.source.references import prepare_references
from PIL import Image

BUDGET = (48, 80)


def save(folder: Path, name: str, picture: np.ndarray, alpha: np.ndarray | None = None) -> Path:
    path = folder / f"{name}.png"
    image = Image.fromarray(picture)
    if alpha is not None:
        image.putalpha(Image.fromarray(alpha))
    image.save(path)
    return path


def left_half(picture: np.ndarray) -> np.ndarray:
    alpha = np.zeros(picture.shape[:2], np.uint8)
    alpha[:, : picture.shape[1] // 2] = 255
    return alpha


def test_however_many_stills_a_few_are_held(tmp_path: Path, clip: np.ndarray) -> None:
    paths = [save(tmp_path, f"still{n}", np.roll(clip[0], n, axis=1)) for n in range(37)]
    references = prepare_references(paths, BUDGET)
    store = references[0].store
    assert len(references) == 37
    assert len(store._held) == 16
    first = references[0].prepared()
    assert references[0].prepared() is first
    assert len(store._held) == 16


def test_a_still_that_changes_or_goes_is_noticed_when_it_is_read_again(
    tmp_path: Path, clip: np.ndarray
) -> None:
    path = save(tmp_path, "still", clip[0])
    (reference,) = prepare_references([path], BUDGET)
    save(tmp_path, "still", clip[1])
    with pytest.raises(FilmError, match=r"still\.png changed while the film was coloured"):
        reference.full_ab((46, 74))
    path.unlink()
    with pytest.raises(FilmError, match=r"still\.png does not exist"):
        reference.full_ab((46, 74))


def test_a_partial_still_is_continued_from_what_is_opaque(tmp_path: Path, clip: np.ndarray) -> None:
    picture = clip[0].copy()
    alpha = left_half(picture)
    hidden = picture.copy()
    hidden[:, picture.shape[1] // 2 :] = (0, 255, 0)
    one, other = prepare_references(
        [save(tmp_path, "one", picture, alpha), save(tmp_path, "other", hidden, alpha)], BUDGET
    )
    assert torch.equal(one.prepared().lab, other.prepared().lab)
    assert one.opaque == pytest.approx(0.5, abs=0.02)
    _, opaque = one.network_ab((48, 80))
    assert opaque[0].float().mean() == pytest.approx(0.5, abs=0.03)
    full, share = one.full_ab((46, 74))
    assert share[0, :, 0].min() == 1
    assert share[0, :, -1].max() == 0
    (whole,) = prepare_references([save(tmp_path, "whole", picture)], BUDGET)
    torch.testing.assert_close(full[..., :30], whole.full_ab((46, 74))[0][..., :30], atol=5e-3, rtol=0)
    assert whole.full_ab((46, 74))[1] is None
    assert whole.opaque == 1


def test_an_anchored_partial_still_counts_where_it_is_opaque(
    frames_folder: Path, clip: np.ndarray, weights: Path, tmp_path: Path
) -> None:
    swapped = clip[4][..., ::-1].copy()
    outs = []
    for name, hidden in (("black", 0), ("white", 255)):
        picture = swapped.copy()
        picture[:, picture.shape[1] // 2 :] = hidden
        (tmp_path / name).mkdir()
        still = save(tmp_path / name, "shot_000004", picture, left_half(picture))
        options = ColorizeOptions(still, str(weights), BUDGET, "cpu", cuts=())
        result = colorize(frames_folder, tmp_path / f"{name}-out", options)
        assert any("has alpha: only the 50%" in note for note in result.notes)
        outs.append([np.asarray(Image.open(file)) for file in sorted((tmp_path / f"{name}-out").iterdir())])
    for one, other in zip(*outs, strict=True):
        assert np.array_equal(one, other), "what is hidden must not be seen"
    middle = clip.shape[2] // 2
    whole = ColorizeOptions(save(tmp_path, "shot_000004", swapped), str(weights), BUDGET, "cpu", cuts=())
    colorize(frames_folder, tmp_path / "whole", whole)
    expected = np.asarray(Image.open(tmp_path / "whole" / "00004.png")).astype(int)
    got = outs[0][4].astype(int)
    assert np.abs(got - expected)[:, : middle - 3].max() <= 3
    assert np.abs(got - expected)[:, middle + 3 :].max() > 10


def test_a_partial_frame_of_the_film_is_found_by_what_is_opaque(
    frames_folder: Path, clip: np.ndarray, weights: Path, tmp_path: Path
) -> None:
    picture = clip[7].copy()
    picture[:, picture.shape[1] // 2 :] = 255
    still = save(tmp_path, "part", picture, left_half(picture))
    result = colorize(
        frames_folder, tmp_path / "out", ColorizeOptions(still, str(weights), BUDGET, "cpu", cuts=())
    )
    assert any("part.png is frame 7 of the film" in note for note in result.notes)


def test_a_binding_needs_its_still(tmp_path: Path, clip: np.ndarray) -> None:
    path = save(tmp_path, "still", clip[0])
    with pytest.raises(FilmError, match=r"binding names the still .*other\.png, which is not among"):
        prepare_references([path], BUDGET, [StillBinding(tmp_path / "other.png", shots=[1])])
    (reference,) = prepare_references([path], BUDGET, [StillBinding(path, frames=[range(3, 9)], frame=5)])
    assert reference.frame == 5
    assert reference.binding.ranges([range(0, 4), range(4, 11)]) == [range(3, 9)]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"shots": [0]}, "shots of a.png must be 1 or more"),
        ({"frames": [range(4, 4)]}, "ranges with something in them"),
        ({"frames": [range(0, 9, 2)]}, "ranges with something in them"),
        ({"frame": -1}, "frame of a.png must be 0 or more"),
    ],
)
def test_bindings_that_make_no_sense(values: dict, text: str) -> None:
    with pytest.raises(FilmError, match=text):
        StillBinding("a.png", **values)


def test_a_list_names_stills_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "refs.toml"
    path.write_text(
        '[[still]]\nfile = "a.png"\nframe = 40\n[[still]]\nfile = "b.png"\nshots = [1, 3]\nframes = [[7, 9]]\n'
    )
    stills, bindings = expand_lists([Path("c.png"), path], [StillBinding("c.png", shots=[2])])
    assert stills == [Path("c.png"), tmp_path / "a.png", tmp_path / "b.png"]
    assert [one.frame for one in bindings] == [None, 40, None]
    shots = [range(0, 5), range(5, 20), range(20, 23)]
    assert [one.ranges(shots) for one in bindings] == [
        [range(5, 20)],
        None,
        [range(7, 10), range(0, 5), range(20, 23)],
    ]


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("still = 3", "must hold"),
        ("[[still]\n", "is no TOML"),
        ('[[other]]\nfile = "a.png"\n', "must hold"),
        ("[[still]]\nshots = [1]\n", "still 1: expected a file"),
        ('[[still]]\nfile = "a.png"\nshot = 1\n', "expected a file"),
        ('[[still]]\nfile = "a.png"\nshots = ["1"]\n', "shots must be a list"),
        ('[[still]]\nfile = "a.png"\nframes = [3, 4]\n', "frames must be pairs"),
        ('[[still]]\nfile = "a.png"\nframes = [[4, 3]]\n', "ranges with something in them"),
        ('[[still]]\nfile = "a.png"\nframe = true\n', "frame must be a whole number"),
    ],
)
def test_lists_that_say_something_else(tmp_path: Path, content: str, text: str) -> None:
    path = tmp_path / "refs.toml"
    path.write_text(content)
    with pytest.raises(FilmError, match=text):
        read_reference_list(path)
    with pytest.raises(FilmError, match="cannot be read"):
        read_reference_list(tmp_path / "none.toml")


def thin_png(path: Path, width: int, height: int) -> Path:
    """A PNG that claims many pixels and holds none."""
    chunks = ((b"IHDR", struct.pack(">2I5B", width, height, 8, 0, 0, 0, 0)), (b"IDAT", zlib.compress(b"")))
    made = [
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in (*chunks, (b"IEND", b""))
    ]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(made))
    return path


def test_a_still_of_too_many_pixels_is_refused_by_its_header(tmp_path: Path, clip: np.ndarray) -> None:
    thin = thin_png(tmp_path / "thin.png", 1, 89_000_000)
    with pytest.raises(
        FilmError, match=r"thin\.png has 1 x 89000000 pixels, expected 64,000,000 in all at most"
    ):
        prepare_references([thin], BUDGET)
    # Beyond the limit it is decoded, and found to hold nothing.
    with pytest.raises(FilmError, match="cannot be read"):
        prepare_references([thin_png(tmp_path / "small.png", 10, 10)], BUDGET)
    still = save(tmp_path, "still", clip[0])
    pixels = clip.shape[1] * clip.shape[2]
    assert len(prepare_references([still], BUDGET, most_pixels=pixels)) == 1
    with pytest.raises(FilmError, match="raise the limit"):
        prepare_references([still], BUDGET, most_pixels=pixels - 1)
    with pytest.raises(FilmError, match="`still_pixels` must lie in"):
        ColorizeOptions(still_pixels=0)


def test_a_still_of_far_too_many_pixels_is_one_line(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    with pytest.raises(FilmError, match="64,000,000 in all at most"):
        prepare_references([thin_png(tmp_path / "wide.png", 100_000_000, 1)], BUDGET)
    assert not recwarn.list
