"""Reference stills: the colour images a film takes its colours from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import UInt8
from torch import Tensor

from ca_data.images import IMAGE_SUFFIXES, natural_order, read_image

__all__ = ["ReferenceStill", "load_references"]

_FRAME_NUMBER = re.compile(r"_(\d{6,})$")


@dataclass(frozen=True)
class ReferenceStill:
    """One reference still.

    Args:
        path: where it came from.
        image: `3 h w` uint8 sRGB, of any size.
        frame: number of the film's frame it belongs to, from 0, or None when the name does not say.
    """

    path: Path
    image: UInt8[Tensor, "3 h w"]
    frame: int | None


def load_references(paths: str | Path | Iterable[str | Path]) -> list[ReferenceStill]:
    """Load reference stills from files and folders.

    A name whose stem ends in an underscore and six or more digits belongs to that frame: `name_000040.png` is
    frame 40. Any other name (also `0000874_out.png`, whose number stands at the front: such numbers count
    frames of some longer film at least as often as of the one at hand) gives `frame=None`.

    Args:
        paths: one path or several; a folder stands for every image directly in it, in natural order. A file
            named twice is taken once.

    Returns:
        The stills, in the order given.

    Raises:
        ValueError: if nothing is given, a path is missing, a folder holds no images, or an image cannot be
            read (see `read_image`).

    Example:
        >>> import tempfile, torch
        >>> from ca_data import write_frames
        >>> folder = write_frames(torch.zeros(1, 3, 4, 6, dtype=torch.uint8), tempfile.mkdtemp())
        >>> _ = (folder / "00000.png").rename(folder / "shot_000040.png")
        >>> [(still.path.name, still.frame) for still in load_references(folder)]
        [('shot_000040.png', 40)]
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise ValueError("references must name at least one file or folder, got none; give a still in colour")
    files: dict[Path, Path] = {}
    for path in map(Path, given):
        for file in _images_in(path) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), file)
    return [ReferenceStill(file, read_image(file), _frame_number(file)) for file in files.values()]


def _images_in(folder: Path) -> list[Path]:
    found = [p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES and not p.name.startswith(".")]
    if not found:
        raise ValueError(
            f"reference folder {folder} holds no images, expected files ending in "
            f"{', '.join(IMAGE_SUFFIXES)}; check the path"
        )
    return sorted(found, key=natural_order)


def _frame_number(file: Path) -> int | None:
    match = _FRAME_NUMBER.search(file.stem)
    return int(match.group(1)) if match else None
