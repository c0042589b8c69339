"""Kept colours: what the network said about a stretch, in a file named by everything it depends on.

Nothing is ever out of date: a changed still gives another name, and a change taken back finds the old file again.
"""

from __future__ import annotations

import hashlib
import json
import secrets
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8, UInt16
from torch import Tensor

from ca_film.project.model import Still
from ca_film.project.stretches import Stretch

__all__ = ["GrowingColors", "KeptColors", "StretchColors", "checksum", "from_codes", "to_codes"]

_KIND = "ca-film stretch 2"
_MOST_BYTES = 40 << 30
_FORGOTTEN = 86400.0


def to_codes(lightness: Float[Tensor, "1 h w"]) -> UInt16[np.ndarray, "1 h w"]:
    """Lightness in [-1, 1] as 16-bit codes: half the memory, and 300 times finer than 8 bits."""
    return ((lightness.clamp(-1.0, 1.0) + 1.0) * 32767.5).round().to(torch.int32).numpy().astype(np.uint16)


def from_codes(codes: UInt16[np.ndarray, "1 h w"]) -> Float[Tensor, "1 h w"]:
    """Lightness of codes.

    Example:
        >>> from_codes(to_codes(torch.tensor([[[-1.0, 1.0]]]))).tolist()
        [[[-1.0, 1.0]]]
    """
    return torch.from_numpy(codes.astype(np.float32)) / 32767.5 - 1.0


def checksum(codes: UInt16[np.ndarray, "1 h w"]) -> int:
    """Sum that tells whether the network saw the same frame."""
    return zlib.crc32(np.ascontiguousarray(codes).tobytes())


class StretchColors:
    """Colours of a stretch, read frame by frame from its file.

    Args:
        records: one record a frame, ascending.
        stretch: whose they are.
    """

    def __init__(self, records: np.ndarray, stretch: Stretch) -> None:
        self.stretch = stretch
        self._records = records

    def has(self, index: int) -> bool:
        """Whether a frame is made: always, once the stretch is finished."""
        return bool(self._records["made"][index - self.stretch.frames.start])

    def ab(self, index: int) -> Float[Tensor, "2 h w"]:
        """ab/110 of a frame."""
        return torch.from_numpy(self._records["ab"][index - self.stretch.frames.start].astype(np.float32))

    def confidence(self, index: int) -> Float[Tensor, "1 h w"]:
        """Confidence of a frame, in [0, 1]."""
        codes = self._records["confidence"][index - self.stretch.frames.start]
        return torch.from_numpy(codes.astype(np.float32))[None] / 255.0

    def seen(self, index: int) -> int:
        """Checksum of what the network saw of a frame."""
        return int(self._records["seen"][index - self.stretch.frames.start])

    def covered(self) -> UInt8[np.ndarray, " t"]:
        """Mean confidence of every frame, 255 for 1."""
        return np.array(self._records["covered"])


class GrowingColors(StretchColors):
    """Colours of a stretch in work, on disk, so that a long one takes no memory; read as they come.

    Args:
        final: name of the file once it is finished.
        stretch: whose they are.
        size: height and width at which the network sees the film.
    """

    def __init__(self, final: Path, stretch: Stretch, size: tuple[int, int]) -> None:
        self._final = final
        # Two may make the same at a time: the page, an export, another process.
        self._path = final.with_name(f"{final.stem}.{secrets.token_hex(4)}.growing")
        records = np.lib.format.open_memmap(self._path, "w+", _records(size), (len(stretch.frames),))
        super().__init__(records, stretch)

    def put(self, index: int, ab: Tensor, confidence: Tensor, seen: int) -> None:
        """Add a frame: `2 h w` ab/110, `1 h w` confidence in [0, 1], and the checksum of what was seen."""
        record = self._records[index - self.stretch.frames.start]
        codes = (confidence[0] * 255.0).round().clamp(0, 255).byte()
        record["ab"], record["confidence"] = ab.half().numpy(), codes.numpy()
        record["seen"], record["covered"] = seen, round(float(codes.float().mean()))
        record["made"] = 1

    def finish(self) -> None:
        """Flush it to the disk and give it its name."""
        assert isinstance(self._records, np.memmap)
        self._records.flush()
        self._path.replace(self._final)

    def abandon(self) -> None:
        """Remove it, if it is not finished."""
        self._path.unlink(missing_ok=True)


def _records(size: tuple[int, int]) -> np.dtype:
    return np.dtype(
        [
            ("made", "u1"),
            ("covered", "u1"),
            ("seen", "<u4"),
            ("confidence", "u1", size),
            ("ab", "<f2", (2, *size)),
        ]
    )


class KeptColors:
    """A folder of finished stretches.

    Args:
        folder: where they lie.
        fixed: named texts that all stretches depend on: film, weights, sizes.
        stills: folder that the stills' file names start from.

    Attributes:
        flashes: frames in whose place the network sees the one before; they count in the names.
    """

    def __init__(self, folder: Path, fixed: dict[str, str], stills: Path) -> None:
        self.folder = folder
        self._fixed, self._stills = fixed, stills
        self.flashes: frozenset[int] = frozenset()
        self._digests: dict[tuple[str, int, int], str] = {}

    def name(self, stretch: Stretch) -> str:
        """Name of a stretch's file: a digest of everything it depends on."""
        depends = {
            **self._fixed,
            "kind": _KIND,
            "frames": [stretch.frames.start, stretch.frames.stop, stretch.backward],
            "anchor": stretch.anchor and stretch.anchor.frame,
            "flashes": sorted(frame for frame in self.flashes if frame in stretch.frames),
            "stills": [(self.digest(still), still.frame) for still in stretch.stills],
        }
        return hashlib.sha256(json.dumps(depends, sort_keys=True).encode()).hexdigest()[:32]

    def digest(self, still: Still) -> str:
        """Digest of a still's file; read again only where the file changed."""
        path = self._stills / still.file
        stat = path.stat()
        key = (still.file, stat.st_mtime_ns, stat.st_size)
        if key not in self._digests:
            self._digests[key] = hashlib.sha256(path.read_bytes()).hexdigest()
        return self._digests[key]

    def get(self, stretch: Stretch) -> StretchColors | None:
        """A finished stretch; None where it is not, or its file is damaged."""
        path = self._path(stretch)
        try:
            records = np.load(path, mmap_mode="r")
        except (OSError, ValueError):
            return None
        return StretchColors(records, stretch) if records.shape == (len(stretch.frames),) else None

    def has(self, stretch: Stretch) -> bool:
        """Whether a stretch is finished."""
        return self._path(stretch).is_file()

    def grow(self, stretch: Stretch, size: tuple[int, int]) -> GrowingColors:
        """Begin a stretch."""
        return GrowingColors(self._path(stretch), stretch, size)

    def drop(self, stretch: Stretch) -> None:
        """Forget a stretch."""
        self._path(stretch).unlink(missing_ok=True)

    def tidy(self, wanted: Sequence[Stretch], most: int = _MOST_BYTES) -> None:
        """Remove what no wanted stretch needs, oldest first, until no more than `most` bytes are kept.

        What a killed process left unfinished goes as well, once it is a day old.
        """
        for left in self.folder.glob("*.growing"):
            if time.time() - left.stat().st_mtime > _FORGOTTEN:
                left.unlink(missing_ok=True)
        names = {self.name(stretch) for stretch in wanted}
        files = sorted(self.folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if total <= most:
                return
            if file.stem not in names:
                total -= file.stat().st_size
                file.unlink()

    def _path(self, stretch: Stretch) -> Path:
        return self.folder / f"{self.name(stretch)}.npy"
