"""``results.json``: what one evaluation run found, with all that is needed to repeat it."""

from __future__ import annotations

import json
import math
import os
import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import torch
from ca_data import write_atomically

from ca_trainer.errors import TrainerError
from ca_trainer.provenance import collect_versions, command_line, git_state

__all__ = ["FORMAT", "Results", "environment", "read_results", "write_json"]

FORMAT = 1


@dataclass(frozen=True)
class Results:
    """A run as read from its folder.

    Args:
        folder: where ``results.json`` lies.
        data: its content.
    """

    folder: Path
    data: Mapping[str, Any]

    @property
    def name(self) -> str:
        """The row's name."""
        return str(self.data["name"])

    @property
    def mean(self) -> Mapping[str, float | None]:
        """Means over clips by measure."""
        mean: Mapping[str, float | None] = self.data["mean"]
        return mean

    @property
    def clips(self) -> Mapping[str, Mapping[str, float | None]]:
        """Figures of each clip by measure."""
        clips: Mapping[str, Mapping[str, float | None]] = self.data["clips"]
        return clips

    @property
    def frames(self) -> Mapping[str, Mapping[str, Any]]:
        """For each clip the scored frames' numbers (``frame``) and their figures by measure."""
        frames: Mapping[str, Mapping[str, Any]] = self.data["frames"]
        return frames

    @property
    def setting(self) -> tuple[str, str, str, tuple[str, ...]]:
        """What must agree for two runs to stand in one table: data set, protocol, size and clips."""
        return (
            str(self.data["dataset"]),
            str(self.data["protocol"]),
            str(self.data["size"]),
            tuple(self.clips),
        )


def read_results(folder: Path) -> Results:
    """Read a run folder.

    Args:
        folder: an evaluation's ``--out``, or its ``results.json``.

    Returns:
        The run.

    Raises:
        TrainerError: if there is no such file or it is not one of ours.
    """
    file = folder if folder.suffix == ".json" else folder / "results.json"
    if not file.is_file():
        raise TrainerError(f"results: expected {file}, got no such file; finish that evaluation first")
    try:
        data = json.loads(file.read_text())
    except ValueError as error:
        raise TrainerError(f"results: {file} is not JSON ({error}); run that evaluation again") from error
    if not isinstance(data, dict) or data.get("format") != FORMAT:
        raise TrainerError(
            f"results: {file} is not an evaluation of format {FORMAT}; run that evaluation again"
        )
    return Results(file.parent, data)


def write_json(file: Path, content: Mapping[str, Any]) -> None:
    """Write JSON whole or not at all; figures that are no number become null.

    Args:
        file: replaced if it exists.
        content: strings, numbers, lists and mappings.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(file, json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False) + "\n")


def environment() -> dict[str, Any]:
    """Versions, command and machine of this process, without the names of people or hosts.

    Returns:
        ``versions``, ``git``, ``command`` and ``machine``.

    Example:
        >>> sorted(environment())
        ['command', 'git', 'machine', 'versions']
    """
    return {
        "versions": {**collect_versions(), "opencv": cv2.__version__},
        "git": git_state(),
        "command": command_line(),
        "machine": {
            "system": platform.system(),
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
        },
    }


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _finite(item) for key, item in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_finite(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
