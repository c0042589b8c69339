"""Frames as the page shows them: JPEG, upright, no larger than a screen needs."""

from __future__ import annotations

import io

import numpy as np
import torch
from ca_data import denormalize_lab, lab_to_rgb, resize, to_uint8, upsample_chroma
from ca_film import Film, FilmFormat, Frame, Look, lacking
from ca_film.project import FrameColors, upright_lightness
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

__all__ = [
    "encode",
    "jpeg",
    "shown_size",
    "view_lightness",
    "with_colors",
    "with_confidence",
]

_WIDEST = 960
_LACKING = np.array([214.0, 60.0, 40.0])


def shown_size(form: FilmFormat, widest: int = _WIDEST) -> tuple[int, int]:
    """Height and width of a frame on the page: its shape as a player shows it, pixel aspect included.

    Example:
        >>> from ca_data import YuvCoding
        >>> shown_size(FilmFormat((1080, 1920), YuvCoding()))
        (540, 960)
    """
    height, width = form.shown_size
    wide = width * float(form.shown_pixel_aspect)
    factor = min(1.0, widest / wide)
    return max(1, round(height * factor)), max(1, round(wide * factor))


def view_lightness(film: Film, frame: Frame, widest: int = _WIDEST) -> Float[Tensor, "1 h w"]:
    """Lightness of a frame, upright, of the size of the page."""
    return resize(upright_lightness(film, frame), shown_size(film.format, widest)).clamp(-1.0, 1.0)


def with_colors(
    lightness: Float[Tensor, "1 h w"],
    ab: Float[Tensor, "2 lh lw"],
    low: Float[Tensor, "1 lh lw"],
    look: Look,
) -> Float[Tensor, "2 h w"]:
    """ab of a frame as the film would have it, on the grid of the page.

    Args:
        lightness: of the frame at the page's size, L/50 - 1.
        ab: ab/110 at the network's size.
        low: what the network saw.
        look: of the frame's shot.

    Returns:
        `2 h w`, ab/110.
    """
    size = (lightness.shape[-2], lightness.shape[-1])
    if size[0] <= ab.shape[-2]:
        return resize(ab, size) * look.factor
    return upsample_chroma(ab[None], low[None], lightness[None])[0] * look.factor


def with_confidence(
    lightness: Float[Tensor, "1 h w"], colors: FrameColors | None
) -> UInt8[np.ndarray, "h w 3"]:
    """The grey frame, red where the stills do not cover it."""
    size = (lightness.shape[-2], lightness.shape[-1])
    grey = ((lightness[0].numpy() + 1.0) * 127.5)[..., None]
    covered = (
        np.zeros((*size, 1)) if colors is None else resize(colors.confidence, size)[0].numpy()[..., None]
    )
    share = 0.65 * lacking(covered)
    return np.rint(grey * (1.0 - share) + _LACKING * share).clip(0, 255).astype(np.uint8)


def jpeg(
    lightness: Float[Tensor, "1 h w"], ab: Float[Tensor, "2 h w"] | None = None, quality: int = 88
) -> bytes:
    """A frame as JPEG; grey without ab."""
    if ab is None:
        grey = to_uint8(
            lab_to_rgb(denormalize_lab(torch.cat((lightness, torch.zeros(2, *lightness.shape[1:])))))
        )
        return encode(grey[0].numpy(), quality)
    rgb = to_uint8(lab_to_rgb(denormalize_lab(torch.cat((lightness, ab)))))
    return encode(np.ascontiguousarray(rgb.numpy().transpose(1, 2, 0)), quality)


def encode(pixels: UInt8[np.ndarray, ...], quality: int = 88) -> bytes:
    """Pixels as JPEG, colour at full resolution."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=quality, subsampling=0)
    return buffer.getvalue()
