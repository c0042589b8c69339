"""Folders of frames: finding them, pairing prediction with truth, and reading them in pieces."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import UInt8
from PIL import Image, UnidentifiedImageError
from torch import Tensor

_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff"}
_EIGHT_BIT = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr"}
_FRAMES_PER_PIECE = 16


@dataclass(frozen=True)
class ClipFolders:
    """The frames of one clip, predicted and true, matched by their order.

    Attributes:
        name: the clip's name: its folder's.
        pred: predicted frames in order.
        true: true frames in order, as many.
    """

    name: str
    pred: tuple[Path, ...]
    true: tuple[Path, ...]

    def pieces(self) -> Iterator[tuple[UInt8[Tensor, "t 3 h w"], UInt8[Tensor, "t 3 h w"]]]:
        """Read the clip, a few frames at a time.

        Yields:
            predicted and true frames, uint8.

        Raises:
            ValueError: a file is no 8-bit image, or has another size than the clip's first true frame.
        """
        size: tuple[int, ...] | None = None
        for first in range(0, len(self.true), _FRAMES_PER_PIECE):
            both = []
            for paths in (self.true, self.pred):
                frames = []
                for path in paths[first : first + _FRAMES_PER_PIECE]:
                    frame = read_frame(path)
                    size = size or tuple(frame.shape[1:])
                    if tuple(frame.shape[1:]) != size:
                        raise ValueError(
                            f"{path}: expected {size[1]} x {size[0]} pixels as {self.true[0]}, got "
                            f"{frame.shape[2]} x {frame.shape[1]}; metrics neither crop nor resize"
                        )
                    frames.append(frame)
                both.append(torch.stack(frames))
            yield both[1], both[0]


def match_clips(pred: Path, true: Path) -> list[ClipFolders]:
    """Pair two folders of frames, or two folders of clips.

    Args:
        pred: a folder of frames, or of folders of frames.
        true: the same; clips are matched by name, frames by their order (numbers in names count as numbers).

    Returns:
        One entry a clip, sorted by name.

    Raises:
        ValueError: a folder is missing or empty, the clips' names differ, or a clip's frame counts do.
    """
    pred_clips, true_clips = _find_clips(pred), _find_clips(true)
    if None in pred_clips and None in true_clips:
        clips = [ClipFolders(pred.resolve().name, pred_clips[None], true_clips[None])]
    elif None in pred_clips or None in true_clips:
        frames, folders = (pred, true) if None in pred_clips else (true, pred)
        raise ValueError(
            f"expected two folders of frames or two of clips, got frames in {frames} and clips in {folders}"
        )
    else:
        if odd := sorted(str(name) for name in pred_clips.keys() ^ true_clips.keys()):
            holder, other = (pred, true) if odd[0] in pred_clips else (true, pred)
            raise ValueError(
                f"expected the same clips in both folders, but {odd[0]} is in {holder} and not in {other}"
            )
        clips = [ClipFolders(str(name), pred_clips[name], true_clips[name]) for name in true_clips]
    for clip in clips:
        if len(clip.pred) != len(clip.true):
            raise ValueError(
                f"{clip.name}: expected as many predicted as true frames, got {len(clip.pred)} in "
                f"{clip.pred[0].parent} and {len(clip.true)} in {clip.true[0].parent}"
            )
    return clips


def read_frame(path: Path) -> UInt8[Tensor, "3 h w"]:
    """Read an 8-bit image as RGB.

    Args:
        path: an image that Pillow reads.

    Returns:
        "3 h w" in 0..255.

    Raises:
        ValueError: the file is no image, is damaged, or has more than 8 bits.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in _EIGHT_BIT:
                raise ValueError(
                    f"{path}: expected an 8-bit image, got mode {image.mode}; convert it to 8-bit RGB"
                )
            rgb = image.convert("RGB")
    except UnidentifiedImageError as error:
        raise ValueError(f"{path}: expected an image, got a file that is none") from error
    except (OSError, SyntaxError) as error:  # Pillow's word for a damaged PNG is SyntaxError
        raise ValueError(f"{path}: expected an image, got a damaged file ({error})") from error
    pixels = torch.frombuffer(bytearray(rgb.tobytes()), dtype=torch.uint8)
    return pixels.view(rgb.height, rgb.width, 3).permute(2, 0, 1)


def _find_clips(root: Path) -> dict[str | None, tuple[Path, ...]]:
    """Frames by the clip's name; the only key is None where the folder itself holds frames."""
    if not root.is_dir():
        raise ValueError(
            f"{root}: expected a folder of frames, got {'a file' if root.exists() else 'nothing'}"
        )
    if frames := _frames(root):
        return {None: frames}
    folders = sorted((path for path in root.iterdir() if path.is_dir()), key=lambda path: path.name)
    clips: dict[str | None, tuple[Path, ...]] = {
        path.name: found for path in folders if (found := _frames(path))
    }
    if not clips:
        raise ValueError(
            f"{root}: expected images ({' '.join(sorted(_SUFFIXES))}) or folders of images, got none"
        )
    return clips


def _frames(folder: Path) -> tuple[Path, ...]:
    found = [
        p
        for p in folder.iterdir()
        if p.suffix.lower() in _SUFFIXES and not p.name.startswith(".") and p.is_file()
    ]
    return tuple(sorted(found, key=_natural))


def _natural(path: Path) -> list[tuple[int, str]]:
    # frame_2 before frame_10: the order in time, on which CDC depends, whether or not the numbers are padded
    # with zeros.
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", path.name)]
