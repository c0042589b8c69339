"""Decoded clips kept for the next epoch: in memory, or as memory-mapped files that all workers share."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from ca_data.files import write_atomically
from ca_data.frames import Clip
from ca_data.resize import resize

__all__ = ["ClipCache"]


class ClipCache:
    """Reads frames of many clips, decoding each clip at most once where a cache is kept.

    Args:
        clips: the clips.
        cache: "memory" (each process keeps what it has decoded; `preload` before workers are forked shares
            it), "none" (decode anew each time), or a folder for memory-mapped files, which all processes
            share and the next run finds again. A changed clip gets a new file.
        size: height and width the frames are resized to (see `resize`), or None to keep their own.

    Raises:
        ValueError: if `cache` is another word than these two.

    Example:
        >>> from ca_data import SyntheticClip
        >>> store = ClipCache([SyntheticClip(1, frames=3, size=(32, 48))], "memory")
        >>> store.read(0, [2, 0]).shape
        torch.Size([2, 3, 32, 48])
    """

    def __init__(
        self, clips: Sequence[Clip], cache: str | Path = "memory", size: tuple[int, int] | None = None
    ) -> None:
        if isinstance(cache, str) and cache not in ("memory", "none"):
            raise ValueError(f'cache must be "memory", "none" or a pathlib.Path to a folder, got {cache!r}')
        self.clips = list(clips)
        self.cache = cache
        self.size = size
        self._decoded: dict[int, Tensor] = {}
        self._mapped: dict[int, np.ndarray[Any, Any]] = {}

    def __getstate__(self) -> dict[str, Any]:
        # A memory map would be pickled as a copy of the whole clip; a worker opens its own.
        return {**self.__dict__, "_mapped": {}}

    def read(self, clip: int, frames: Sequence[int]) -> UInt8[Tensor, "t 3 h w"]:
        """Frames of one clip.

        Args:
            clip: number of the clip.
            frames: numbers of the frames.

        Returns:
            `t 3 h w` uint8, a copy.

        Raises:
            ValueError: if the clip cannot be decoded.
        """
        if self.cache == "none":
            return self._resized(self.clips[clip].read(frames))
        if self.cache == "memory":
            return self._in_memory(clip)[list(frames)]
        return torch.from_numpy(self._map(clip)[list(frames)])

    def preload(self) -> None:
        """Decode every clip now, so that workers forked later share it. Does nothing without a cache."""
        for clip in range(len(self.clips)):
            if self.cache == "memory":
                self._in_memory(clip)
            elif self.cache != "none":
                self._map(clip)

    def _in_memory(self, clip: int) -> Tensor:
        if clip not in self._decoded:
            self._decoded[clip] = self._resized(self.clips[clip].read())
        return self._decoded[clip]

    def _map(self, clip: int) -> np.ndarray[Any, Any]:
        if clip not in self._mapped:
            path = self._file(clip)
            if not path.is_file():
                path.parent.mkdir(parents=True, exist_ok=True)
                array = self._resized(self.clips[clip].read()).numpy()
                write_atomically(path, partial(_save, array=array))
            self._mapped[clip] = np.load(path, mmap_mode="r")
        return self._mapped[clip]

    def _file(self, clip: int) -> Path:
        source = self.clips[clip]
        digest = hashlib.sha256(f"{source.signature} {self.size}".encode()).hexdigest()[:16]
        return Path(self.cache) / f"{re.sub(r'[^A-Za-z0-9._-]+', '-', source.name)[:80]}-{digest}.npy"

    def _resized(self, frames: Tensor) -> Tensor:
        return frames if self.size is None else resize(frames, self.size)


def _save(path: Path, array: np.ndarray[Any, Any]) -> None:
    with path.open("wb") as file:  # given a name, np.save would append .npy to it
        np.save(file, array)
