"""Results of one evaluation, ``results.json``, with all that is needed to repeat it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ca_trainer.errors import TrainerError

__all__ = ["FORMAT", "Results", "read_results"]

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
        """Data set, protocol, size and clips, which must agree for two runs to stand in one table."""
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
