"""Clips as folders of numbered frames (DAVIS layout): reading, listing, writing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Protocol

import torch
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from ca_data.images import natural_order, read_image

__all__ = ["Clip", "FrameFolder", "list_clips", "write_frames"]

_FRAME_SUFFIXES = (".jpg", ".jpeg", ".png")


class Clip(Protocol):
    """Interface of a clip: a name, a length, and frames by number."""

    @property
    def name(self) -> str:
        """Name for people, unique within a data set."""

    @property
    def signature(self) -> str:
        """Text that changes whenever the frames may have changed: the key of a cache."""

    def __len__(self) -> int:
        """Number of frames."""

    def read(self, indices: Iterable[int] | None = None) -> UInt8[Tensor, "t 3 h w"]:
        """Frames by number, all of them when `indices` is None."""


class FrameFolder:
    """A clip kept as a folder of jpg or png files, in the natural order of their names.

    Args:
        path: the folder.

    Raises:
        ValueError: if the folder does not exist or holds no frames.

    Example:
        >>> import tempfile
        >>> folder = write_frames(torch.zeros(2, 3, 4, 6, dtype=torch.uint8), tempfile.mkdtemp())
        >>> clip = FrameFolder(folder)
        >>> len(clip), clip.size, clip.read([1]).shape
        (2, (4, 6), torch.Size([1, 3, 4, 6]))
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.files = _frame_files(self.path)
        if not self.files:
            raise ValueError(
                f"frame folder {self.path} holds no frames, expected files ending in "
                f"{', '.join(_FRAME_SUFFIXES)}; check the path"
            )

    def __repr__(self) -> str:
        return f"FrameFolder({str(self.path)!r}, {len(self)} frames)"

    def __len__(self) -> int:
        return len(self.files)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self.path.resolve().name

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, of the first frame (`check_sizes` holds the others against it)."""
        return _shown_size(self.files[0])

    @property
    def signature(self) -> str:
        """Path, file names, sizes and times of change, as text."""
        stats = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in self.files]
        return f"{self.path.resolve()} {stats}"

    def check_sizes(self) -> None:
        """Hold every frame's size against the first, reading headers only.

        Raises:
            ValueError: naming the first two files that differ, and their sizes.
        """
        first = self.size
        for file in self.files[1:]:
            _same_size(self.files[0], first, file, _shown_size(file))

    def read(self, indices: Iterable[int] | None = None) -> UInt8[Tensor, "t 3 h w"]:
        """Decode frames.

        Args:
            indices: frame numbers from 0, in any order, repeats allowed; negative ones count from the end.
                All frames when None.

        Returns:
            `t 3 h w` uint8 sRGB.

        Raises:
            ValueError: if a number is out of range, a file cannot be read, or sizes differ.
        """
        chosen = range(len(self)) if indices is None else list(indices)
        if not chosen:
            raise ValueError(
                f"indices must name at least one of the {len(self)} frames of {self.path}, got none"
            )
        frames: list[Tensor] = []
        for index in chosen:
            if not -len(self) <= index < len(self):
                raise ValueError(
                    f"frame {index} of {self.path} does not exist, expected 0..{len(self) - 1}; check it"
                )
            frame = read_image(self.files[index])
            if frames:
                first = (frames[0].shape[1], frames[0].shape[2])
                _same_size(self.files[chosen[0]], first, self.files[index], (frame.shape[1], frame.shape[2]))
            frames.append(frame)
        return torch.stack(frames)


def list_clips(root: str | Path) -> list[FrameFolder]:
    """List the clips below a folder in DAVIS layout, `root/<clip>/00000.jpg`.

    Args:
        root: the folder. One that holds frames itself is one clip.

    Returns:
        The clips in natural order of their names.

    Raises:
        ValueError: if the folder does not exist or holds no clips.

    Example:
        >>> import tempfile
        >>> root = Path(tempfile.mkdtemp())
        >>> _ = write_frames(torch.zeros(2, 3, 4, 6, dtype=torch.uint8), root / "swan")
        >>> list_clips(root)[0].name
        'swan'
    """
    root = Path(root)
    if _frame_files(root):
        return [FrameFolder(root)]
    folders = sorted(
        (p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")), key=natural_order
    )
    clips = [FrameFolder(folder) for folder in folders if _frame_files(folder)]
    if not clips:
        raise ValueError(
            f"folder {root} holds no clips, expected frames ({', '.join(_FRAME_SUFFIXES)}) in it or in "
            f"folders one level below; check the path"
        )
    return clips


def write_frames(
    frames: UInt8[Tensor, "t 3 h w"] | Iterable[UInt8[Tensor, "3 h w"]], folder: str | Path, *, start: int = 0
) -> Path:
    """Write frames as 8-bit PNG files named 00000.png, 00001.png, ...

    Args:
        frames: uint8 sRGB `t 3 h w`, or any iterable of `3 h w` (written as it comes, so it may be endless).
        folder: made where it is missing; files of the same name are replaced.
        start: number of the first frame.

    Returns:
        The folder.

    Raises:
        ValueError: if a frame is not uint8 `3 h w`.

    Example:
        >>> import tempfile
        >>> folder = write_frames(torch.zeros(1, 3, 4, 6, dtype=torch.uint8), tempfile.mkdtemp(), start=7)
        >>> [file.name for file in folder.iterdir()]
        ['00007.png']
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames, start=start):
        if frame.dtype != torch.uint8 or frame.ndim != 3 or frame.shape[0] != 3:
            raise ValueError(
                f"frames must be uint8 of shape (3, h, w), got {frame.dtype} {tuple(frame.shape)} at frame "
                f"{number}; use to_uint8"
            )
        image = Image.fromarray(frame.permute(1, 2, 0).contiguous().cpu().numpy())
        image.save(folder / f"{number:05d}.png", compress_level=3)
    return folder


def _frame_files(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise ValueError(f"folder {folder} does not exist (or is no folder); check the path")
    # Names that begin with a dot are not the user's: macOS leaves such files on shared disks.
    files = (
        p for p in folder.iterdir() if p.suffix.lower() in _FRAME_SUFFIXES and not p.name.startswith(".")
    )
    return sorted((p for p in files if p.is_file()), key=natural_order)


def _shown_size(file: Path) -> tuple[int, int]:
    """Height and width as `read_image` gives them (EXIF rotation applied), from the header alone."""
    try:
        with Image.open(file) as image:
            width, height = image.size
            turned = image.getexif().get(0x0112, 1) in (5, 6, 7, 8)
    except (OSError, SyntaxError, Image.DecompressionBombError) as error:
        raise ValueError(f"frame {file} is not an image in a known format; convert it to PNG") from error
    return (width, height) if turned else (height, width)


def _same_size(first: Path, first_size: Sequence[int], other: Path, other_size: Sequence[int]) -> None:
    if tuple(first_size) != tuple(other_size):
        raise ValueError(
            f"frames of {first.parent} differ in size: {first.name} is {first_size[1]}x{first_size[0]}, "
            f"{other.name} is {other_size[1]}x{other_size[0]}; bring them to one size"
        )
