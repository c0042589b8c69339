"""The work folder `OUT.partial/`: finished parts of an output, and whether they belong to the same work.

Only this file knows the folder's layout: the names of its files, the mark that makes it ours, and the lock. All that
is kept is sealed (`sealed.py`): what a crash or a bad disk did to it is found, and the part is made again.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import stat
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ca_data import write_atomically
from ca_model import RecurrentState
from safetensors import SafetensorError
from safetensors.torch import load, save

from ca_film.errors import BusyError, FilmError
from ca_film.output.sealed import GrowingFile, read_sealed, seal, sealed_size
from ca_film.source.survey import Survey

__all__ = ["WorkFolder", "file_signature", "publishing", "remove_remains"]

_PROBE_BYTES = 1 << 20
_PUBLISHING = "publishing.json"
_LOCK, _MARK = ".lock", b"ColorAlign keeps unfinished work here\n"


class WorkFolder:
    """`OUT.partial/`: parts made so far, the survey, the network's states, and a signature.

    The signature says what the work depends on: input, references, weights and options. Work under another
    signature is thrown away, and `started_afresh` says which part differed. One job at a time may hold the folder;
    it is a context manager that lets go of it.

    Args:
        out: the output; the folder stands beside it.
        signature: named texts; all must be equal for the work to go on.
        restart: throw earlier work away in any case.
        shared: hold the folder beside other jobs that make parts of the same output; the work in it must be of this
            signature.

    Attributes:
        damaged: kept files that were found cut or altered; they count as missing.
        is_new: whether the folder was not there before.

    Raises:
        FilmError: another job is making the same output, what has the folder's name is somebody else's, or the
            folder is to be shared and its work is of another signature.
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

    def __init__(
        self, out: Path, signature: dict[str, str], *, restart: bool = False, shared: bool = False
    ) -> None:
        self.out, self._signature = out, signature
        self.started_afresh: str | None = None
        self.damaged: list[str] = []
        self._folder = _folder_of(out)
        self.is_new = not self._folder.exists()
        self._lock = _take_over(self._folder, out, shared=shared)
        try:
            before = self._read("signature")
            if shared:
                self._check_shared(before)
                return
            if restart or before != signature:
                if isinstance(before, dict) and not restart:
                    self.started_afresh = _differing(before, signature)
                self._clear()
                self._keep("signature", signature)
            for left in self._folder.glob(".*.*"):  # what a killed process was writing
                left.unlink(missing_ok=True)
        except BaseException:
            self._lock.close()
            raise

    def __enter__(self) -> WorkFolder:
        return self

    def __exit__(self, *_: object) -> None:
        """Let go of the folder."""
        self._lock.close()

    def remove(self) -> None:
        """Remove the folder: the output is complete. What says so goes last, so that a kill leaves no riddle."""
        self._clear(but=(_PUBLISHING, _LOCK))
        (self._folder / _PUBLISHING).unlink(missing_ok=True)
        _remove_empty(self._folder)

    def file(self, kind: str, part: range) -> Path:
        """File of a part, named by its frames: `00000240-00000480.packets`."""
        return self._folder / f"{part.start:08d}-{part.stop:08d}.{kind}"

    def growing(self, kind: str, part: range) -> GrowingFile:
        """A file of a part, to be written bit by bit."""
        return GrowingFile(self.file(kind, part))

    def has(self, kind: str, part: range) -> bool:
        """Whether a part is finished, and still as it was written."""
        return self._sound(self.file(kind, part))

    def subfolder(self, name: str) -> Path:
        """A folder for files with names of their own; made."""
        path = self._folder / name
        path.mkdir(exist_ok=True)
        return path

    def output_file(self, name: str) -> Path:
        """A file with the output's suffix, such as the whole output before it gets its name."""
        return self._folder / f"{name}{self.out.suffix.lower()}"

    def report_file(self) -> Path:
        """The report before it gets its name."""
        return self._folder / "report.html"

    def keep_array(self, kind: str, part: range, array: np.ndarray) -> None:
        """Keep an array that belongs to a part."""
        buffer = io.BytesIO()
        np.save(buffer, array)
        write_atomically(self.file(kind, part), seal(buffer.getvalue()))

    def array(self, kind: str, part: range) -> np.ndarray | None:
        """A kept array, read as it is used; None where none is kept."""
        path = self.file(kind, part)
        if not self._sound(path):
            return None
        try:
            return np.load(path, mmap_mode="r")
        except (OSError, ValueError):
            return None

    def keep_record(self, kind: str, part: range, record: Mapping[str, str]) -> None:
        """Keep a record of a part."""
        write_atomically(self.file(kind, part), seal(json.dumps(record).encode()))

    def record(self, kind: str, part: range) -> dict[str, str] | None:
        """A kept record; None where none is kept."""
        path = self.file(kind, part)
        return json.loads((read_sealed(path) or b"null").decode()) if self._sound(path) else None

    def survey(self) -> Survey | None:
        """The survey of an earlier run."""
        try:
            return Survey(**self._read("survey"))
        except TypeError:
            return None

    def keep_survey(self, survey: Survey) -> None:
        """Keep a survey for the next run."""
        self._keep("survey", vars(survey))

    def selection(self) -> list[tuple[range, tuple[int, ...]]] | None:
        """The references that an earlier run chose for each stretch of the film."""
        kept = self._read("selection")
        if not isinstance(kept, list):
            return None
        try:
            return [(range(start, stop), tuple(chosen)) for start, stop, chosen in kept]
        except (TypeError, ValueError):
            return None

    def keep_selection(self, stretches: Sequence[tuple[range, tuple[int, ...]]]) -> None:
        """Keep the chosen references for the next run."""
        self._keep("selection", [(stretch.start, stretch.stop, chosen) for stretch, chosen in stretches])

    def manifest(self) -> dict[str, Any] | None:
        """What an earlier run planned."""
        kept = self._read("manifest")
        return kept if isinstance(kept, dict) else None

    def keep_manifest(self, manifest: Mapping[str, Any]) -> None:
        """Keep a plan for the next run."""
        self._keep("manifest", manifest)

    def state(self, index: int) -> RecurrentState | None:
        """What the network was left in before a frame; None if not kept."""
        path = self._state_file(index)
        if not self._sound(path):
            return None
        try:
            return RecurrentState.from_named_tensors(load(read_sealed(path) or b""))
        except (OSError, SafetensorError, TypeError):
            return None

    def keep_state(self, index: int, state: RecurrentState, among: range) -> None:
        """Keep what the network was left in before a frame; of earlier ones only the last is needed any more.

        That one is for a process killed before the segment that ends here has its name.

        Args:
            index: of the frame.
            state: the state.
            among: frames that this process colours; states inside are its own.
        """
        # After the first frame of a shot, that frame is its own keyframe: safetensors refuses what shares memory.
        tensors = {
            name: value.cpu().clone(memory_format=torch.contiguous_format)
            for name, value in state.named_tensors().items()
        }
        write_atomically(self._state_file(index), seal(save(tensors)))
        for earlier in self._states(among)[:-2]:
            earlier.unlink()

    def drop_states(self, among: range) -> None:
        """Remove the states of frames that are all coloured."""
        for state in self._states(among):
            state.unlink(missing_ok=True)

    def begin_publishing(self, result: Mapping[str, Any]) -> None:
        """Note that everything is made, and what the result is, right before the output gets its name."""
        record = {"signature": self._signature, "result": result}
        write_atomically(self._folder / _PUBLISHING, seal(json.dumps(record).encode()))

    def publishing(self) -> dict[str, Any] | None:
        """The result of a run that was killed while, or after, it gave the output its name."""
        return publishing(self.out, self._signature)

    def _states(self, among: range) -> list[Path]:
        """Files of the states before frames, from the second on to the one behind the last."""
        return [
            file
            for file in sorted(self._folder.glob("*.state"))
            if among.start < int(file.stem) <= among.stop
        ]

    def _check_shared(self, before: Any) -> None:
        if before != self._signature:
            what = _differing(before, self._signature) if isinstance(before, dict) else "all of it"
            raise FilmError(
                f"output {self.out}: its kept work is not of this film and these options ({what} differs); "
                "leave them alone while it is made, with the same paths on every machine, and run again"
            )

    def _state_file(self, index: int) -> Path:
        return self._folder / f"{index:08d}.state"

    def _sound(self, path: Path) -> bool:
        if not path.is_file():
            return False
        sound = sealed_size(path) is not None
        if not sound:
            self.damaged.append(path.name)
            path.unlink(missing_ok=True)
        return sound

    def _keep(self, name: str, value: Any) -> None:
        write_atomically(self._folder / f"{name}.json", seal(json.dumps(value).encode()))

    def _read(self, name: str) -> Any:
        return _read_json(self._folder / f"{name}.json")

    def _clear(self, but: tuple[str, ...] = (_LOCK,)) -> None:
        for left in self._folder.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            elif left.name not in but:
                left.unlink()


