"""Sheets: thumbnails, contact sheets, and coverage painted over an image."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from ca_data import write_atomically
from jaxtyping import UInt8
from PIL import Image, ImageDraw, ImageFont

__all__ = ["as_data_url", "contact_sheet", "paint_coverage", "thumbnail"]

_LABEL_ROWS = 18
_GAP = 4
_WARNING = (255, 64, 32)


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


def paint_coverage(image: Image.Image, grid: UInt8[np.ndarray, "h w"]) -> Image.Image:
    """Tint the places that the references do not cover.

    Args:
        image: upright.
        grid: confidence, 255 is full.

    Returns:
        The tinted image.
    """
    mask = Image.fromarray(((255 - grid.astype(np.int32)) * 0.7).astype(np.uint8))
    smooth = mask.resize(image.size, Image.Resampling.BILINEAR)
    return Image.composite(Image.new("RGB", image.size, _WARNING), image, smooth)


def as_data_url(image: Image.Image) -> str:
    """An image as text that stands inside HTML."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=85)
    return "data:image/jpeg;base64," + base64.b64encode(buffer.getvalue()).decode()
