"""The folder of unfinished work beside an output, and whether it belongs to the same work."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

from ca_data import write_atomically
from ca_model import RecurrentState
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ca_infer.errors import InferError
from ca_infer.film import Survey

__all__ = ["PartialWork", "file_signature"]

_PROBE_BYTES = 1 << 20


class PartialWork:
    """`OUT.partial/`: segments or stills made so far, what a survey of the film found, and a signature.

    The signature says what the work depends on: input, references, weights and options. Work under another
    signature is thrown away, and `started_afresh` says which part differed. One process at a time may hold it.

    Args:
        out: the output; the folder stands beside it.
        signature: named texts; all must be equal for the work to go on.
        restart: throw earlier work away in any case.

    Raises:
        InferError: another process is making the same output.
        OSError: the folder cannot be written to.
    """

    def __init__(self, out: Path, signature: dict[str, str], *, restart: bool = False) -> None:
        self.folder = out.with_name(out.name + ".partial")
        self.started_afresh: str | None = None
        self._signature = signature
        self._signature_file = self.folder / "signature.json"
        self.folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self.folder / ".lock").open("w")
        try:
            # a record lock ends with the process, even a killed one
            fcntl.lockf(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InferError(
                f"output {out}: another process is making it; wait for it, or choose another output"
            ) from None
        before = self._read()
        if restart or before != signature:
            if before is not None and not restart:
                changed = sorted(
                    name for name in {*before, *signature} if before.get(name) != signature.get(name)
                )
                self.started_afresh = ", ".join(changed)
            for left in self.folder.iterdir():
                if left.is_dir():
                    shutil.rmtree(left)
                elif left.name != ".lock":
                    left.unlink()
        _write(self._signature_file, signature)

    def survey(self) -> Survey | None:
        """What an earlier run found in the film."""
        try:
            return Survey(**json.loads((self.folder / "survey.json").read_text()))
        except (OSError, ValueError, TypeError):
            return None

    def keep_survey(self, survey: Survey) -> None:
        """Keep a survey for the next run."""
        _write(self.folder / "survey.json", vars(survey))

    def state(self, index: int) -> RecurrentState | None:
        """What the network was left in before a picture; None if not kept."""
        try:
            return RecurrentState.from_named_tensors(load_file(self._state_file(index)))
        except (OSError, SafetensorError, TypeError):
            return None

    def keep_state(self, index: int, state: RecurrentState) -> None:
        """Keep what the network was left in before a picture; of earlier ones only the last is needed any more.

        That one is for a process killed before the segment that ends here has its name.
        """
        tensors = state.named_tensors()
        kept = {name: value.contiguous().cpu() for name, value in tensors.items()}
        write_atomically(self._state_file(index), partial(save_file, kept))
        for earlier in sorted(self.folder.glob("*.state.safetensors"))[:-2]:
            earlier.unlink()

    def _state_file(self, index: int) -> Path:
        return self.folder / f"{index:08d}.state.safetensors"

    def remove(self) -> None:
        """Remove the folder: the output is complete."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _read(self) -> dict[str, str] | None:
        try:
            before = json.loads(self._signature_file.read_text())
        except (OSError, ValueError):
            return None
        return before if isinstance(before, dict) else None


def file_signature(path: Path) -> str:
    """Text that changes when a file does: size, time of change, and a digest of its first and last megabyte.

    Args:
        path: a file, or a folder, whose files' names, sizes and times count.

    Returns:
        The text.
    """
    if path.is_dir():
        stats = [(file.name, file.stat()) for file in sorted(path.iterdir()) if file.is_file()]
        listing = json.dumps([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        return f"{path.resolve()} {hashlib.sha256(listing.encode()).hexdigest()[:16]}"
    stat = path.stat()
    digest = hashlib.sha256()
    with path.open("rb") as file:
        digest.update(file.read(_PROBE_BYTES))
        file.seek(max(0, stat.st_size - _PROBE_BYTES))
        digest.update(file.read(_PROBE_BYTES))
    return f"{path.resolve()} {stat.st_size} {stat.st_mtime_ns} {digest.hexdigest()[:16]}"


def _write(path: Path, value: Any) -> None:
    write_atomically(path, json.dumps(value))
