"""Anchoring by image: the frame of the film that a still without a frame number was painted on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from ca_data import YuvCoding, denormalize_lab, lab_to_rgb, resize, rgb_to_ycbcr
from jaxtyping import Float, Integer
from torch import Tensor

from ca_film.source.film import FilmFormat, grey_image
from ca_film.source.references import Reference

__all__ = ["AnchorFinder"]

_GRID = (18, 32)
_ALIKE = 3.0 / 255.0
_ASPECT = 0.03


class AnchorFinder:
    """Compares every frame of a film with the stills that have no frame number, in grey and small.

    Whoever colours a frame of the film leaves its lightness alone, so such a still says itself where it belongs: it is
    anchored to the frame that its grey version (the grey of its L, or of its luma, whichever fits better) equals within
    a root mean square of 3 of 255 levels on a grid of 32 x 18; of several, to the closest. Stills of another shape than
    the film, and films that a player turns, are left alone.

    Args:
        references: of which those with a frame number are passed over.
        form: of the film.
    """

    def __init__(self, references: Sequence[Reference], form: FilmFormat) -> None:
        self._stills = [] if form.rotation else [ref for ref in references if _could_be_a_frame(ref, form)]
        self._taken = {ref.frame for ref in references if ref.frame is not None}
        self._grids = torch.stack([_grey_grids(ref) for ref in self._stills]) if self._stills else None
        self._frame = 0
        self._best = [(_ALIKE, -1)] * len(self._stills)

    def add(self, luma: Integer[np.ndarray, "h w"], coding: YuvCoding) -> None:
        """Compare the next frame.

        Args:
            luma: `h w` codes.
            coding: what they mean.
        """
        if self._grids is not None:
            grey = torch.from_numpy(grey_image(luma, coding)).float()[None, None] / 255.0
            difference = self._grids - resize(grey, _GRID)[0]
            distances = difference.square().mean(dim=(-2, -1)).sqrt().amin(dim=1)
            for number, distance in enumerate(distances.tolist()):
                self._best[number] = min(self._best[number], (distance, self._frame))
        self._frame += 1

    def finish(self) -> dict[str, int]:
        """Numbers of frames by the digest of the still that each is; one still at most for each frame."""
        found: dict[str, int] = {}
        for (_, frame), still in sorted(zip(self._best, self._stills, strict=True), key=lambda pair: pair[0]):
            if frame >= 0 and frame not in self._taken:
                self._taken.add(frame)
                found[still.digest] = frame
        return found


def _could_be_a_frame(reference: Reference, form: FilmFormat) -> bool:
    height, width = reference.size
    shape = form.size[1] / form.size[0]
    # A still of a film with oblong pixels may have been saved with them or without.
    shapes = (shape, shape * float(form.pixel_aspect))
    return reference.frame is None and any(abs(width / height / one - 1) < _ASPECT for one in shapes)


def _grey_grids(reference: Reference) -> Float[Tensor, "2 gh gw"]:
    """The still as a small grey image, once by its L and once by its luma."""
    lab = denormalize_lab(reference.lab)
    of_lightness = lab_to_rgb(torch.cat((lab[:1], torch.zeros_like(lab[1:]))))[1:2]
    of_luma = rgb_to_ycbcr(lab_to_rgb(lab).clamp(0, 1), "bt709")[:1]
    return resize(torch.cat((of_lightness, of_luma)), _GRID)
