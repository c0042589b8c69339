"""Frames as upright images for people, and PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import cast

import av
import numpy as np
from ca_data import write_atomically
from jaxtyping import UInt, UInt8
from PIL import Image

from ca_film.source.film import Film, grey_image

__all__ = ["grey_images", "png_bytes", "tiff_bytes", "write_png"]


def grey_images(film: Film, indices: Iterable[int]) -> dict[int, UInt8[np.ndarray, "3 h w"]]:
    """Frames of a film in grey, upright, in stored pixels.

    Args:
        film: the film.
        indices: numbers of the frames.

    Returns:
        The frames that the film has, by number.
    """
    wanted = set(indices)
    found: dict[int, UInt8[np.ndarray, "3 h w"]] = {}
    for frame in film.frames() if wanted else ():
        if frame.index in wanted:
            upright = np.rot90(grey_image(frame.luma, film.format.coding), film.format.turns)
            found[frame.index] = np.repeat(upright[None], 3, axis=0)
            if len(found) == len(wanted):
                break
    return found


def png_bytes(rgb: UInt[np.ndarray, "3 h w"]) -> bytes:
    """An image as the bytes of a PNG file, 8 or 16 bits as its type says.

    Args:
        rgb: `3 h w`, uint8 or uint16.
    """
    pixels = np.ascontiguousarray(rgb.transpose(1, 2, 0))
    if pixels.dtype != np.uint8:
        return _png16(pixels)
    buffer = io.BytesIO()
    # Compression beyond this costs more time than the network and saves little.
    Image.fromarray(pixels).save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def write_png(rgb: UInt[np.ndarray, "3 h w"], path: Path) -> None:
    """Write an image as PNG, whole or not at all.

    Args:
        rgb: `3 h w`, uint8 or uint16.
        path: the file.

    Raises:
        OSError: if it cannot be written.
    """
    write_atomically(path, png_bytes(rgb))


def tiff_bytes(rgb: UInt[np.ndarray, "3 h w"]) -> bytes:
    """An image as the bytes of a TIFF file, 8 or 16 bits as its type says, compressed without loss.

    Args:
        rgb: `3 h w`, uint8 or uint16.
    """
    pixels = np.ascontiguousarray(rgb.transpose(1, 2, 0))
    stored = "rgb24" if pixels.dtype == np.uint8 else "rgb48le"
    return _encoded(
        av.VideoFrame.from_ndarray(pixels, format=stored), "tiff", {"compression_algo": "deflate"}
    )


def _png16(pixels: np.ndarray) -> bytes:
    """Pillow writes no 16-bit RGB, libavcodec does."""
    return _encoded(
        av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(format="rgb48be"), "png", {}
    )


def _encoded(frame: av.VideoFrame, codec: str, options: dict[str, str]) -> bytes:
    encoder = cast("av.VideoCodecContext", av.CodecContext.create(codec, "w"))
    encoder.width, encoder.height, encoder.pix_fmt = frame.width, frame.height, frame.format.name
    encoder.time_base = 1  # type: ignore[assignment]
    encoder.options = options
    buffer = io.BytesIO()
    for packet in [*encoder.encode(frame), *encoder.encode(None)]:
        buffer.write(bytes(packet))
    return buffer.getvalue()
