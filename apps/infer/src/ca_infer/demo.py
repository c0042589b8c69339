"""The embedded demonstration: a synthetic clip made grey, and its first frame as reference."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from ca_data import VideoReader, lab_to_rgb, rgb_to_lab, synthetic_clip, to_uint8, write_frames
from ca_film import ColorizeOptions, Progress, Result, colorize
from ca_metrics import psnr
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

__all__ = ["fresh_folder", "run_demo"]

_SEED = 7
_SHOWN = 4


def run_demo(
    root: Path,
    weights: str | None = None,
    progress: Progress | None = None,
    *,
    frames: int = 32,
    size: tuple[int, int] = (224, 384),
) -> tuple[Result, Path, float]:
    """Colourise the embedded clip into a fresh folder.

    Args:
        root: folder under which a new one is made.
        weights: as for any film.
        progress: is told how far the work is.
        frames: length of the clip.
        size: its height and width.

    Returns:
        The result, the side-by-side image (grey, colourised, true, over time), and how many decibels
        closer to the true clip the colours have brought it (PSNR).
    """
    folder = fresh_folder(root)
    true = synthetic_clip(_SEED, frames, size)
    grey = make_grey(true)
    write_frames(grey, folder / "grey")
    reference = folder / "reference.png"
    _save(true[0], reference)
    options = ColorizeOptions(references=reference, weights=weights, cuts=())
    result = colorize(folder / "grey", folder / "colorized.mp4", options, progress)
    shades = [frame.decoded.to_ndarray(format="rgb24") for frame in VideoReader(result.out)]
    colored = torch.from_numpy(np.stack(shades)).permute(0, 3, 1, 2)
    shown = [round(i * (frames - 1) / (_SHOWN - 1)) for i in range(_SHOWN)]
    sheet = folder / "side-by-side.png"
    rows = torch.cat((grey, colored, true), dim=3)[shown]
    _save(torch.cat(tuple(rows), dim=1), sheet)
    # The first frame is the reference itself, so it does not count.
    gain = (psnr(colored[1:], true[1:]) - psnr(grey[1:], true[1:])).mean()
    return result, sheet, float(gain)


def _save(image: UInt8[Tensor, "3 h w"], path: Path) -> None:
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)


def make_grey(clip: UInt8[Tensor, "t 3 h w"]) -> UInt8[Tensor, "t 3 h w"]:
    """Keep L, drop a and b.

    Example:
        >>> make_grey(torch.full((1, 3, 1, 1), 9, dtype=torch.uint8)).flatten().tolist()
        [9, 9, 9]
    """
    lab = rgb_to_lab(clip)
    lab[:, 1:] = 0.0
    return to_uint8(lab_to_rgb(lab))


def fresh_folder(root: Path) -> Path:
    """Make `root`, or `root-2`, `root-3`, ... whichever is free: nothing is ever overwritten.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp()) / "demo"
        >>> fresh_folder(root).name, fresh_folder(root).name
        ('demo', 'demo-2')
    """
    number = 1
    while True:
        folder = root if number == 1 else root.with_name(f"{root.name}-{number}")
        try:
            folder.mkdir(parents=True)
        except FileExistsError:
            number += 1
        else:
            return folder
