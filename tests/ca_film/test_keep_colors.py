"""Colours that a film has of its own: named, and kept if wanted."""

from pathlib import Path

import av
import numpy as np
import pytest
import torch
from ca_data import YuvCoding
from ca_film import ColorizeOptions, Look, colorize
from ca_film.output.encoding import choose_encoding
from ca_film.output.rendering import Renderer
from ca_film.source.film import ColoredFrame, FilmFormat, Frame
from PIL import Image


class OneFormat:
    """A film of which only the format matters."""

    path = Path("film.mkv")

    def __init__(self, form: FilmFormat) -> None:
        self.format = form


@pytest.mark.parametrize("interlaced", [False, True])
def test_chroma_of_the_film_stays_where_it_is_no_grey(interlaced: bool) -> None:
    frame = av.VideoFrame(64, 48, "yuv420p")
    for number, plane in enumerate(frame.planes):
        view = np.frombuffer(plane, np.uint8).reshape(plane.height, -1)
        view[:] = 120 if number == 0 else 128
        if number == 2:
            view[8:16, 10:20] = 200
    form = FilmFormat((48, 64), YuvCoding(), interlaced=interlaced, pixel_format="yuv420p")
    encoding = choose_encoding(form, Path("out.mkv"), codec="ffv1")
    luma, ones = np.full((48, 64), 120, np.uint8), torch.ones(1, 48, 64)
    colored = ColoredFrame(
        Frame(0, luma, decoded=frame), torch.zeros(1, 48, 64), torch.full((2, 48, 64), -0.2), ones
    )
    painted = Renderer(OneFormat(form), [], Look()).chroma(colored, encoding)  # type: ignore[arg-type]
    kept = Renderer(OneFormat(form), [], Look(), keep_colors=True).chroma(colored, encoding)  # type: ignore[arg-type]
    assert (kept[1][8:16, 10:20] == 200).all()
    assert (kept[0][8:16, 10:20] == 128).all()
    assert np.array_equal(kept[1][:4], painted[1][:4])
    assert np.array_equal(kept[1][:, 30:], painted[1][:, 30:])
    assert (painted[1] != 200).all()


def test_colors_are_named_and_kept_in_a_folder(
    clip: np.ndarray, weights: Path, still: Path, tmp_path: Path
) -> None:
    source = tmp_path / "film"
    source.mkdir()
    picture = np.repeat(clip[0].mean(axis=-1, keepdims=True), 3, axis=-1).astype(np.uint8)
    picture[5:12, 5:20] = (200, 30, 30)
    for index in range(2):
        Image.fromarray(picture).save(source / f"{index:05d}.png")
    results = {}
    for keep in (False, True):
        out = tmp_path / f"out{keep}"
        options = ColorizeOptions(still, str(weights), (48, 80), "cpu", cuts=(), keep_colors=keep)
        (note,) = [one for one in colorize(source, out, options).notes if "colours of its own" in one]
        assert note.endswith("they are kept" if keep else "they are replaced; `keep_colors=True` keeps them")
        results[keep] = np.asarray(Image.open(out / "00001.png")).astype(int)
    logo = np.s_[5:12, 5:20]
    assert np.abs(results[True][logo] - picture[logo]).max() <= 2
    assert np.abs(results[False][logo] - picture[logo]).max() > 30
    assert np.array_equal(results[True][30:], results[False][30:])


def test_a_logo(weights: Path, repository: Path, tmp_path: Path) -> None:
    folder = repository.parent / "shared" / "cases" / "16_logo"
    if not folder.is_dir():
        pytest.skip("shared/cases is not beside the checkout: no inputs that failed")
    options = ColorizeOptions(
        folder / "still_000000.png", str(weights), (48, 80), "cpu", cuts=(), keep_colors=True, codec="ffv1"
    )
    result = colorize(folder / "logo.mp4", tmp_path / "out.mkv", options)
    assert any("colours of its own" in note for note in result.notes)
    films = [next(av.open(str(path)).decode(video=0)) for path in (folder / "logo.mp4", tmp_path / "out.mkv")]
    source, made = (frame.to_ndarray(format="yuv444p").astype(int) for frame in films)
    logo = np.abs(source[1:] - 128).max(axis=0) > 40
    assert logo.any()
    assert np.abs(made[1:] - source[1:])[:, logo].max() <= 2
