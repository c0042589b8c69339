"""Content of a film, frame by frame: lightness, sharpness, flashes, changes within shots, colours that it has."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import numpy as np
from ca_data import YuvCoding, plane
from jaxtyping import Float, Integer, UInt8
from PIL import Image

from ca_film.source.film import Frame, grey_image

__all__ = ["ContentFinder", "clear_frame"]

_GRID = (32, 18)
_WIDTH = 256
# A flash is lighter or darker than its neighbours by this many of 255 levels, for at most so many frames.
_FLASH = 35.0
_LONGEST_FLASH = 3
# Grids of one scene differ less, in levels, or correlate more; below the spread a grid shows nothing to correlate.
_SAME = 16.0
_SAME_SHAPE = 0.8
_SPREAD = 4.0
# A scene has changed below the first correlation, and is at rest above the second with itself shortly before.
_CHANGED = 0.5
_AT_REST = 0.9
_LAG = 5
_REST_SECONDS = 0.5
# Distance of a chroma sample from grey, in the unit of [-0.5, 0.5], from which it is a colour.
_COLOR = 0.04
# A frame to paint is as light as its scene within so many levels, and about as sharp.
_TYPICAL = 12.0
_SHARP = 0.8

Grid = Float[np.ndarray, "gh gw"]


class ContentFinder:
    """Looks at every frame, small and in grey, and keeps two numbers of each.

    Args:
        rate: frames per second.
    """

    def __init__(self, rate: Fraction) -> None:
        self.lightness: list[float] = []
        self.sharpness: list[float] = []
        self.flashes: list[int] = []
        self.changes: list[int] = []
        self.colorful = 0.0
        self._clear: tuple[float, Grid] | None = None
        self._pending: list[tuple[int, float, Grid]] = []
        self._scene = _Scene(max(_LAG + 1, round(float(rate) * _REST_SECONDS)))

    def add(self, frame: Frame, coding: YuvCoding) -> None:
        """Look at the next frame.

        Args:
            frame: the frame.
            coding: what its codes mean.
        """
        step = max(1, frame.luma.shape[1] // _WIDTH)
        grey = grey_image(frame.luma[::step, ::step], coding)
        grid = np.asarray(Image.fromarray(grey).resize(_GRID, Image.Resampling.BOX), np.float64)
        self.lightness.append(round(float(grey.mean()), 1))
        self.sharpness.append(round(_laplacian(grey), 2))
        self.colorful = max(self.colorful, _color_share(frame, coding))
        self._look_for_flash(len(self.lightness) - 1, self.lightness[-1], grid)

    def _look_for_flash(self, index: int, mean: float, grid: Grid) -> None:
        if self._clear is None or abs(mean - self._clear[0]) <= _FLASH:
            if self._clear is not None and self._pending and _same(grid, self._clear[1]):
                self.flashes += [number for number, _, _ in self._pending]
            else:
                self._settle(self._pending)
            self._pending = []
            self._settle([(index, mean, grid)])
        else:
            self._pending.append((index, mean, grid))
            if len(self._pending) > _LONGEST_FLASH:
                self._settle(self._pending)
                self._pending = []

    def _settle(self, frames: Iterable[tuple[int, float, Grid]]) -> None:
        """These are no flash."""
        for index, mean, grid in frames:
            self._clear = mean, grid
            ago = self._scene.add(grid)
            if ago is not None:
                self.changes.append(index - ago)


class _Scene:
    """Tells when what is shown is no longer what it was at the scene's beginning; fades alone change nothing.

    Args:
        patience: most frames to wait for a change to come to rest.
    """

    def __init__(self, patience: int) -> None:
        self._patience = patience
        self._grid: Grid | None = None
        self._last: list[Grid] = []
        self._waited = 0

    def add(self, grid: Grid) -> int | None:
        """Look at the next frame.

        Returns:
            How many frames ago the scene changed, once the change has come to rest: half as long as it took.
        """
        if grid.std() < _SPREAD:
            return None
        self._last = [*self._last[-_LAG:], grid]
        if self._grid is None:
            self._grid = grid
        elif self._waited:
            # Until a dissolve has come to rest the new scene is not known.
            self._grid = grid
            self._waited += 1
            at_rest = self._waited > _LAG and _alike(grid, self._last[0]) > _AT_REST
            if at_rest or self._waited > self._patience:
                ago, self._waited = self._waited // 2, 0
                return ago
        elif _alike(grid, self._grid) < _CHANGED:
            self._grid, self._waited = grid, 1
        return None


def clear_frame(
    wanted: int, scene: range, lightness: list[float], sharpness: list[float], flashes: list[int]
) -> int:
    """The frame nearest to one wanted that is no flash, as light as its scene mostly is, and about as sharp.

    Args:
        wanted: its number.
        scene: frames to choose from, `wanted` among them.
        lightness: of all frames of the film.
        sharpness: of all frames.
        flashes: frames that are flashes.

    Returns:
        Its number; `wanted` itself where no frame is better.

    Example:
        >>> clear_frame(2, range(5), [9.0, 9.0, 250.0, 9.0, 9.0], [1.0] * 5, [2])
        1
    """
    clear = [index for index in scene if index not in set(flashes)]
    if not clear:
        return wanted
    light = float(np.median([lightness[index] for index in clear]))
    sharp = float(np.median([sharpness[index] for index in clear]))
    good = [
        index
        for index in clear
        if abs(lightness[index] - light) <= _TYPICAL and sharpness[index] >= _SHARP * sharp
    ]
    return min(good or [wanted], key=lambda index: abs(index - wanted))


def _laplacian(grey: UInt8[np.ndarray, "h w"]) -> float:
    """Standard deviation of the Laplacian."""
    if min(grey.shape) < 3:
        return 0.0
    g = grey.astype(np.int32)
    inner = 4 * g[1:-1, 1:-1] - g[:-2, 1:-1] - g[2:, 1:-1] - g[1:-1, :-2] - g[1:-1, 2:]
    return float(inner.std())


def _alike(one: Grid, other: Grid) -> float:
    """Correlation."""
    if min(one.std(), other.std()) < 1e-6:
        return 1.0
    return float(((one - one.mean()) * (other - other.mean())).mean() / (one.std() * other.std()))


def _same(one: Grid, other: Grid) -> bool:
    if float(np.sqrt(((one - other) ** 2).mean())) < _SAME:
        return True
    return min(one.std(), other.std()) >= _SPREAD and _alike(one, other) > _SAME_SHAPE


def _color_share(frame: Frame, coding: YuvCoding) -> float:
    """Share of the picture that has colour."""
    if frame.rgb is not None:
        step = max(1, frame.rgb.shape[2] // _WIDTH)
        codes = frame.rgb.numpy()[:, ::step, ::step]
        rgb = codes.astype(np.float64) / np.iinfo(codes.dtype).max
        luma = np.tensordot((0.2126, 0.7152, 0.0722), rgb, 1)
        chroma = np.stack((rgb[2] - luma, rgb[0] - luma)) / 1.8
    elif frame.decoded is not None and len(frame.decoded.planes) >= 3:
        step = max(1, frame.decoded.planes[1].width // _WIDTH)
        planes: Integer[np.ndarray, "2 h w"] = np.stack(
            [plane(frame.decoded, number)[::step, ::step] for number in (1, 2)]
        )
        chroma = (planes.astype(np.float64) - (1 << (coding.bits - 1))) / (1 << coding.bits)
    else:
        return 0.0
    return float((np.abs(chroma).max(axis=0) > _COLOR).mean())
