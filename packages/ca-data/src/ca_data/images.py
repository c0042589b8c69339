"""Image files of any kind read as 8-bit sRGB, or one clear error."""

from __future__ import annotations

import io
import re
import warnings
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, UInt8
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError
from torch import Tensor

__all__ = ["IMAGE_SUFFIXES", "natural_order", "read_image", "read_partial_image"]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp")
# Alpha, of 255, from which on a pixel counts: softer edges of a brush are left out.
_OPAQUE = 128


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
    rgb, opaque = read_partial_image(path)
    if opaque is not None:
        raise ValueError(f"image {path} has transparent parts; flatten it and save it again")
    return rgb


def read_partial_image(
    path: str | Path, most_pixels: int | None = None
) -> tuple[UInt8[Tensor, "3 h w"], Bool[Tensor, "1 h w"] | None]:
    """Read one image file as 8-bit sRGB of which only a part may count.

    As `read_image`, but transparency is taken for a mask: pixels whose alpha is at least half of full count.

    Args:
        path: the file.
        most_pixels: width times height above which the image is refused by its header, undecoded; None: what Pillow
            takes, about 179 million.

    Returns:
        `3 h w` uint8, and where it is opaque, `1 h w`; None where alpha is full everywhere or there is none. What lies
        under transparent pixels means nothing.

    Raises:
        ValueError: as `read_image`, if no pixel is opaque, and if there are more than `most_pixels`.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "part.png"
        >>> image = Image.new("RGBA", (5, 3), (255, 0, 0, 0))
        >>> image.paste((0, 255, 0, 255), (0, 0, 2, 3))
        >>> image.save(path)
        >>> read_partial_image(path)[1][0, 0].tolist()
        [True, True, False, False, False]
    """
    path = Path(path)
    if not path.is_file():
        raise ValueError(f"image {path} does not exist (or is no file); check the path")
    try:
        with _opened(path) as image:
            _check_pixels(image, path, most_pixels)
            rgb, alpha = _to_rgb(ImageOps.exif_transpose(image), path)
            pixels = np.array(rgb)
            opaque = None if alpha is None else torch.from_numpy(np.array(alpha))[None] >= _OPAQUE
    except UnidentifiedImageError as error:
        raise ValueError(f"image {path} is not an image in a known format; convert it to PNG") from error
    except (OSError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(f"image {path} cannot be read ({_one_line(error)}); it may be damaged") from error
    if opaque is not None and not opaque.any():
        raise ValueError(f"image {path} is transparent everywhere; leave opaque what is to count")
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous(), opaque


def _opened(path: Path) -> Image.Image:
    """The image, its header read. Pillow's warning of many pixels is left out: where there is a limit it is ours."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        return Image.open(path)


def _check_pixels(image: Image.Image, path: Path, most: int | None) -> None:
    if most is not None and image.width * image.height > most:
        raise ValueError(
            f"image {path} has {image.width} x {image.height} pixels, expected {most:,} in all at most; "
            "make it smaller, or raise the limit, `most_pixels`"
        )


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


def _to_rgb(image: Image.Image, path: Path) -> tuple[Image.Image, Image.Image | None]:
    """The image in sRGB, and its alpha where it has any that is not full."""
    if image.mode in ("I", "I;16", "I;16L", "I;16B", "I;16N"):
        wide = np.asarray(image).astype(np.int64)
        # Pillow gives 16-bit grey as signed 32-bit in some formats; both mean 0..65535.
        return Image.fromarray(((wide.clip(0, 65535) + 128) // 257).astype(np.uint8)).convert("RGB"), None
    if image.mode == "F":
        raise ValueError(
            f"image {path} holds floating-point values, whose range is not known; save it as PNG"
        )
    if not image.has_transparency_data:
        return _through_profile(image), None
    profile = image.info.get("icc_profile")
    image = image.convert("RGBA") if image.mode in ("P", "PA", "La", "LA", "RGBa") else image
    alpha = image.convert("RGBA").getchannel("A")
    opaque = image.convert("RGB")
    if profile:
        opaque.info["icc_profile"] = profile
    return _through_profile(opaque), None if alpha.getextrema() == (255, 255) else alpha


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
