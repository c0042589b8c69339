"""The metrics log of a run, `metrics.jsonl`: written line by line, read back after any kill."""

import json
import os
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any


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
        self._file = partial.open("w", encoding="utf-8")
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

    Example:
        >>> list(read_metrics(Path("no-such-file.jsonl")))
        []
    """
    if not path.is_file():
        return
    with path.open(encoding="utf-8") as file:
        for line in file:
            try:
                yield json.loads(line)
            except json.JSONDecodeError:
                return