def _differing(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    return ", ".join(sorted(name for name in {*before, *now} if before.get(name) != now.get(name)))


def publishing(out: Path, signature: Mapping[str, str] | None = None) -> dict[str, Any] | None:
    """The result that a run noted right before it gave the output its name, if it was killed around then.

    Args:
        out: the output.
        signature: of the work; None: of any.
    """
    folder = _folder_of(out)
    found = None if folder.is_symlink() else _read_json(folder / _PUBLISHING)
    if not isinstance(found, dict) or (signature is not None and found["signature"] != signature):
        return None
    result: dict[str, Any] = found["result"]
    return result


def remove_remains(out: Path) -> None:
    """Remove what a run left that was killed when nothing but its empty folder was left to remove."""
    folder = _folder_of(out)
    try:
        names = [path.name for path in folder.iterdir()]
        ours = not names or (names == [_LOCK] and (folder / _LOCK).read_bytes() == _MARK)
        if ours and not folder.is_symlink():
            _remove_empty(folder)
    except OSError:
        return


def _remove_empty(folder: Path) -> None:
    (folder / _LOCK).unlink(missing_ok=True)
    folder.rmdir()


def _folder_of(out: Path) -> Path:
    return out.with_name(out.name + ".partial")


def _read_json(path: Path) -> Any:
    try:
        return json.loads((read_sealed(path) or b"null").decode())
    except (OSError, ValueError):
        return None


def _take_over(folder: Path, out: Path, *, shared: bool = False) -> io.FileIO:
    """Make the folder, or make sure that it is ours, and lock it: against all others, or against those who do so."""
    stranger = FilmError(
        f"{folder} is there and not of ColorAlign, which would keep unfinished work in it; "
        "rename it, or choose another output"
    )
    try:
        folder.mkdir(parents=True)
    except FileExistsError:
        if not stat.S_ISDIR(folder.lstat().st_mode):
            raise stranger from None
    names = {path.name for path in folder.iterdir()}
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | (0 if _LOCK in names else os.O_EXCL)
    if names - {_LOCK} and _LOCK not in names:
        raise stranger
    try:
        lock = io.FileIO(os.open(folder / _LOCK, flags, 0o666), "r+")
    except FileExistsError:  # another process was quicker by a moment
        lock = io.FileIO(os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW), "r+")
    try:
        # The system lets go of the lock when the process ends, even a killed one.
        fcntl.flock(lock, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise BusyError(
            f"output {out}: another process is making it; wait for it, or choose another output"
        ) from None
    mark = lock.read()
    if mark != _MARK and (mark or names - {_LOCK}):
        lock.close()
        raise stranger
    if not mark:
        lock.write(_MARK)
    return lock


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
