"""Rendering: from the network's ab, at its size, to the chroma or the colours of the film, at the film's."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
import torch.nn.functional as F
from ca_data import (
    chroma_for_luma,
    chroma_to_codes,
    denormalize_lab,
    lab_to_rgb,
    luma_from_codes,
    luma_to_codes,
    luma_to_lightness,
    resize,
    srgb_from_film,
    to_uint8,
    upsample_chroma,
    ycbcr_to_rgb,
)
from jaxtyping import Float, Int, UInt
from torch import Tensor

from ca_film.options import Look
from ca_film.output.encoding import Encoding
from ca_film.source.film import ColoredFrame, Film, Frame
from ca_film.source.geometry import turn
from ca_film.source.references import Reference

__all__ = ["Renderer"]


class Renderer:
    """Brings the network's colours to the film's own frames.

    A frame that a reference is anchored to takes that reference's own colours.

    Args:
        film: the film.
        references: its references; the anchored ones are used here.
        look: how strong the colours are.
    """

    def __init__(self, film: Film, references: list[Reference], look: Look) -> None:
        self._film = film
        self._format = film.format
        self._anchored = {ref.frame: ref for ref in references if ref.frame is not None}
        self._look = look

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
            codes = chroma_to_codes(self._chroma(colored, field), encoding.coding)
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
            rgb = lab_to_rgb(denormalize_lab(torch.cat((lightness, ab))))
        else:
            coding, luma = self._format.coding, self._luma(colored.frame)
            chroma = self._chroma(colored, luma)
            film = ycbcr_to_rgb(torch.cat((luma[None], chroma)), coding.matrix)
            rgb = srgb_from_film(film.clamp(0.0, 1.0), coding.primaries, coding.transfer)
        if depth == 8:
            return to_uint8(rgb).numpy()
        return (rgb.clamp(0.0, 1.0) * 65535.0).round().numpy().astype(np.uint16)

    def _luma(self, frame: Frame) -> Float[Tensor, "h w"]:
        return luma_from_codes(torch.from_numpy(frame.luma.astype(np.int32)), self._format.coding)

    def _chroma(self, colored: ColoredFrame, luma: Float[Tensor, "h w"]) -> Float[Tensor, "2 h w"]:
        """Cb and Cr that show the wanted ab under this luma."""
        # Luma between codes is looked up in the finest table there is.
        fine = replace(self._format.coding, bits=16, full_range=True)
        guide = luma_to_lightness(luma_to_codes(luma, fine)[None], fine)
        ab = self._ab(colored, guide)
        return chroma_for_luma(luma[None, None], ab[None], self._format.coding)[0]

    def _ab(self, colored: ColoredFrame, guide: Float[Tensor, "1 h w"]) -> Float[Tensor, "2 h w"]:
        """ab on the grid of `guide`, in the orientation in which the film is stored."""
        size = (guide.shape[-2], guide.shape[-1])
        anchored = self._anchored.get(colored.frame.index)
        degrees = -self._format.rotation
        if anchored is not None:
            shown = (size[1], size[0]) if round(degrees / 90) % 2 else size
            ab = turn(anchored.full_ab(shown), degrees)
        else:
            ab = _upsample(turn(colored.ab, degrees), turn(colored.lightness, degrees), guide)
        ab = ab * self._look.factor
        return _half_grey(ab, self._format.rotation) if self._look.compare else ab


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
