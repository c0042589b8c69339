"""Kept colours: what the network said about a stretch, in a file named by everything it depends on.

Nothing is ever out of date: a changed still gives another name, and a change taken back finds the old file again.
"""

from __future__ import annotations

import hashlib
import json
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, Integer, UInt8, UInt16
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from ca_film._shared import write_atomically
from ca_film.project.model import Still
from ca_film.project.stretches import Stretch

__all__ = ["KeptColors", "StretchColors", "checksum", "from_codes", "to_codes"]

_KIND = "ca-film stretch 1"
_MOST_BYTES = 40 << 30


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
    """Colours of a finished stretch, read frame by frame from its file.

    Args:
        path: the file.
        stretch: whose it is.

    Raises:
        OSError: if it is not there, or not whole.
    """

    def __init__(self, path: Path, stretch: Stretch) -> None:
        self.stretch = stretch
        try:
            self._file = safe_open(str(path), "pt")
            self._ab, self._confidence = self._file.get_slice("ab"), self._file.get_slice("confidence")
            self._seen: Integer[Tensor, " t"] = self._file.get_tensor("seen")
        except SafetensorError as error:
            raise OSError(f"kept colours {path} are damaged ({error})") from error

    def ab(self, index: int) -> Float[Tensor, "2 h w"]:
        """ab/110 of a frame."""
        return self._ab[index - self.stretch.frames.start].float()

    def confidence(self, index: int) -> Float[Tensor, "1 h w"]:
        """Confidence of a frame, in [0, 1]."""
        return self._confidence[index - self.stretch.frames.start][None].float() / 255.0

    def seen(self, index: int) -> int:
        """Checksum of what the network saw of a frame."""
        return int(self._seen[index - self.stretch.frames.start])


class KeptColors:
    """A folder of finished stretches.

    Args:
        folder: where they lie.
        fixed: named texts that all stretches depend on: film, weights, sizes.
        stills: folder that the stills' file names start from.
    """

    def __init__(self, folder: Path, fixed: dict[str, str], stills: Path) -> None:
        self.folder = folder
        self._fixed, self._stills = fixed, stills
        self._digests: dict[tuple[str, int, int], str] = {}

    def name(self, stretch: Stretch) -> str:
        """Name of a stretch's file: a digest of everything it depends on."""
        depends = {
            **self._fixed,
            "kind": _KIND,
            "frames": [stretch.frames.start, stretch.frames.stop, stretch.backward],
            "anchor": stretch.anchor and stretch.anchor.frame,
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
        """A finished stretch; None where it is not, or was changed from outside."""
        path = self._path(stretch)
        try:
            found = StretchColors(path, stretch)
            path.touch()
        except OSError:
            return None
        return found

    def has(self, stretch: Stretch) -> bool:
        """Whether a stretch is finished."""
        return self._path(stretch).is_file()

    def keep(
        self,
        stretch: Stretch,
        ab: Sequence[Float[Tensor, "2 h w"]],
        confidence: Sequence[UInt8[Tensor, "h w"]],
        seen: Sequence[int],
    ) -> None:
        """Keep a finished stretch, its frames ascending."""
        tensors = {
            "ab": torch.stack(list(ab)).half(),
            "confidence": torch.stack(list(confidence)),
            "seen": torch.tensor(list(seen), dtype=torch.int64),
        }
        write_atomically(self._path(stretch), lambda path: save_file(tensors, path))

    def drop(self, stretch: Stretch) -> None:
        """Forget a stretch."""
        self._path(stretch).unlink(missing_ok=True)

    def tidy(self, wanted: Sequence[Stretch], most: int = _MOST_BYTES) -> None:
        """Remove what no wanted stretch needs, longest unused first, until no more than `most` bytes are kept."""
        names = {self.name(stretch) for stretch in wanted}
        files = sorted(self.folder.glob("*.safetensors"), key=lambda file: file.stat().st_mtime)
        total = sum(file.stat().st_size for file in files)
        for file in files:
            if total <= most:
                return
            if file.stem not in names:
                total -= file.stat().st_size
                file.unlink()

    def _path(self, stretch: Stretch) -> Path:
        return self.folder / f"{self.name(stretch)}.safetensors"
