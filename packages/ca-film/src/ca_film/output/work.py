"""The work folder `OUT.partial/`: finished parts of an output, and whether they belong to the same work.

Only this file knows the folder's layout: the names of its files, how they come to be whole, and the lock.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
from pathlib import Path
from typing import Any

import numpy as np
from ca_data import write_atomically
from ca_model import RecurrentState
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from ca_film.errors import FilmError
from ca_film.source.survey import Survey

__all__ = ["GrowingFile", "WorkFolder", "file_signature"]

_PROBE_BYTES = 1 << 20
_LOCK = ".lock"


class WorkFolder:
    """`OUT.partial/`: parts made so far, the survey, the network's states, and a signature.

    The signature says what the work depends on: input, references, weights and options. Work under another
    signature is thrown away, and `started_afresh` says which part differed. One job at a time may hold the folder;
    it is a context manager that lets go of it.

    Args:
        out: the output; the folder stands beside it.
        signature: named texts; all must be equal for the work to go on.
        restart: throw earlier work away in any case.

    Raises:
        FilmError: another job is making the same output.
        OSError: the folder cannot be written to.

    Example:
        >>> import tempfile
        >>> out = Path(tempfile.mkdtemp()) / "film.mkv"
        >>> with WorkFolder(out, {"input": "a"}) as work:
        ...     work.keep_array("coverage.npy", range(0, 240), np.zeros(3))
        >>> with WorkFolder(out, {"input": "b"}) as work:
        ...     work.started_afresh, work.has("coverage.npy", range(0, 240))
        ('input', False)
    """

    def __init__(self, out: Path, signature: dict[str, str], *, restart: bool = False) -> None:
        self.out = out
        self.started_afresh: str | None = None
        self._folder = out.with_name(out.name + ".partial")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._lock = (self._folder / _LOCK).open("w")
        try:
            # The system lets go of the lock when the process ends, even a killed one.
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self._lock.close()
            raise FilmError(
                f"output {out}: another process is making it; wait for it, or choose another output"
            ) from None
        before = self._read("signature")
        if restart or before != signature:
            if isinstance(before, dict) and not restart:
                self.started_afresh = ", ".join(
                    sorted(n for n in {*before, *signature} if before.get(n) != signature.get(n))
                )
            self._clear()
        self._keep("signature", signature)

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the folder."""
        self._lock.close()

    def remove(self) -> None:
        """Remove the folder: the output is complete."""
        shutil.rmtree(self._folder, ignore_errors=True)

    def file(self, kind: str, part: range) -> Path:
        """File of a part, named by its frames: `00000240-00000480.packets`."""
        return self._folder / f"{part.start:08d}-{part.stop:08d}.{kind}"

    def has(self, kind: str, part: range) -> bool:
        """Whether a part is finished."""
        return self.file(kind, part).is_file()

    def subfolder(self, name: str) -> Path:
        """A folder for files with names of their own; made."""
        path = self._folder / name
        path.mkdir(exist_ok=True)
        return path

    def joined_file(self) -> Path:
        """The output before it gets its name."""
        return self._folder / f"joined{self.out.suffix.lower()}"

    def keep_array(self, kind: str, part: range, array: np.ndarray) -> None:
        """Keep an array that belongs to a part."""
        buffer = io.BytesIO()
        np.save(buffer, array)
        write_atomically(self.file(kind, part), buffer.getvalue())

    def array(self, kind: str, part: range) -> np.ndarray | None:
        """A kept array, read as it is used; None where none is kept."""
        try:
            return np.load(self.file(kind, part), mmap_mode="r")
        except (OSError, ValueError):
            return None

    def survey(self) -> Survey | None:
        """The survey of an earlier run."""
        try:
            return Survey(**self._read("survey"))
        except TypeError:
            return None

    def keep_survey(self, survey: Survey) -> None:
        """Keep a survey for the next run."""
        self._keep("survey", vars(survey))

    def state(self, index: int) -> RecurrentState | None:
        """What the network was left in before a frame; None if not kept."""
        try:
            return RecurrentState.from_named_tensors(load_file(self._state_file(index)))
        except (OSError, SafetensorError, TypeError):
            return None

    def keep_state(self, index: int, state: RecurrentState) -> None:
        """Keep what the network was left in before a frame; of earlier ones only the last is needed any more.

        That one is for a process killed before the segment that ends here has its name.
        """
        tensors = {name: value.contiguous().cpu() for name, value in state.named_tensors().items()}
        write_atomically(self._state_file(index), lambda path: save_file(tensors, path))
        for earlier in sorted(self._folder.glob("*.state.safetensors"))[:-2]:
            earlier.unlink()

    def _state_file(self, index: int) -> Path:
        return self._folder / f"{index:08d}.state.safetensors"

    def _keep(self, name: str, value: Any) -> None:
        write_atomically(self._folder / f"{name}.json", json.dumps(value))

    def _read(self, name: str) -> Any:
        try:
            return json.loads((self._folder / f"{name}.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _clear(self) -> None:
        for left in self._folder.iterdir():
            if left.is_dir():
                shutil.rmtree(left)
            elif left.name != _LOCK:
                left.unlink()


class GrowingFile:
    """A binary file that is written bit by bit and gets its name when it is complete.

    Args:
        path: its name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._growing = path.with_suffix(".growing")
        self._file = self._growing.open("wb")

    def write(self, data: bytes) -> None:
        """Add to it."""
        self._file.write(data)

    def finish(self) -> None:
        """Flush it to the disk and give it its name."""
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._growing.replace(self._path)

    def abandon(self) -> None:
        """Remove it."""
        self._file.close()
        self._growing.unlink(missing_ok=True)


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
