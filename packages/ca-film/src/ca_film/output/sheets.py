"""Sheets: thumbnails, contact sheets, and coverage painted over an image."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ca_data import write_atomically
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

__all__ = [
    "COVERED",
    "GUESSED",
    "as_data_url",
    "contact_sheet",
    "jpeg_bytes",
    "lacking",
    "paint_coverage",
    "thumbnail",
]

_LABEL_ROWS = 18
_GAP = 4
_WARNING = (255, 48, 16)
_TINT = 0.75

COVERED, GUESSED = 0.75, 0.65
"""Confidence from which colours are right as a rule, and below which they are guessed (docs/films.md has figures)."""


def thumbnail(rgb: UInt8[np.ndarray, "3 h w"], width: int) -> Image.Image:
    """Shrink an image to a width, or leave it if it is smaller."""
    image = Image.fromarray(np.ascontiguousarray(rgb.transpose(1, 2, 0)))
    if image.width <= width:
        return image
    return image.resize((width, max(1, round(image.height * width / image.width))), Image.Resampling.BOX)


def contact_sheet(rows: Sequence[Sequence[tuple[str, Image.Image]]]) -> Image.Image:
    """Lay labelled images out in rows.

    Args:
        rows: of label and image.

    Returns:
        One image.

    Example:
        >>> tile = Image.new("RGB", (30, 20))
        >>> contact_sheet([[("a", tile), ("b", tile)], [("c", tile)]]).size
        (68, 84)
    """
    widths = [sum(image.width for _, image in row) + _GAP * len(row) for row in rows]
    heights = [max(image.height for _, image in row) + _LABEL_ROWS + _GAP for row in rows]
    sheet = Image.new("RGB", (max(widths), sum(heights)), (24, 24, 24))
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default()
    top = 0
    for row, height in zip(rows, heights, strict=True):
        left = 0
        for label, image in row:
            draw.text((left + 2, top + 3), label, fill=(235, 235, 235), font=font)
            sheet.paste(image, (left, top + _LABEL_ROWS))
            left += image.width + _GAP
        top += height
    return sheet


def save_sheet(sheet: Image.Image, path: Path) -> None:
    """Write a contact sheet as PNG, whole or not at all.

    Raises:
        OSError: if it cannot be written.
    """
    buffer = io.BytesIO()
    sheet.save(buffer, "PNG")
    write_atomically(path, buffer.getvalue())


def lacking(confidence: Float[np.ndarray, ...]) -> Float[np.ndarray, ...]:
    """How much of a still places lack: 0 where their colours are right as a rule, 1 where they are guessed.

    Args:
        confidence: of the network, in [0, 1]; any shape.

    Returns:
        In [0, 1]; of the same shape.

    Example:
        >>> lacking(np.array([0.0, 0.65, 0.7, 0.75, 1.0])).round(3).tolist()
        [1.0, 1.0, 0.5, 0.0, 0.0]
    """
    return ((COVERED - confidence) / (COVERED - GUESSED)).clip(0.0, 1.0)


def paint_coverage(image: Image.Image, grid: UInt8[np.ndarray, "h w"]) -> Image.Image:
    """The image in grey, red in places that the references do not cover.

    Args:
        image: upright.
        grid: confidence, 255 is full.

    Returns:
        The tinted image.
    """
    smooth = Image.fromarray(grid).resize(image.size, Image.Resampling.BILINEAR)
    share = _TINT * lacking(np.asarray(smooth, np.float32) / 255.0)
    mask = Image.fromarray(np.rint(share * 255.0).astype(np.uint8))
    grey = image.convert("L").convert("RGB")
    return Image.composite(Image.new("RGB", image.size, _WARNING), grey, mask)


def jpeg_bytes(image: Image.Image) -> bytes:
    """An image as the bytes of a JPEG file."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def as_data_url(image: Image.Image) -> str:
    """An image as text that stands inside HTML."""
    return "data:image/jpeg;base64," + base64.b64encode(jpeg_bytes(image)).decode()
