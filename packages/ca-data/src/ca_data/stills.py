"""Reference stills: the colour images a film takes its colours from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from jaxtyping import Bool, UInt8
from torch import Tensor

from ca_data.images import IMAGE_SUFFIXES, natural_order, read_partial_image

__all__ = ["STILL_PIXELS", "ReferenceStill", "list_references", "load_reference", "load_references"]

STILL_PIXELS = 64_000_000
"""Most pixels of a reference still, unless said otherwise: a scan of 8000 x 8000."""
_FRAME_NUMBER = re.compile(r"_(\d{6,})$")


@dataclass(frozen=True)
class ReferenceStill:
    """One reference still.

    Args:
        path: where it came from.
        image: `3 h w` uint8 sRGB, of any size.
        frame: number of the film's frame it belongs to, from 0, or None when the name does not say.
        opaque: `1 h w`, the part of it that counts; None where all of it does.
    """

    path: Path
    image: UInt8[Tensor, "3 h w"]
    frame: int | None
    opaque: Bool[Tensor, "1 h w"] | None = None


def load_references(paths: str | Path | Iterable[str | Path]) -> list[ReferenceStill]:
    """Load reference stills from files and folders.

    A name whose stem ends in an underscore and six or more digits belongs to that frame: `name_000040.png` is
    frame 40. Any other name (also `0000874_out.png`, whose number stands at the front: such numbers count
    frames of some longer film at least as often as of the one at hand) gives `frame=None`. Of a still with
    transparent parts only what is opaque counts (see `read_partial_image`).

    Args:
        paths: one path or several; a folder stands for every image directly in it, in natural order. A file
            named twice is taken once.

    Returns:
        The stills, in the order given.

    Raises:
        ValueError: if nothing is given, a path is missing, a folder holds no images, or an image cannot be
            read, is transparent everywhere or has more than `STILL_PIXELS` pixels.

    Example:
        >>> import tempfile, torch
        >>> from ca_data import write_frames
        >>> folder = write_frames(torch.zeros(1, 3, 4, 6, dtype=torch.uint8), tempfile.mkdtemp())
        >>> _ = (folder / "00000.png").rename(folder / "shot_000040.png")
        >>> [(still.path.name, still.frame) for still in load_references(folder)]
        [('shot_000040.png', 40)]
    """
    return [load_reference(file) for file in list_references(paths)]


def load_reference(path: str | Path, most_pixels: int = STILL_PIXELS) -> ReferenceStill:
    """Load one reference still; see `load_references`.

    Args:
        path: the file.
        most_pixels: width times height above which it is refused by its header, before anything is decoded.

    Returns:
        The still.

    Raises:
        ValueError: as there.
    """
    path = Path(path)
    image, opaque = read_partial_image(path, most_pixels)
    whole = opaque is None or bool(opaque.all())
    return ReferenceStill(path, image, _frame_number(path), None if whole else opaque)


def list_references(paths: str | Path | Iterable[str | Path]) -> list[Path]:
    """Name the files that `load_references` would load, without opening one.

    Args:
        paths: an image or a folder of images, or several of these.

    Returns:
        The files, none twice.

    Raises:
        ValueError: if nothing is given, or a folder holds no images.
    """
    given = [paths] if isinstance(paths, str | Path) else list(paths)
    if not given:
        raise ValueError("references must name at least one file or folder, got none; give a still in colour")
    files: dict[Path, Path] = {}
    for path in map(Path, given):
        for file in _images_in(path) if path.is_dir() else [path]:
            files.setdefault(file.resolve(), file)
    return list(files.values())


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
