"""The metrics log of a run, `metrics.jsonl`: written line by line, read back after any kill."""

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ca_trainer.errors import TrainerError


class MetricsLog:
    """`metrics.jsonl`: one JSON object a line, `{"event": "step" | "validation", "step": N, ...}`, N from 1.

    Args:
        path: the file; lines after step `keep_until` are dropped, since a resumed run writes them again.
        keep_until: the step of the checkpoint that the run continues from.

    Attributes:
        losses: of all steps from 1 on.
        checks: the validation entries.
    """

    def __init__(self, path: Path, keep_until: int) -> None:
        self.losses = array("d")
        self.checks: list[dict[str, Any]] = []
        partial = path.with_name(f".{path.name}.partial")
        partial.unlink(missing_ok=True)
        self._file = partial.open("x", encoding="utf-8")
        for entry in read_metrics(path):
            if entry["step"] <= keep_until:
                self.write(entry)
        partial.replace(path)

    def write(self, entry: Mapping[str, Any]) -> None:
        """Append one entry, at once on disk for whoever looks."""
        if entry["event"] == "step":
            self.losses.append(entry["loss"])
        else:
            self.checks.append(dict(entry))
        self._file.write(json.dumps(entry) + "\n")
        self._file.flush()

    def close(self) -> None:
        """Close the file, flushed through to the disk."""
        os.fsync(self._file.fileno())
        self._file.close()


def read_metrics(path: Path) -> Iterator[dict[str, Any]]:
    """Entries of a metrics log, one by one; a last line that a kill cut short is left out.

    Raises:
        TrainerError: another line is no entry.

    Example:
        >>> list(read_metrics(Path("no-such-file.jsonl")))
        []
    """
    if not path.is_file():
        return
    with path.open("rb") as file:
        number, line = 0, file.readline()
        while line:
            number, following = number + 1, file.readline()
            entry = _entry(line)
            if entry is not None:
                yield entry
            elif following:
                raise TrainerError(
                    f'{path}, line {number}: expected an entry of a run, such as {{"event": "step", "step": 1, '
                    '"loss": 0.1}; the file is damaged or not of a run: move it away'
                )
            line = following


def _entry(line: bytes) -> dict[str, Any] | None:
    """What a line says, or None where it says nothing that a run would write."""
    try:
        entry = json.loads(line)
    except (ValueError, RecursionError):
        return None
    needed = {"step": ("loss",), "validation": ("psnr", "psnr_grey")}
    if not isinstance(entry, dict) or entry.get("event") not in needed or type(entry.get("step")) is not int:
        return None
    figures = [entry.get(name) for name in needed[entry["event"]]]
    return entry if all(type(figure) in (int, float) for figure in figures) else None
