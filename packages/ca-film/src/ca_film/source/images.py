"""Frames as upright images for people, and PNG files."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path

import av
import numpy as np
from ca_data import FrameFolder, write_atomically
from jaxtyping import UInt, UInt8
from PIL import Image

from ca_film.source.film import Film, grey_image
from ca_film.source.video import VideoFilm

__all__ = ["color_images", "grey_images", "png_bytes", "write_png"]


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


def color_images(path: Path, indices: Iterable[int]) -> dict[int, UInt8[np.ndarray, "3 h w"]]:
    """Frames of a finished film or folder in colour, upright.

    Args:
        path: a video file or a folder of frames.
        indices: numbers of the frames.

    Returns:
        The frames by number.
    """
    wanted = set(indices)
    if path.is_dir():
        folder = FrameFolder(path)
        return {index: folder.read([index])[0].numpy() for index in wanted if index < len(folder)}
    film = VideoFilm(path)
    found: dict[int, UInt8[np.ndarray, "3 h w"]] = {}
    for frame in film.frames() if wanted else ():
        if frame.index in wanted and frame.decoded is not None:
            rgb = frame.decoded.to_ndarray(format="rgb24")
            found[frame.index] = np.rot90(rgb, film.format.turns).transpose(2, 0, 1)
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


def _png16(pixels: np.ndarray) -> bytes:
    """Pillow writes no 16-bit RGB, libavcodec does."""
    encoder = av.CodecContext.create("png", "w")
    encoder.width, encoder.height, encoder.pix_fmt = pixels.shape[1], pixels.shape[0], "rgb48be"
    encoder.time_base = 1  # type: ignore[assignment]
    frame = av.VideoFrame.from_ndarray(pixels, format="rgb48le").reformat(format="rgb48be")
    buffer = io.BytesIO()
    for packet in [*encoder.encode(frame), *encoder.encode(None)]:
        buffer.write(bytes(packet))
    return buffer.getvalue()
