"""Stand-ins until ca_data and ca_model give these."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import torch

from ca_film.errors import FilmError


def write_atomically(path: Path, content: str | bytes | Callable[[Path], object]) -> None:
    temporary = path.with_name(f".{path.name}.partial")
    if callable(content):
        content(temporary)
    else:
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
    with temporary.open("rb+") as file:
        os.fsync(file.fileno())
    temporary.replace(path)


def choose_device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.empty(1, device=device).add_(1.0).cpu()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise FilmError(f"--device '{name}' is unknown or not there; use auto, cpu or cuda") from error
    return device
