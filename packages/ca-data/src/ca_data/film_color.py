"""Conversion between a film's luma and the network: its lightness, and the chroma that gives it a colour.

A film's luma is never changed. So the question is not "which Y'CbCr has this Lab" but "which chroma gives this
luma these a and b", which `chroma_for_luma` answers.
"""

from __future__ import annotations

from functools import lru_cache

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int, UInt8
from torch import Tensor

from ca_data.color import AB_SCALE, LIGHTNESS_SCALE, lab_to_rgb, rgb_to_lab
from ca_data.transfer import film_from_srgb, srgb_from_film
from ca_data.yuv import YuvCoding, luma_from_codes, rgb_to_ycbcr, ycbcr_to_rgb

__all__ = ["chroma_for_luma", "fit_chroma", "luma_to_lightness"]

# Nodes of the table over luma and over a and b. On the frames of DAVIS its chroma is off by 0.04 of an 8-bit
# step on average; half the nodes over a and b give 0.14, twice those over luma 0.035.
_LUMA_NODES, _AB_NODES = 33, 65
_HALVINGS = 24
_BRIGHTEST = {"sdr": 130.0, "pq": 500.0, "hlg": 500.0}
"""L of the brightest colour the search considers; HDR goes far above reference white."""


def luma_to_lightness(
    codes: Int[Tensor, "*batch 1 h w"] | UInt8[Tensor, "*batch 1 h w"], coding: YuvCoding
) -> Float[Tensor, "*batch 1 h w"]:
    """Code values of a Y plane to the network's input: the lightness of the grey of that luma.

    Args:
        codes: `... 1 h w` integers.
        coding: what they mean.

    Returns:
        `... 1 h w` in [-1, 1].

    Example:
        >>> luma_to_lightness(torch.tensor([0, 16, 235, 255]).view(1, 1, 4), YuvCoding()).flatten().tolist()
        [-1.0, -1.0, 1.0, 1.0]
    """
    table = _lightness_table(coding).to(codes.device)
    return table.index_select(0, codes.flatten().int()).view(codes.shape)


def chroma_for_luma(
    luma: Float[Tensor, "b 1 h w"], ab: Float[Tensor, "b 2 h w"], coding: YuvCoding
) -> Float[Tensor, "b 2 h w"]:
    """The chroma that, under this luma, shows the colour ab.

    Lab's L and luma weigh the primaries differently (a pure blue has L = 32, but the luma of a grey of L = 6), so
    which L goes with a luma depends on the colour. A table of the L with luma(L, a, b) = Y', found by halving
    intervals, is made once per coding and interpolated. Where no colour within RGB has this luma and these ab,
    `fit_chroma` weakens the colour and keeps its hue.

    Args:
        luma: `b 1 h w`, 0 black, 1 white.
        ab: `b 2 h w`, ab/110, held within [-1, 1].
        coding: matrix, primaries and transfer of the film.

    Returns:
        `b 2 h w`: Cb and Cr in [-0.5, 0.5].

    Raises:
        ValueError: if the shapes do not fit each other.

    Example:
        >>> grey = chroma_for_luma(torch.full((1, 1, 2, 3), 0.5), torch.zeros(1, 2, 2, 3), YuvCoding())
        >>> grey.abs().max().item()
        0.0
    """
    if luma.ndim != 4 or luma.shape[1] != 1 or ab.shape != (luma.shape[0], 2, *luma.shape[2:]):
        raise ValueError(
            f"chroma_for_luma expects luma (b, 1, h, w) and ab (b, 2, h, w), got {tuple(luma.shape)} and "
            f"{tuple(ab.shape)}; resize one to the other first"
        )
    table = _chroma_table(coding.matrix, coding.primaries, coding.transfer).to(ab.device)
    # The batch lies along the depth of one grid, so that the table is not copied for each frame.
    grid = torch.stack((ab[:, 1], ab[:, 0], luma[:, 0] * 2.0 - 1.0), dim=-1)[None].float()
    found = F.grid_sample(table, grid, mode="bilinear", padding_mode="border", align_corners=True)
    return fit_chroma(luma, found[0].transpose(0, 1), coding.matrix)


def fit_chroma(
    luma: Float[Tensor, "b 1 h w"], chroma: Float[Tensor, "b 2 h w"], matrix: str = "bt709"
) -> Float[Tensor, "b 2 h w"]:
    """Weaken chroma, keeping its hue, until luma and chroma together are an RGB colour in [0, 1].

    A player would clip such a colour channel by channel, and change luma and hue.

    Args:
        luma: `b 1 h w`.
        chroma: `b 2 h w`, Cb and Cr.
        matrix: see `YuvCoding`.

    Returns:
        `b 2 h w`. Grey where the luma itself lies outside [0, 1].

    Example:
        >>> fit_chroma(torch.ones(1, 1, 1, 1), torch.full((1, 2, 1, 1), 0.2)).abs().max().item()
        0.0
    """
    away = ycbcr_to_rgb(torch.cat((luma, chroma), dim=1), matrix) - luma
    room = torch.where(away > 0.0, 1.0 - luma, luma).clamp(min=0.0)
    share = (room / away.abs().clamp(min=1e-6)).clamp(max=1.0).amin(dim=1, keepdim=True)
    return chroma * share


def _grey_lightness(luma: Tensor, transfer: str) -> Tensor:
    grey = srgb_from_film(luma.expand(-1, 3, -1, -1), "bt709", transfer)
    return rgb_to_lab(grey)[:, :1]


@lru_cache(maxsize=16)
def _lightness_table(coding: YuvCoding) -> Tensor:
    luma = luma_from_codes(torch.arange(2**coding.bits), coding).clamp(0.0, 1.0)
    lightness = _grey_lightness(luma.view(1, 1, 1, -1), coding.transfer).flatten()
    return (lightness / LIGHTNESS_SCALE - 1.0).clamp(-1.0, 1.0)


@lru_cache(maxsize=16)
def _chroma_table(matrix: str, primaries: str, transfer: str) -> Float[Tensor, "1 2 y a b"]:
    axis = torch.linspace(-1.0, 1.0, _AB_NODES)
    nodes = torch.meshgrid(torch.linspace(0.0, 1.0, _LUMA_NODES), axis, axis, indexing="ij")
    luma, a, b = (values.reshape(1, 1, _LUMA_NODES, -1) for values in nodes)
    ab = torch.cat((a, b), dim=1) * AB_SCALE

    def film(lightness: Tensor) -> Tensor:
        return film_from_srgb(lab_to_rgb(torch.cat((lightness, ab), dim=1)), primaries, transfer)

    low, high = torch.zeros_like(luma), torch.full_like(luma, _BRIGHTEST[transfer])
    for _ in range(_HALVINGS):
        middle = (low + high) / 2.0
        # Channels below zero would make luma fall with rising L, and no colour within RGB has them.
        darker = rgb_to_ycbcr(film(middle).clamp(min=0.0), matrix)[:, :1] < luma
        low, high = torch.where(darker, middle, low), torch.where(darker, high, middle)
    chroma = rgb_to_ycbcr(film(low), matrix)[:, 1:].reshape(1, 2, _LUMA_NODES, _AB_NODES, _AB_NODES)
    # Grey is exactly grey: the rounded digits of the white point leave a trace of colour otherwise.
    chroma[:, :, :, _AB_NODES // 2, _AB_NODES // 2] = 0.0
    return chroma
