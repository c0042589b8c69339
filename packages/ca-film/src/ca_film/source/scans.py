"""Frames of a folder in the depth they are stored in: JPEG, PNG, TIFF, DPX and EXR files."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ca_data import natural_order, read_image
from jaxtyping import UInt
from PIL import Image
from torch import Tensor

__all__ = ["FRAME_SUFFIXES", "FrameHeader", "list_frames", "numbering_gaps", "read_frame", "read_header"]

FRAME_SUFFIXES = (".jpg", ".jpeg", ".png", ".tif", ".tiff", ".dpx", ".exr")
_SCAN_SUFFIXES = (".tif", ".tiff", ".dpx", ".exr")
# Transfer characteristics of DPX whose codes a viewer would not show as they are.
_DPX_FILM_TRANSFERS = {"linear", "printing density", "printingdensity", "logarithmic", "kodaklog"}
_MOST_NAMED = 5


@dataclass(frozen=True)
class FrameHeader:
    """What a frame's header says.

    Args:
        size: height and width in pixels, upright.
        bits: of a sample, 8, 10, 12 or 16; of floating point 16, in which it is read.
        notes: how values are taken that have no agreed meaning.
    """

    size: tuple[int, int]
    bits: int
    notes: tuple[str, ...] = ()


def list_frames(folder: Path) -> tuple[list[Path], list[str]]:
    """The frames of a folder in the natural order of their names, and a note of what is passed over.

    Args:
        folder: the folder.

    Returns:
        Its frames, and notes that name other files by their endings. Names that begin with a dot are not the user's.

    Raises:
        ValueError: if it holds no frames.
    """
    files = [file for file in folder.iterdir() if file.is_file() and not file.name.startswith(".")]
    frames = [file for file in files if file.suffix.lower() in FRAME_SUFFIXES]
    if not frames:
        raise ValueError(
            f"frame folder {folder} holds no frames, expected files ending in {', '.join(FRAME_SUFFIXES)}; "
            "check the path"
        )
    others = Counter(file.suffix.lower() or "no ending" for file in files if file not in set(frames))
    if not others:
        return sorted(frames, key=natural_order), []
    named = ", ".join(f"{count} of {ending}" for ending, count in sorted(others.items()))
    note = f"files in {folder} that are no frames are passed over: {named}; frames end in {', '.join(FRAME_SUFFIXES)}"
    return sorted(frames, key=natural_order), [note]


def numbering_gaps(files: Sequence[Path]) -> list[str]:
    """A note of the numbers that are missing among the names of frames, such as f_0003 between f_0002 and f_0004.

    Example:
        >>> numbering_gaps([Path("f_0002.png"), Path("f_0004.png"), Path("f_0005.png")])
        ['frame numbers have gaps, 1 missing: f_0002 to f_0004; the frames are taken as consecutive']
    """
    gaps, missing = [], 0
    for before, after in pairwise(files):
        one, other = (re.fullmatch(r"(.*?)(\d+)(\D*)", file.stem) for file in (before, after))
        if one is None or other is None or one[1] != other[1] or one[3] != other[3]:
            continue
        step = int(other[2]) - int(one[2])
        if step > 1:
            gaps.append(f"{before.stem} to {after.stem}")
            missing += step - 1
    if not gaps:
        return []
    named = ", ".join(gaps[:_MOST_NAMED]) + (
        f" and {len(gaps) - _MOST_NAMED} more" if len(gaps) > _MOST_NAMED else ""
    )
    return [f"frame numbers have gaps, {missing} missing: {named}; the frames are taken as consecutive"]


def read_header(file: Path) -> FrameHeader:
    """Read a frame's size and depth, no pixels.

    Args:
        file: an image that ends in one of `FRAME_SUFFIXES`.

    Returns:
        The header.

    Raises:
        ValueError: if it is no image.
    """
    if file.suffix.lower() not in _SCAN_SUFFIXES:
        return _picture_header(file)
    import OpenImageIO as oiio

    source = oiio.ImageInput.open(str(file))
    if source is None:
        raise ValueError(
            f"frame {file} is not an image in a known format ({_last_error()}); convert it to PNG"
        )
    spec = source.spec()
    source.close()
    floating = str(spec.format) in ("half", "float", "double")
    bits = 16 if floating else spec.get_int_attribute("oiio:BitsPerSample", 8 * spec.format.size())
    turned = spec.get_int_attribute("Orientation", 1) in (5, 6, 7, 8)
    size = (spec.width, spec.height) if turned else (spec.height, spec.width)
    return FrameHeader(size, _even_depth(bits), _meaning(spec, floating))


def read_frame(file: Path, bits: int) -> UInt[Tensor, "3 h w"]:
    """Read a frame as sRGB.

    Files of 8 bits are read as `ca_data.read_image` does. Deeper ones keep their code values, spread over 0..65535;
    floating point is linear light, clipped to [0, 1] and encoded as sRGB.

    Args:
        file: an image that ends in one of `FRAME_SUFFIXES`.
        bits: of the film: 8, or more, to which files of 8 bits are brought.

    Returns:
        `3 h w`, uint8 of a film of 8 bits, else uint16.

    Raises:
        ValueError: if it cannot be read, or is transparent.
    """
    plain = file.suffix.lower() not in (".dpx", ".exr")
    if bits == 8 and plain:
        return read_image(file)
    if plain and read_header(file).bits == 8:
        return (read_image(file).to(torch.int32) * 257).to(torch.uint16)
    pixels = _scan_pixels(file, "uint8" if bits == 8 else "uint16")
    return torch.from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def _picture_header(file: Path) -> FrameHeader:
    """By Pillow, which reads no PNG of 16 bits and three colours in its depth, but knows the size."""
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
            is_png = image.format == "PNG"
        # The depth stands in the first chunk.
        with file.open("rb") as opened:
            start = opened.read(25)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"frame {file} is not an image in a known format; convert it to PNG") from error
    return FrameHeader(
        (width, height) if turned else (height, width), 16 if is_png and start[24] == 16 else 8
    )


def _scan_pixels(file: Path, kind: str) -> UInt[np.ndarray, "h w 3"]:
    import OpenImageIO as oiio

    source = oiio.ImageInput.open(str(file))
    if source is None:
        raise ValueError(f"frame {file} cannot be read ({_last_error()}); it may be damaged")
    spec = source.spec()
    floating = str(spec.format) in ("half", "float", "double")
    values = source.read_image("float" if floating else kind)
    why = " ".join(str(source.geterror()).split())
    source.close()
    if values is None or why:
        raise ValueError(
            f"frame {file} cannot be read ({why or 'its pixels are missing'}); it may be damaged"
        )
    values = np.asarray(values).reshape(spec.height, spec.width, spec.nchannels)
    values = _upright(values, spec.get_int_attribute("Orientation", 1))
    if spec.alpha_channel >= 0:
        full = 1 if floating else np.iinfo(values.dtype).max
        if (values[..., spec.alpha_channel] < full).any():
            raise ValueError(f"image {file} has transparent parts; flatten it and save it again")
    colors = _color_channels(list(spec.channelnames), spec.alpha_channel)
    values = values[..., colors]
    return _display(values) if floating else values


def _color_channels(names: list[str], alpha: int) -> list[int]:
    """Numbers of red, green and blue; three times the same of a grey image."""
    if {"R", "G", "B"} <= set(names):
        return [names.index(name) for name in "RGB"]
    rest = [number for number in range(len(names)) if number != alpha]
    return rest[:3] if len(rest) >= 3 else [rest[0]] * 3


def _display(linear: np.ndarray) -> UInt[np.ndarray, "h w 3"]:
    """Linear light as sRGB of 16 bits (IEC 61966-2-1)."""
    light = np.clip(np.nan_to_num(linear.astype(np.float64), nan=0.0), 0.0, 1.0)
    encoded = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
    return np.rint(encoded * 65535.0).astype(np.uint16)


def _upright(values: np.ndarray, orientation: int) -> np.ndarray:
    """Undo the orientation of TIFF and EXIF: rows and columns swapped from 5 on, then mirrored."""
    if orientation in (5, 6, 7, 8):
        values = values.swapaxes(0, 1)
    if orientation in (2, 3, 6, 7):
        values = values[:, ::-1]
    if orientation in (3, 4, 7, 8):
        values = values[::-1]
    return values


def _meaning(spec: Any, floating: bool) -> tuple[str, ...]:
    notes = []
    if floating:
        notes.append(
            "floating-point frames are taken for linear light and stored as sRGB in 16 bits; above 1 is clipped"
        )
    transfer = str(spec.get_string_attribute("dpx:Transfer", ""))
    if transfer.lower() in _DPX_FILM_TRANSFERS:
        notes.append(f"DPX says '{transfer}': its codes are taken as they are shown, no curve is applied")
    if spec.getattribute("ICCProfile") is not None and spec.format.size() > 1:
        notes.append("the colour profile of frames deeper than 8 bits is not applied")
    return tuple(notes)


def _even_depth(bits: int) -> int:
    return next((depth for depth in (8, 10, 12) if bits <= depth), 16)


def _last_error() -> str:
    import OpenImageIO as oiio

    return " ".join(str(oiio.geterror()).split()) or "unknown"
