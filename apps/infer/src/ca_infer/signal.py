"""What a film's code values mean: YCbCr matrix, range, bit depth, transfer and primaries, and the way between
them and the network's units.

The luma of the film is given and kept; only chroma is made.  ITU-T H.273 numbers the choices, BT.601, BT.709,
BT.2020 and BT.2100 define them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from ca_data import denormalize_lab, lab_to_rgb
from jaxtyping import Float, Int
from torch import Tensor

from ca_infer.transfer import primaries_matrix, to_film_code, to_relative_light

__all__ = ["ColorSignal"]

# Weights of red and blue in luma by H.273 matrix number; green has the rest.
_LUMA_WEIGHTS = {
    1: (0.2126, 0.0722),
    4: (0.30, 0.11),
    5: (0.299, 0.114),
    6: (0.299, 0.114),
    7: (0.212, 0.087),
    9: (0.2627, 0.0593),
    10: (0.2627, 0.0593),
}
_UNSPECIFIED = 2
_ROUNDS = 3


@dataclass(frozen=True)
class ColorSignal:
    """How a film codes colour.

    Args:
        matrix: H.273 matrix number (1 BT.709, 5 and 6 BT.601, 9 BT.2020).
        primaries: H.273 primaries number.
        transfer: H.273 transfer number (16 PQ, 18 HLG; all display-referred SDR curves are one to us: they
            are watched on the same screens).
        full_range: whether luma uses every code instead of 16..235 (times 2^(depth - 8)).
        depth: bits per sample.

    Raises:
        ValueError: if the matrix is one whose luma and chroma are not weighted sums of R'G'B'.

    Example:
        >>> signal = ColorSignal(matrix=1, primaries=1, transfer=1, full_range=False, depth=8)
        >>> signal.lightness_table()[[16, 235]].tolist()
        [-1.0, 1.0]
    """

    matrix: int = 1
    primaries: int = 1
    transfer: int = 1
    full_range: bool = False
    depth: int = 8

    def __post_init__(self) -> None:
        if self.matrix not in _LUMA_WEIGHTS:
            raise ValueError(
                f"matrix must be one of {sorted(_LUMA_WEIGHTS)} (H.273), got {self.matrix}; convert the film "
                "to YCbCr with the BT.709 matrix first"
            )

    @classmethod
    def from_tags(
        cls, matrix: int, primaries: int, transfer: int, *, full_range: bool, depth: int, height: int
    ) -> ColorSignal:
        """Fill in what a film does not say.

        An unspecified matrix is BT.601 below 720 rows and BT.709 from there, which is what players assume.

        Args:
            matrix: H.273 number, 2 for unspecified.
            primaries: H.273 number, 2 for unspecified.
            transfer: H.273 number, 2 for unspecified.
            full_range: as the film says; unspecified means limited.
            depth: bits per sample.
            height: rows of the film.

        Returns:
            The signal.

        Example:
            >>> ColorSignal.from_tags(2, 2, 2, full_range=False, depth=8, height=576).matrix
            6
        """
        if matrix == _UNSPECIFIED:
            matrix = 6 if height < 720 else 1
        return cls(matrix, primaries, transfer, full_range, depth)

    def with_depth(self, depth: int) -> ColorSignal:
        """The same signal in another bit depth."""
        return replace(self, depth=depth)

    @property
    def luma_levels(self) -> tuple[int, int]:
        """The codes of black and of white."""
        scale = 1 << (self.depth - 8)
        return (0, (1 << self.depth) - 1) if self.full_range else (16 * scale, 235 * scale)

    @property
    def chroma_levels(self) -> tuple[int, float, int]:
        """The code of no colour, codes per unit of Cb or Cr, and the highest code."""
        top = (1 << self.depth) - 1
        span = float(top) if self.full_range else float(224 << (self.depth - 8))
        return 1 << (self.depth - 1), span, top

    def luma(self, codes: Int[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Luma codes as Y': 0 at black, 1 at white; values beyond (superwhite) are kept."""
        black, white = self.luma_levels
        return (codes.float() - black) / (white - black)

    def lightness_table(self) -> Float[np.ndarray, codes]:
        """`lightness` of every luma code."""
        return self.lightness(self.luma(torch.arange(1 << self.depth))).numpy()

    def lightness(self, luma: Float[Tensor, "*shape"]) -> Float[Tensor, "*shape"]:
        """Network lightness, L/50 - 1 clipped to [-1, 1], of the grey with a given Y'."""
        return (_lightness(self._light(luma.clamp(min=0.0))) / 50.0 - 1.0).clamp(-1.0, 1.0)

    def chroma(
        self, luma: Float[Tensor, "h w"], ab: Float[Tensor, "2 h w"]
    ) -> tuple[Int[Tensor, "h w"], Int[Tensor, "h w"]]:
        """Chroma codes that give pixels of known luma a wanted Lab colour.

        A colour has not the luma of the grey of its lightness (a blue sky would be shifted down, a yellow one
        up). So the lightness is sought whose colour with the given ab has exactly the film's luma: luma stays
        the film's, chroma is that of a colour that exists. Near black and white, where the gamut has no room
        for the ab, the colour fades instead of clipping to another hue.

        Args:
            luma: `h w`, Y' of the pixels on the chroma grid.
            ab: `2 h w`, ab/110 in network units.

        Returns:
            Codes of Cb and Cr, `h w` each (int32).

        Example:
            >>> signal = ColorSignal()
            >>> [plane.item() for plane in signal.chroma(torch.tensor([[0.5]]), torch.zeros(2, 1, 1))]
            [128, 128]
        """
        red_blue = self._film_color(luma, ab)
        middle, span, top = self.chroma_levels
        codes = (red_blue * span + middle).round_().clamp_(0, top).to(torch.int32)
        return codes[0], codes[1]

    def rgb(self, luma: Float[Tensor, "h w"], ab: Float[Tensor, "2 h w"]) -> Float[Tensor, "3 h w"]:
        """R'G'B' in the film's own primaries and transfer, of pixels of known luma and wanted ab."""
        cb, cr = self._film_color(luma, ab).unbind(0)
        kr, kb = _LUMA_WEIGHTS[self.matrix]
        red = luma + 2.0 * (1.0 - kr) * cr
        blue = luma + 2.0 * (1.0 - kb) * cb
        green = (luma - kr * red - kb * blue) / (1.0 - kr - kb)
        return torch.stack((red, green, blue)).clamp_(0.0, 1.0)

    def _film_color(self, luma: Tensor, ab: Tensor) -> Float[Tensor, "2 h w"]:
        """Cb and Cr in [-0.5, 0.5], by fixed-point iteration on the grey whose lightness the colour has."""
        kr, kb = _LUMA_WEIGHTS[self.matrix]
        grey = luma.clamp(min=0.0)
        red, green, blue = self._encode(grey, ab)
        for _ in range(_ROUNDS):
            reached = kr * red + (1.0 - kr - kb) * green + kb * blue
            grey = (grey + luma - reached).clamp_(0.0, 1.5)
            red, green, blue = self._encode(grey, ab)
        reached = kr * red + (1.0 - kr - kb) * green + kb * blue
        return torch.stack(((blue - reached) / (2.0 - 2.0 * kb), (red - reached) / (2.0 - 2.0 * kr)))

    def _encode(self, grey: Tensor, ab: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """R'G'B' of the film for the lightness of a grey code and an ab."""
        lightness = _lightness(self._light(grey))
        lab = torch.cat((lightness[None] / 50.0 - 1.0, ab))
        rgb = lab_to_rgb(denormalize_lab(lab))
        if not self._is_plain:
            light = _mix(to_relative_light(rgb, 13), primaries_matrix(self.primaries))
            rgb = to_film_code(light, self.transfer)
        red, green, blue = rgb.clamp_(0.0, 1.0).unbind(0)
        return red, green, blue

    def _light(self, code: Tensor) -> Tensor:
        return to_relative_light(code, self.transfer)

    @property
    def _is_plain(self) -> bool:
        """Whether the film's R'G'B' is what Lab conversion already gives: sRGB as shown."""
        return self.transfer not in (8, 16, 18) and self.primaries in (1, _UNSPECIFIED)


def _lightness(light: Tensor) -> Tensor:
    """CIE L of relative luminance (CIE 15)."""
    root = torch.where(
        light > (6 / 29) ** 3, light.clamp(min=1e-9) ** (1 / 3), light * (29 / 6) ** 2 / 3 + 4 / 29
    )
    return 116.0 * root - 16.0


def _mix(channels: Tensor, matrix: tuple[tuple[float, ...], ...]) -> Tensor:
    red, green, blue = channels.unbind(0)
    return torch.stack([red * row[0] + green * row[1] + blue * row[2] for row in matrix])
