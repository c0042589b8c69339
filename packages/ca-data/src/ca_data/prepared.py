"""Evaluation sets: clips brought to one size once, kept as PNG beside a manifest of checksums.

Frames are resized with `ca_data.resize` (antialiased bicubic, the aspect ratio not kept: 854 x 480 becomes
384 x 224 as in the paper), so that nothing but that one filter stands between source and set.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from ca_data.files import write_atomically
from ca_data.frames import FrameFolder, list_clips, write_frames
from ca_data.images import natural_order
from ca_data.resize import resize

__all__ = [
    "EvaluationSet",
    "PreparedClip",
    "VideoSource",
    "changed_clips",
    "video_sources",
]

RESIZE_FILTER = "antialiased bicubic, a = -0.5 (ca_data.resize)"
_VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".avi", ".webm", ".m4v", ".mpg", ".mpeg", ".wmv", ".ts")
_MANIFEST = "manifest.json"
_FORMAT = 1


class VideoSource:
    """A video file as a clip of an evaluation set.

    Args:
        path: the file.

    Raises:
        ValueError: if there is no such file.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.is_file():
            raise ValueError(f"video {self.path} does not exist (or is no file); check the path")

    @property
    def name(self) -> str:
        """The file's name without its suffix."""
        return self.path.stem


@dataclass(frozen=True)
class PreparedClip:
    """One clip of a set, as the manifest keeps it.

    Args:
        frames: number of frames.
        source_size: width and height before resizing, pixels.
        source_sha256: over the source's files, names and bytes, in order.
        pixels_sha256: over the prepared frames' RGB bytes, in order (whatever PNG compression made of them).
    """

    frames: int
    source_size: tuple[int, int]
    source_sha256: str
    pixels_sha256: str


