"""Image files of any kind read as 8-bit sRGB, or one clear error."""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

__all__ = ["IMAGE_SUFFIXES", "natural_order", "read_image"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")


def read_image(path: str | Path) -> UInt8[Tensor, "3 h w"]:
    """Read one image file as 8-bit sRGB.

    EXIF rotation is applied, embedded colour profiles are converted to sRGB, palettes, grey, CMYK and 16-bit
    grey are expanded (16-bit values divided by 257). Of a file with several images the first is taken. An
    alpha channel is dropped where it is opaque; real transparency is refused, since what lies under it has no
    agreed colour.

    Args:
        path: the file.

    Returns:
        `3 h w` uint8.

    Raises:
        ValueError: if the file is missing, is no image, is broken, is transparent, or holds floating-point
            values.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "red.png"
        >>> Image.new("RGB", (5, 3), (255, 0, 0)).save(path)
        >>> read_image(path).shape, read_image(path)[:, 0, 0].tolist()
        (torch.Size([3, 3, 5]), [255, 0, 0])
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"image {path} does not exist (or is no file); check the path")
    try:
        with Image.open(path) as image:
            rgb = _to_rgb(ImageOps.exif_transpose(image), path)
            pixels = np.array(rgb)
    except UnidentifiedImageError as error:
        raise ValueError(f"image {path} is not an image in a known format; convert it to PNG") from error
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"image {path} cannot be read ({_one_line(error)}); it may be damaged") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def natural_order(path: Path) -> tuple[list[tuple[int, int | str]], str]:
    """Sort key that orders numbers within names by value: frame2 before frame10.

    Args:
        path: a file; only its name counts.

    Returns:
        A key for `sorted`.

    Example:
        >>> [p.name for p in sorted(map(Path, ["f10.png", "f2.png"]), key=natural_order)]
        ['f2.png', 'f10.png']
    """
    parts = re.split(r"(\d+)", path.name.lower())
    key: list[tuple[int, int | str]] = [(0, int(part)) if part.isdecimal() else (1, part) for part in parts]
    return key, path.name


def _to_rgb(image: Image.Image, path: Path) -> Image.Image:
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        wide = np.asarray(image).astype(np.int64)
        # Pillow gives 16-bit grey as signed 32-bit in some formats; both mean 0..65535.
        return Image.fromarray(((wide.clip(0, 65535) + 128) // 257).astype(np.uint8)).convert("RGB")
    if image.mode == "F":
        raise ValueError(
            f"image {path} holds floating-point values, whose range is not known; save it as PNG"
        )
    if image.has_transparency_data:
        image = image.convert("RGBA") if image.mode in ("P", "PA", "La", "LA", "RGBa") else image
        image = _without_opaque_alpha(image, path)
    return _through_profile(image)


def _without_opaque_alpha(image: Image.Image, path: Path) -> Image.Image:
    profile = image.info.get("icc_profile")
    alpha = image.convert("RGBA").getchannel("A")
    if alpha.getextrema() != (255, 255):
        raise ValueError(f"image {path} has transparent parts; flatten it and save it again")
    opaque = image.convert("RGB")
    if profile:
        opaque.info["icc_profile"] = profile
    return opaque


def _through_profile(image: Image.Image) -> Image.Image:
    """Follow an embedded colour profile to sRGB; a broken one is ignored, as every viewer does."""
    profile = image.info.get("icc_profile")
    if not profile:
        return image.convert("RGB")
    if image.mode not in ("RGB", "CMYK", "L", "LAB"):
        image = image.convert("RGB")
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "srgb" in ImageCms.getProfileDescription(source).lower():
            return image.convert("RGB")
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):
        return image.convert("RGB")
    return converted if converted is not None else image.convert("RGB")


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
