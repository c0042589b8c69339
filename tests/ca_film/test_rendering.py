"""From the network's ab to the chroma of a film."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from ca_data import YuvCoding, normalize_lab, rgb_to_lab
from ca_film.options import Look
from ca_film.output.encoding import choose_encoding
from ca_film.output.rendering import Renderer, _to_chroma_grid
from ca_film.source.film import ColoredFrame, FilmFormat, Frame


class OneFormat:
    """A film of which only the format matters."""

    path = Path("film.mkv")

    def __init__(self, form: FilmFormat) -> None:
        self.format = form


def truth(name: str, matrix: str) -> tuple[torch.Tensor, np.ndarray]:
    """A smooth colour image, and its planes as libswscale makes them."""
    rows, columns = torch.meshgrid(torch.linspace(0, 1, 46), torch.linspace(0, 1, 74), indexing="ij")
    rgb = torch.stack((0.3 + 0.4 * rows, 0.6 - 0.2 * columns, 0.3 + 0.3 * rows * columns))
    rgb8 = (rgb * 255).round().to(torch.uint8)
    frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb8.permute(1, 2, 0).numpy()), format="rgb24")
    yuv = frame.reformat(format=name, dst_colorspace=matrix, dst_color_range="MPEG")
    return normalize_lab(rgb_to_lab(rgb8)), [
        np.frombuffer(p, np.uint8).reshape(p.height, -1)[:, : p.width].copy() for p in yuv.planes
    ]


@pytest.mark.parametrize(("matrix", "swscale"), [("bt709", "ITU709"), ("bt601", "ITU601")])
@pytest.mark.parametrize("storage", ["yuv444p", "yuv420p"])
def test_true_colors_give_true_chroma(matrix: str, swscale: str, storage: str) -> None:
    lab, planes = truth(storage, swscale)
    form = FilmFormat((46, 74), YuvCoding(matrix=matrix), pixel_format=storage)
    encoding = choose_encoding(form, Path("out.mkv"), codec="ffv1")
    colored = ColoredFrame(Frame(0, planes[0]), lab[:1], lab[1:], torch.ones(1, 46, 74))
    chroma = Renderer(OneFormat(form), [], Look()).chroma(colored, encoding)  # type: ignore[arg-type]
    for made, true in zip(chroma, planes[1:], strict=True):
        assert made.shape == true.shape
        assert np.abs(made - true.astype(int)).max() <= 2


def test_fields_are_colored_apart() -> None:
    """Two fields of different brightness: each chroma row belongs to one field, and follows its luma."""
    form = FilmFormat((32, 48), YuvCoding(), interlaced=True, pixel_format="yuv420p")
    encoding = choose_encoding(form, Path("out.mkv"), codec="ffv1")
    luma = np.full((32, 48), 40, np.uint8)
    luma[1::2] = 180
    ab, ones = torch.full((2, 32, 48), 0.3), torch.ones(1, 32, 48)
    colored = ColoredFrame(Frame(0, luma), torch.zeros(1, 32, 48), ab, ones)
    interlaced = Renderer(OneFormat(form), [], Look()).chroma(colored, encoding)  # type: ignore[arg-type]
    whole = replace(form, interlaced=False)
    mixed = Renderer(OneFormat(whole), [], Look()).chroma(colored, encoding)  # type: ignore[arg-type]
    rows = interlaced[1].astype(int)
    assert np.ptp(rows[0::2]) == np.ptp(rows[1::2]) == 0
    assert rows[0, 0] != rows[1, 0]
    assert np.ptp(mixed[1]) == 0


def test_no_strength_is_grey_and_more_saturation_is_more() -> None:
    lab, planes = truth("yuv444p", "ITU709")
    form = FilmFormat((46, 74), YuvCoding(), pixel_format="yuv444p")
    encoding = choose_encoding(form, Path("out.mkv"), codec="ffv1")

    def spread(look: Look) -> float:
        renderer = Renderer(OneFormat(form), [], look)  # type: ignore[arg-type]
        colored = ColoredFrame(Frame(0, planes[0]), lab[:1], lab[1:], torch.ones(1, 46, 74))
        chroma = renderer.chroma(colored, encoding)
        return float(np.abs(np.stack(chroma) - 128).mean())

    assert spread(Look(strength=0.0)) == 0
    assert 0 < spread(Look(strength=0.5)) < spread(Look()) < spread(Look(saturation=1.5))


def test_chroma_lies_on_every_second_column() -> None:
    luma = torch.arange(6.0).expand(4, 6)
    assert _to_chroma_grid(luma, (2, 2))[0].tolist() == [0.25, 2.0, 4.0]
    assert _to_chroma_grid(luma, (1, 1)) is luma
    assert _to_chroma_grid(torch.ones(5, 7), (2, 2)).shape == (3, 4)
