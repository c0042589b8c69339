"""A folder of frames as a film."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import torch
from ca_data import LIGHTNESS_SCALE, FrameFolder, YuvCoding, lab_to_rgb, luma_to_codes, rgb_to_lab
from jaxtyping import Float
from torch import Tensor

from ca_infer.errors import InferError
from ca_infer.film import FilmFormat, Picture, Survey, Watch
from ca_infer.shots import CutFinder

__all__ = ["FolderFilm"]


class FolderFilm:
    """A folder of numbered pictures, in the natural order of their names.

    Args:
        path: the folder.
        rate: pictures per second, which a folder does not say; it matters only when a video is written.

    Raises:
        InferError: if the folder holds no frames, or frames of different sizes.
    """

    def __init__(self, path: Path, rate: Fraction = Fraction(24)) -> None:
        self.path = path
        try:
            self._folder = FrameFolder(path)
            self._folder.check_sizes()
        except ValueError as error:
            raise InferError(str(error)) from error
        self.format = FilmFormat(self._folder.size, YuvCoding(), time_base=1 / rate, rate=rate)

    def survey(self, *, find_cuts: bool = True, watch: Watch | None = None) -> Survey:
        """Find the cuts; nothing else can be wrong with a folder until a file is read."""
        count = len(self._folder)
        survey = Survey(list(range(count)), [1] * count)
        finder = CutFinder(self.format.rate) if find_cuts and count > 1 else None
        watches = [one.add for one in (finder, watch) if one]
        if watches:
            for picture in self.pictures():
                for add in watches:
                    add(picture.luma, self.format.coding)
        if finder:
            survey.cuts = finder.finish()
            survey.notes += finder.notes
        return survey

    def follow(self, survey: Survey) -> None:
        """Nothing to do: a file reads or it does not."""

    def pictures(self, start: int = 0) -> Iterator[Picture]:
        """Read the frames in order.

        Raises:
            InferError: if a file cannot be read.
        """
        for index in range(start, len(self._folder)):
            try:
                rgb = self._folder.read([index])[0]
            except ValueError as error:
                raise InferError(str(error)) from error
            lightness = rgb_to_lab(rgb)[:1]
            # A grey's three sRGB values are equal, and are its luma.
            grey = lab_to_rgb(torch.cat((lightness, torch.zeros_like(lightness).expand(2, -1, -1))))[1]
            luma = luma_to_codes(grey, self.format.coding).to(torch.uint8).numpy()
            yield Picture(index, luma, rgb=rgb)

    def lightness(self, picture: Picture) -> Float[Tensor, "1 h w"]:
        """L of the frame itself, so that colour frames keep theirs."""
        if picture.rgb is None:
            raise ValueError(
                "picture must come from this film, got one without rgb; pass what pictures() gave"
            )
        return rgb_to_lab(picture.rgb)[:1] / LIGHTNESS_SCALE - 1.0

    def picture_name(self, index: int) -> str:
        """The frame's own name."""
        return self._folder.files[index].stem
