"""The studio's state beyond one page: the open desk, the queue, and what may be opened."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path

import torch
from ca_data import synthetic_clip, write_frames
from ca_film import FilmError

from ca_studio.access import Folders
from ca_studio.desk import Desk
from ca_studio.queue import ExportQueue

__all__ = ["FILM_SUFFIXES", "Studio", "demo_film"]

FILM_SUFFIXES = (
    ".mp4",
    ".mkv",
    ".mov",
    ".avi",
    ".webm",
    ".m4v",
    ".mpg",
    ".mpeg",
    ".ts",
    ".mxf",
    ".ogv",
    ".wmv",
    ".nut",
)
_SEED = 7


@dataclass(frozen=True)
class Choices:
    """What the command line says about every film.

    Args:
        size: budget of pixels for the network; None for the project's.
        weights: of the network; None for the project's.
        device: where the network runs.
    """

    size: tuple[int, int] | None = None
    weights: str | None = None
    device: str = "auto"


class Studio:
    """One desk at a time, shared by all tabs.

    Args:
        folders: what may be read and written.
        queue: of exports.
        choices: for every film.
    """

    def __init__(self, folders: Folders, queue: ExportQueue, choices: Choices | None = None) -> None:
        self.folders, self.queue = folders, queue
        self.desk: Desk | None = None
        self.opened = 0
        self._choices = choices or Choices()
        self._lock = threading.Lock()

    def open(self, path: str | Path) -> Desk:
        """Open a film or a project in place of the one that is open; that one stays open if this fails.

        Raises:
            FilmError: if it cannot be opened.
        """
        real = self.folders.check(path)
        with self._lock:
            if self.desk is not None and real in (self.desk.project.film, self.desk.folder.path.resolve()):
                return self.desk
            if not real.exists():
                raise FilmError(f"film {path} does not exist; check the path")
            desk = Desk(real, self._choices.size, self._choices.weights, self._choices.device)
            if not self._inside(desk):
                desk.close()
                raise FilmError(
                    f"project {path} is of a film outside the allowed folders; start with --allow FOLDER"
                )
            before, self.desk = self.desk, desk
            self.opened += 1
        if before is not None:
            before.close()
        return desk

    def close(self) -> None:
        """Stop everything."""
        if self.desk is not None:
            self.desk.close()
        self.queue.close()

    def _inside(self, desk: Desk) -> bool:
        try:
            self.folders.check(desk.project.film)
        except FilmError:
            return False
        return True


def demo_film(root: Path, frames: int = 48, size: tuple[int, int] = (224, 384)) -> Path:
    """Write the embedded film, a synthetic clip made grey, unless it is there.

    Args:
        root: folder for it.
        frames: its length.
        size: its height and width.

    Returns:
        The folder of its frames.
    """
    folder = root / "film"
    if not folder.is_dir():
        clip = synthetic_clip(_SEED, frames, size)
        weights = torch.tensor([0.2126, 0.7152, 0.0722]).reshape(1, 3, 1, 1)
        grey = (clip.float() * weights).sum(dim=1, keepdim=True).round().byte().expand(-1, 3, -1, -1)
        write_frames(grey.contiguous(), folder)
    return folder
