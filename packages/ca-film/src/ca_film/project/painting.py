"""Painting a still: strokes on a frame, the network's proposal below them, the colours that spread from both."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch
from ca_data import (
    denormalize_lab,
    lab_to_rgb,
    normalize_lab,
    resize,
    rgb_to_lab,
    spread_color,
    to_uint8,
    upsample_chroma,
    write_atomically,
)
from jaxtyping import Bool, Float
from PIL import Image, ImageDraw
from torch import Tensor

from ca_film.errors import FilmError

__all__ = [
    "REACH",
    "Stroke",
    "load_strokes",
    "paint",
    "rasterize",
    "save_strokes",
    "stroke_from",
    "write_still",
]

_KINDS = ("brush", "keep", "erase")
REACH = 0.15


@dataclass(frozen=True)
class Stroke:
    """One movement of the brush.

    Args:
        kind: `brush` colours, `keep` holds the proposal where it is right, `erase` takes strokes away.
        points: x and y along it, in shares of the frame's width and height.
        size: its width as a share of the frame's width, in (0, 1].
        color: 8-bit sRGB, of which hue and chroma count; the frame keeps its lightness.

    Raises:
        FilmError: if a value is out of range.
    """

    kind: str
    points: tuple[tuple[float, float], ...]
    size: float = 0.01
    color: tuple[int, int, int] = (128, 128, 128)

    def __post_init__(self) -> None:
        if self.kind not in _KINDS or not self.points or not 0.0 < self.size <= 1.0:
            raise FilmError(
                f"a stroke needs a kind of {', '.join(_KINDS)}, points and a size in 0..1, got {self}"
            )
        if len(self.color) != 3 or not all(0 <= value <= 255 for value in self.color):
            raise FilmError(f"a stroke's colour must be three values of 0..255, got {self.color}")


def rasterize(
    strokes: Sequence[Stroke], size: tuple[int, int], proposal: Float[Tensor, "2 h w"]
) -> tuple[Float[Tensor, "2 h w"], Bool[Tensor, "h w"]]:
    """Strokes as pixels, later ones over earlier ones.

    Args:
        strokes: in the order in which they were made.
        size: height and width of the frame.
        proposal: `2 h w`, ab/110, which `keep` holds.

    Returns:
        ab/110 where painted, and where that is.

    Example:
        >>> dot = Stroke("brush", ((0.5, 0.5),), 0.2, (255, 0, 0))
        >>> rasterize([dot], (5, 5), torch.zeros(2, 5, 5))[1].int().tolist()[2]
        [0, 0, 1, 0, 0]
    """
    height, width = size
    labels = Image.new("I", (width, height), 0)
    draw = ImageDraw.Draw(labels)
    for number, stroke in enumerate(strokes, start=1):
        places = [(x * width - 0.5, y * height - 0.5) for x, y in stroke.points]
        label = 0 if stroke.kind == "erase" else number
        broad = max(1, round(stroke.size * width))
        if len(places) > 1:
            draw.line(places, label, broad, joint="curve")
        for x, y in (places[0], places[-1]):
            radius = (broad - 1) / 2
            if radius:
                draw.ellipse((x - radius, y - radius, x + radius, y + radius), label)
            else:  # an ellipse without extent draws nothing
                draw.point((round(x), round(y)), label)
    where = torch.from_numpy(np.array(labels, np.int64))
    colors = torch.zeros(len(strokes) + 1, 2)
    for number, stroke in enumerate(strokes, start=1):
        pixel = torch.tensor(stroke.color, dtype=torch.uint8).reshape(3, 1, 1)
        colors[number] = normalize_lab(rgb_to_lab(pixel))[1:, 0, 0]
    ab = colors[where].movedim(-1, 0).clone()
    kept = torch.tensor([False, *(stroke.kind == "keep" for stroke in strokes)])[where]
    ab[:, kept] = proposal[:, kept]
    return ab, where > 0


def paint(
    lightness: Float[Tensor, "1 h w"],
    strokes: Sequence[Stroke],
    proposal: Float[Tensor, "2 ph pw"] | None,
    low: Float[Tensor, "1 ph pw"] | None,
) -> Float[Tensor, "2 h w"]:
    """Colours of a frame from strokes on top of a proposal.

    Args:
        lightness: `1 h w` of the frame, L/50 - 1.
        strokes: in the order in which they were made.
        proposal: ab/110 of the network, at its size; grey when None.
        low: what the network saw, of the size of `proposal`.

    Returns:
        `2 h w`, ab/110.
    """
    size = (lightness.shape[-2], lightness.shape[-1])
    base = torch.zeros(2, *size) if proposal is None else _enlarged(proposal, low, lightness)
    ab, painted = rasterize(strokes, size, base)
    return spread_color(lightness, ab, painted, base, reach=None if proposal is None else REACH)


def write_still(path: Path, lightness: Float[Tensor, "1 h w"], ab: Float[Tensor, "2 h w"]) -> None:
    """Write a still as PNG; it is there whole or as it was.

    Args:
        path: the file.
        lightness: `1 h w`, L/50 - 1.
        ab: `2 h w`, ab/110.
    """
    rgb = to_uint8(lab_to_rgb(denormalize_lab(torch.cat((lightness, ab)))))
    buffer = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb.numpy().transpose(1, 2, 0))).save(
        buffer, "PNG", compress_level=3
    )
    write_atomically(path, buffer.getvalue())


def save_strokes(path: Path, strokes: Sequence[Stroke]) -> None:
    """Write strokes as JSON, so that painting goes on another day.

    Args:
        path: the file; replaced whole or not at all.
        strokes: in the order in which they were drawn.
    """
    write_atomically(path, json.dumps([asdict(stroke) for stroke in strokes], indent=0))


def load_strokes(path: Path) -> list[Stroke]:
    """Read strokes; none where there is no file.

    Args:
        path: the JSON file.

    Raises:
        FilmError: if the file is not understood.
    """
    if not path.is_file():
        return []
    try:
        return [stroke_from(entry) for entry in json.loads(path.read_text(encoding="utf-8"))]
    except (ValueError, KeyError, TypeError) as error:
        raise FilmError(
            f"strokes {path} are not understood ({error}); remove the file to paint anew"
        ) from error


def stroke_from(entry: dict) -> Stroke:
    """A stroke from plain values, such as JSON gives.

    Args:
        entry: the fields of `Stroke` by name.

    Raises:
        KeyError: if one is missing.
        ValueError, TypeError: if one is not of its kind.
    """
    points = tuple((float(x), float(y)) for x, y in entry["points"])
    red, green, blue = (int(value) for value in entry["color"])
    return Stroke(str(entry["kind"]), points, float(entry["size"]), (red, green, blue))


def _enlarged(ab: Tensor, low: Tensor | None, lightness: Tensor) -> Tensor:
    size = (lightness.shape[-2], lightness.shape[-1])
    if low is None or (size[0] <= ab.shape[-2] and size[1] <= ab.shape[-1]):
        return resize(ab, size)
    return upsample_chroma(ab[None], low[None], lightness[None])[0]
