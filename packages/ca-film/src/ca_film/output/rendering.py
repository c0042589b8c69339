"""Rendering: from the network's ab, at its size, to the chroma or the colours of the film, at the film's."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property

import numpy as np
import torch
import torch.nn.functional as F
from ca_data import (
    YuvCoding,
    chroma_for_luma,
    chroma_from_codes,
    chroma_to_codes,
    denormalize_lab,
    lab_to_rgb,
    luma_from_codes,
    luma_to_codes,
    luma_to_lightness,
    normalize_lab,
    plane,
    resize,
    rgb_to_lab,
    rgb_to_ycbcr,
    srgb_from_film,
    to_uint8,
    upsample_chroma,
    ycbcr_to_rgb,
)
from jaxtyping import Float, Int, UInt, UInt8
from torch import Tensor

from ca_film.options import Look
from ca_film.output.encoding import Encoding
from ca_film.source.film import ColoredFrame, Film, Frame
from ca_film.source.geometry import turn
from ca_film.source.references import Reference

__all__ = ["Renderer", "paled"]

# Of lightness in [-1, 1]: a step of 8 bits.
_LEAST = 2.0 / 255.0
# Length of (Cb, Cr) from which a film's own colour is one, and the part of a frame's longer side over which it fades.
_COLORED = 0.06
_FEATHER = 200


class Renderer:
    """Brings the network's colours to the film's own frames.

    A frame that a reference is anchored to takes that reference's own colours, of a partial one where it is opaque.

    Args:
        film: the film.
        references: its references, looked at when the first frame comes: a survey may anchor some of them till then.
        look: how strong the colours are.
        keep_colors: whether colours that the film has stay, where they are; `look` does not change them.
    """

    def __init__(
        self, film: Film, references: list[Reference], look: Look, *, keep_colors: bool = False
    ) -> None:
        self._keep = keep_colors
        self._film = film
        self._format = film.format
        self._references = references
        self._look = look

    @cached_property
    def _anchored(self) -> dict[int, Reference]:
        return {ref.frame: ref for ref in self._references if ref.frame is not None}

    def chroma(
        self, colored: ColoredFrame, encoding: Encoding
    ) -> tuple[Int[np.ndarray, "h w"], Int[np.ndarray, "h w"]]:
        """Chroma codes of a frame on the chroma grid and in the depth of the output.

        Args:
            colored: the frame.
            encoding: how the output is stored.

        Returns:
            Cb and Cr.
        """
        subsampling = encoding.subsampling
        luma = self._luma(colored.frame)
        if not self._format.interlaced:
            chroma = self._chroma(colored, _to_chroma_grid(luma, subsampling))
            cb, cr = chroma_to_codes(chroma, encoding.coding).numpy()
            return cb, cr
        # The two fields of a frame were taken at different times, and share no chroma sample.
        rows = -(-luma.shape[0] // subsampling[0])
        planes = np.empty((2, rows, -(-luma.shape[1] // subsampling[1])), np.int32)
        for parity in (0, 1):
            field = _to_chroma_grid(luma[parity::2], subsampling)
            codes = chroma_to_codes(self._chroma(colored, field, slice(parity, None, 2)), encoding.coding)
            planes[:, parity::2] = codes.numpy()[:, : planes[:, parity::2].shape[1]]
        return planes[0], planes[1]

    def rgb(self, colored: ColoredFrame, depth: int = 8) -> UInt[np.ndarray, "3 h w"]:
        """A frame in RGB: L of a frame from a folder, or luma of a video frame, kept.

        Args:
            colored: the frame.
            depth: 8 or 16 bits.

        Returns:
            `3 h w` sRGB, uint8 or uint16.
        """
        if colored.frame.rgb is not None:
            lightness = self._film.lightness(colored.frame)
            ab = self._ab(colored, lightness)
            if self._keep:
                given = colored.frame.rgb.numpy()
                film = torch.from_numpy(given.astype(np.float32) / np.iinfo(given.dtype).max)
                own = normalize_lab(rgb_to_lab(film))[1:]
                kept = _kept_share(rgb_to_ycbcr(film)[1:])
                ab = torch.lerp(ab, own, kept)
            rgb = lab_to_rgb(denormalize_lab(torch.cat((lightness, ab))))
        else:
            coding, luma = self._format.coding, self._luma(colored.frame)
            chroma = self._chroma(colored, luma)
            film = ycbcr_to_rgb(torch.cat((luma[None], chroma)), coding.matrix)
            rgb = srgb_from_film(film.clamp(0.0, 1.0), coding.primaries, coding.transfer)
        if depth == 8:
            return to_uint8(rgb).numpy()
        return (rgb.clamp(0.0, 1.0) * 65535.0).round().numpy().astype(np.uint16)

    def small(self, colored: ColoredFrame) -> UInt8[np.ndarray, "3 h w"]:
        """A frame at the network's size, upright, for people: coloured all over, also where the film is half grey.

        Args:
            colored: the frame.

        Returns:
            `3 h w` sRGB.
        """
        degrees = self._format.rotation
        ab = turn(self._whole_ab(colored, turn(colored.lightness, -degrees)), degrees)
        return to_uint8(lab_to_rgb(denormalize_lab(torch.cat((colored.lightness, ab))))).numpy()

    def _luma(self, frame: Frame) -> Float[Tensor, "h w"]:
        return luma_from_codes(torch.from_numpy(frame.luma.astype(np.int32)), self._format.coding)

    def _chroma(
        self, colored: ColoredFrame, luma: Float[Tensor, "h w"], rows: slice = slice(None)
    ) -> Float[Tensor, "2 h w"]:
        """Cb and Cr that show the wanted ab under this luma, of all rows of the film or of one field."""
        # Luma between codes is looked up in the finest table there is.
        fine = replace(self._format.coding, bits=16, full_range=True)
        guide = luma_to_lightness(luma_to_codes(luma, fine)[None], fine)
        ab = self._ab(colored, guide)
        made = chroma_for_luma(luma[None, None], ab[None], self._format.coding)[0]
        own = _film_chroma(colored.frame, self._format.coding, rows) if self._keep else None
        if own is None:
            return made
        return torch.lerp(
            made,
            resize(own, (made.shape[-2], made.shape[-1])),
            resize(_kept_share(own), (made.shape[-2], made.shape[-1])),
        )

    def _ab(self, colored: ColoredFrame, guide: Float[Tensor, "1 h w"]) -> Float[Tensor, "2 h w"]:
        """ab of the output on the grid of `guide`, in the orientation in which the film is stored."""
        ab = self._whole_ab(colored, guide)
        return _half_grey(ab, self._format.rotation) if self._look.compare else ab

    def _whole_ab(self, colored: ColoredFrame, guide: Float[Tensor, "1 h w"]) -> Float[Tensor, "2 h w"]:
        """The same of the whole frame, whatever half of it stays grey."""
        size = (guide.shape[-2], guide.shape[-1])
        anchored = self._anchored.get(colored.frame.index)
        degrees = -self._format.rotation
        own, share = None, None
        if anchored is not None:
            own, share = anchored.full_ab((size[1], size[0]) if round(degrees / 90) % 2 else size)
        if own is not None and share is None:
            ab = turn(own, degrees)
        else:
            shown = paled(colored.ab, colored.lightness, colored.steady)
            ab = _upsample(turn(shown, degrees), turn(colored.lightness, degrees), guide)
            if own is not None and share is not None:
                ab = torch.lerp(ab, turn(own, degrees), turn(share, degrees))
        return ab * self._look.factor


def _film_chroma(frame: Frame, coding: YuvCoding, rows: slice) -> Float[Tensor, "2 h w"] | None:
    """Cb and Cr of the film itself; None where it stores none."""
    if frame.decoded is None or len(frame.decoded.planes) < 3:
        return None
    planes = np.stack([plane(frame.decoded, number)[rows] for number in (1, 2)])
    return chroma_from_codes(torch.from_numpy(planes.astype(np.int32)), coding)


def _kept_share(chroma: Float[Tensor, "2 h w"]) -> Float[Tensor, "1 h w"]:
    """How far a film's own colours stay: 1 where they are clearly no grey, and falling to 0 beside that."""
    radius = max(1, max(chroma.shape[-2:]) // _FEATHER)
    colored = (chroma.norm(dim=0, keepdim=True) > _COLORED).float()[None]
    # Grown first, so that what is coloured keeps all of its colour, up to its antialiased edge.
    grown = F.max_pool2d(colored, 2 * radius + 1, stride=1, padding=radius)
    return F.avg_pool2d(grown, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)[0]


def paled(
    ab: Float[Tensor, "2 h w"], lightness: Float[Tensor, "1 h w"], steady: Float[Tensor, "1 h w"] | None
) -> Float[Tensor, "2 h w"]:
    """Colours of a frame; those of a flash fade as it comes nearer to white or black than the frame before it.

    Args:
        ab: ab/110 of the network.
        lightness: of the frame itself, in [-1, 1].
        steady: of a flash, what the network saw in its place; None else.

    Returns:
        `2 h w`, ab/110.
    """
    if steady is None:
        return ab
    lighter = (1.0 - lightness) / (1.0 - steady).clamp(min=_LEAST)
    darker = (1.0 + lightness) / (1.0 + steady).clamp(min=_LEAST)
    return ab * torch.minimum(lighter, darker).clamp(0.0, 1.0)


def _upsample(
    ab: Float[Tensor, "2 h w"], low: Float[Tensor, "1 h w"], guide: Float[Tensor, "1 h2 w2"]
) -> Float[Tensor, "2 h2 w2"]:
    size = (guide.shape[-2], guide.shape[-1])
    if size[0] <= ab.shape[-2] and size[1] <= ab.shape[-1]:
        return resize(ab, size)
    return upsample_chroma(ab[None], low[None], guide[None])[0]


def _half_grey(ab: Float[Tensor, "2 h w"], rotation: int) -> Float[Tensor, "2 h w"]:
    """Take the colours away from the left half of the frame as it is shown."""
    upright = turn(ab, rotation).clone()
    upright[..., : upright.shape[-1] // 2] = 0.0
    return turn(upright, -rotation)


def _to_chroma_grid(luma: Float[Tensor, "h w"], subsampling: tuple[int, int]) -> Float[Tensor, "h2 w2"]:
    """Luma where the chroma samples lie: between rows, on every second column (H.273 chroma location 0)."""
    rows, columns = subsampling
    if rows == columns == 1:
        return luma
    height, width = luma.shape
    plane = F.pad(luma[None, None], (0, -width % columns, 0, -height % rows), mode="replicate")
    if rows > 1:
        plane = F.avg_pool2d(plane, (rows, 1))
    if columns == 2:
        left = F.pad(plane, (1, 0, 0, 0), mode="replicate")
        plane = (left[..., :-2:2] + 2.0 * left[..., 1:-1:2] + left[..., 2::2]) / 4.0
    elif columns > 2:
        plane = F.avg_pool2d(plane, (1, columns))
    return plane[0, 0]