def video_sources(folder: str | Path) -> list[VideoSource | FrameFolder]:
    """Clips of a folder of videos, such as Videvo as it is downloaded; folders of frames in it count too.

    Args:
        folder: holds video files, folders of frames, or both.

    Returns:
        The clips in natural order of their names.

    Raises:
        ValueError: if there are none, or two share a name.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise ValueError(f"folder {folder} does not exist (or is no folder); check the path")
    files = [
        p for p in folder.iterdir() if p.suffix.lower() in _VIDEO_SUFFIXES and not p.name.startswith(".")
    ]
    found: list[VideoSource | FrameFolder] = [VideoSource(file) for file in files]
    if not files or any(p.is_dir() and not p.name.startswith(".") for p in folder.iterdir()):
        found += list_clips(folder)
    found.sort(key=lambda clip: natural_order(Path(clip.name)))
    names = [clip.name for clip in found]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"folder {folder} holds more than one clip named {', '.join(twice)}; rename one")
    return found


class EvaluationSet:
    """A folder of clips at one size, with a manifest of checksums, made once and found again.

    Args:
        folder: where the set lies, `folder/<clip>/00000.png`.
        size: height and width in pixels.
        dataset: its name in tables, as `DAVIS 2017 val`.

    Raises:
        ValueError: if the folder holds a set of another size or name.

    Example:
        >>> import tempfile, torch
        >>> folder = Path(tempfile.mkdtemp())
        >>> film = FrameFolder(write_frames(torch.zeros(2, 3, 48, 64, dtype=torch.uint8), folder / "film"))
        >>> prepared = EvaluationSet(folder / "set", size=(24, 32), dataset="mine")
        >>> prepared.add(film), prepared.add(film), changed_clips(folder / "set")
        (True, False, [])
    """

    def __init__(self, folder: str | Path, *, size: tuple[int, int], dataset: str) -> None:
        self.folder = Path(folder)
        self.size = size
        self.dataset = dataset
        self.clips: dict[str, PreparedClip] = {}
        if (self.folder / _MANIFEST).is_file():
            self._resume()

    def add(self, source: VideoSource | FrameFolder, *, most_frames: int | None = None) -> bool:
        """Prepare one clip, unless it lies there already, made from the same source.

        Args:
            source: the clip.
            most_frames: leave out what comes after so many frames.

        Returns:
            Whether there was something to do.

        Raises:
            ValueError: if the source cannot be read.
        """
        digest = _source_digest(source, most_frames)
        known = self.clips.get(source.name)
        target = self.folder / source.name
        if known is not None and known.source_sha256 == digest and _holds(target, known.frames):
            return False
        # Written beside and renamed: a folder under its final name is whole.
        partial = self.folder / f".{source.name}.partial"
        shutil.rmtree(partial, ignore_errors=True)
        frames = _source_frames(source, most_frames)
        first = next(frames, None)
        if first is None:
            raise ValueError(f"clip {source.name} holds no frames; leave it out")
        write_frames((resize(frame, self.size) for frame in chain([first], frames)), partial)
        shutil.rmtree(target, ignore_errors=True)
        partial.replace(target)
        done = FrameFolder(target)
        height, width = first.shape[-2:]
        self.clips[source.name] = PreparedClip(len(done), (width, height), digest, _pixels_digest(done))
        self._write()
        return True

    def _resume(self) -> None:
        content = _read_manifest(self.folder)
        found = content["dataset"], tuple(reversed(content["size"]))
        if found != (self.dataset, self.size):
            raise ValueError(
                f"folder {self.folder} holds {found[0]!r} at {found[1][1]}x{found[1][0]}, expected {self.dataset!r} "
                f"at {self.size[1]}x{self.size[0]}; choose another folder"
            )
        for name, clip in content["clips"].items():
            self.clips[name] = PreparedClip(**{**clip, "source_size": tuple(clip["source_size"])})

    def _write(self) -> None:
        content = {
            "format": _FORMAT,
            "dataset": self.dataset,
            "size": list(reversed(self.size)),
            "filter": RESIZE_FILTER,
            "clips": {name: asdict(clip) for name, clip in self.clips.items()},
        }
        text = json.dumps(content, indent=1, ensure_ascii=False) + "\n"
        write_atomically(self.folder / _MANIFEST, text)


def changed_clips(folder: str | Path) -> list[str]:
    """Hold a prepared set against its manifest.

    Args:
        folder: the set.

    Returns:
        Names of clips that are missing or whose pixels are not those of the manifest; empty for an intact set.

    Raises:
        ValueError: if there is no manifest, or it cannot be read.
    """
    clips = _read_manifest(Path(folder))["clips"]
    changed = []
    for name, clip in clips.items():
        path = Path(folder) / name
        if not _holds(path, clip["frames"]) or _pixels_digest(FrameFolder(path)) != clip["pixels_sha256"]:
            changed.append(name)
    return changed


def _source_frames(source: VideoSource | FrameFolder, most: int | None) -> Iterator[UInt8[Tensor, "3 h w"]]:
    if isinstance(source, FrameFolder):
        for number in range(len(source))[:most]:
            yield source.read([number])[0]
        return
    # PyAV is wanted for videos only: preparing DAVIS works without it.
    from ca_data.video_reader import VideoReader

    reader = VideoReader(source.path)
    turns = round(reader.info.rotation / 90) % 4
    for number, frame in enumerate(reader):
        if number == most:
            return
        yield frame.rgb().rot90(turns, (-2, -1))


def _source_digest(source: VideoSource | FrameFolder, most: int | None) -> str:
    files: Sequence[Path] = source.files[:most] if isinstance(source, FrameFolder) else [source.path]
    digest = hashlib.sha256(str(most if isinstance(source, VideoSource) else "").encode())
    for file in files:
        digest.update(file.name.encode() + b"\0")
        with file.open("rb") as content:
            while block := content.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()


def _pixels_digest(clip: FrameFolder) -> str:
    digest = hashlib.sha256()
    for number in range(len(clip)):
        frame = clip.read([number])[0]
        digest.update(
            str(tuple(frame.shape)).encode() + frame.permute(1, 2, 0).contiguous().numpy().tobytes()
        )
    return digest.hexdigest()


def _holds(folder: Path, frames: int) -> bool:
    return folder.is_dir() and sum(file.suffix == ".png" for file in folder.iterdir()) == frames


def _read_manifest(folder: Path) -> dict[str, Any]:
    file = folder / _MANIFEST
    if not file.is_file():
        raise ValueError(f"folder {folder} holds no {_MANIFEST}; prepare the set first")
    try:
        content = json.loads(file.read_text())
    except ValueError as error:
        raise ValueError(f"{file} is not JSON ({error}); delete it and prepare the set again") from error
    if not isinstance(content, dict) or content.get("format") != _FORMAT:
        raise ValueError(f"{file} is no manifest of format {_FORMAT}; prepare the set again")
    return content
