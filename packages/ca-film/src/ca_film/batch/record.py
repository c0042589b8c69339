"""The batch's record, `batch.json`: its queue on disk, what came of each film, and the names they have."""

from __future__ import annotations

import hashlib
import json
import os
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from ca_data import write_atomically
from filelock import FileLock, Timeout

from ca_film.batch.films import BatchFilm, free_name, is_address
from ca_film.errors import FilmError
from ca_film.output.work import file_signature

__all__ = ["DONE", "FAILED", "WAITING", "BatchRecord", "Entry"]

WAITING, DONE, FAILED = "waiting", "done", "failed"
_NAME, _LOCK, _FORMAT = "batch.json", ".batch.lock", "ca-film batch 1"


@dataclass(frozen=True)
class Entry:
    """A film in the record.

    Args:
        film: its path or address.
        out: name of its output in the batch's folder.
        state: `waiting`, `done` or `failed`.
        line: of a film that failed: why, in one line.
        frames, shots: of the output.
        seconds: of work in the run that finished it.
        notes: what the user should know.
        problems: parts of the film that did not decode.
        wanted: the name that was wanted for the output.
        key: digest of film, references and options; None while they cannot be read.
        made: size and time of the output, by which it is known again.
    """

    film: str
    out: str
    state: str = WAITING
    line: str = ""
    frames: int = 0
    shots: int = 0
    seconds: float = 0.0
    notes: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    wanted: str = ""
    key: str | None = None
    made: list[int] = field(default_factory=list)


class BatchRecord:
    """The record of a batch's folder: which films wait, which are done, which failed.

    It is written anew, atomically, whenever something changes, so that a killed batch goes on where it stopped. Films
    that failed wait again when the batch is started again; those that are done, and whose film, references,
    options and output are as they were, do not. One batch at a time may hold it; it is a context manager.

    Args:
        folder: the batch's folder; made.
        restart: whether to forget what earlier runs did.

    Raises:
        FilmError: another batch is at work in the folder, or what has the record's name is no record.

    Example:
        >>> import tempfile
        >>> from ca_film.options import ColorizeOptions
        >>> films = [BatchFilm(f"{reel}/film.mp4", ColorizeOptions(), "film.mp4") for reel in ("one", "two")]
        >>> with BatchRecord(Path(tempfile.mkdtemp())) as record:
        ...     [entry.out for entry in record.add(films)]
        ['film.mp4', 'film-2.mp4']
    """

    def __init__(self, folder: Path, *, restart: bool = False) -> None:
        self.folder, self._file = folder, folder / _NAME
        try:
            folder.mkdir(parents=True, exist_ok=True)
            self._lock = FileLock(folder / _LOCK)
            self._lock.acquire(timeout=0)
        except Timeout:
            raise FilmError(
                f"folder {folder}: another batch is at work in it; wait for it, or choose another with `folder`"
            ) from None
        except OSError as error:
            raise FilmError(
                f"folder {folder} cannot be written to ({error.strerror or error}); choose another with `folder`"
            ) from error
        self._guard = threading.RLock()
        self._films: dict[int, BatchFilm] = {}
        self._open: list[int] = []
        try:
            self._entries = [] if restart else self._read()
        except BaseException:
            self._lock.release()
            raise

    def __enter__(self) -> BatchRecord:
        return self

    def __exit__(self, *_: object) -> None:
        """Let another batch have the folder."""
        self._lock.release()

    def add(self, films: Sequence[BatchFilm]) -> list[Entry]:
        """Put films into the queue, each under the name it had before, or under a free one."""
        with self._guard:
            numbers = []
            for film in films:
                number = self._place_of(film)
                entry = self._entries[number]
                key = _key(film)
                if not (
                    entry.state == DONE and entry.key == key and entry.made == _made(self.folder / entry.out)
                ):
                    self._entries[number] = Entry(entry.film, entry.out, wanted=entry.wanted, key=key)
                    self._open.append(number)
                self._films[number] = film
                numbers.append(number)
            self._write()
            return [self._entries[number] for number in numbers]

    def take(self) -> tuple[int, BatchFilm] | None:
        """The next film that waits, and its number; None if none does."""
        with self._guard:
            return (number := self._open.pop(0), self._films[number]) if self._open else None

    def put_back(self, number: int) -> None:
        """Let a film wait again that was taken."""
        with self._guard:
            self._open.insert(0, number)

    def out(self, number: int) -> Path:
        """Where a film's output goes."""
        return self.folder / self._entries[number].out

    def finish(self, number: int, **found: Any) -> Entry:
        """Note what came of a film.

        Args:
            number: of the film.
            found: fields of `Entry`.

        Returns:
            Its entry.
        """
        with self._guard:
            entry = replace(self._entries[number], **found)
            self._entries[number] = replace(entry, made=_made(self.folder / entry.out))
            self._write()
            return self._entries[number]

    def entries(self) -> list[Entry]:
        """The films of this run, in the order they were added."""
        with self._guard:
            return [self._entries[number] for number in self._films]

    def _place_of(self, film: BatchFilm) -> int:
        """The film's place in the record; new if it is not there. The same film may be there under several names."""
        source = film.source if is_address(film.source) else str(Path(film.source).resolve())
        for number, entry in enumerate(self._entries):
            if entry.film == source and entry.wanted == film.name and number not in self._films:
                return number
        name = free_name(film.name, [_NAME, *(entry.out for entry in self._entries)])
        self._entries.append(Entry(source, name, wanted=film.name))
        return len(self._entries) - 1

    def _read(self) -> list[Entry]:
        if not os.path.lexists(self._file):
            return []
        try:
            content = json.loads(self._file.read_text(encoding="utf-8"))
            if content["format"] != _FORMAT:
                raise ValueError(content["format"])
            return [Entry(**entry) for entry in content["films"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FilmError(
                f"{self._file} is no record of a batch, or damaged; rename it, or choose another folder with `folder`"
            ) from error

    def _write(self) -> None:
        content = {"format": _FORMAT, "films": [asdict(entry) for entry in self._entries]}
        try:
            write_atomically(self._file, json.dumps(content, indent=1, ensure_ascii=False))
        except OSError as error:
            raise FilmError(
                f"{self._file} cannot be written ({error.strerror or error}); make room or mend the folder, and run "
                "again: finished work is kept"
            ) from error


def _key(film: BatchFilm) -> str | None:
    """Digest of everything that the output depends on; None where something of it cannot be read."""
    said = {one.name: repr(getattr(film.options, one.name)) for one in fields(film.options)}
    for name in ("device", "overwrite", "restart", "references"):
        del said[name]
    try:
        files = [
            path if is_address(path) else file_signature(Path(path)) for path in (film.source, *_stills(film))
        ]
    except OSError:
        return None
    return hashlib.sha256(json.dumps([files, said]).encode()).hexdigest()[:16]


def _stills(film: BatchFilm) -> list[str]:
    given = film.options.references
    return [str(path) for path in ([given] if isinstance(given, str | Path) else given)]


def _made(out: Path) -> list[int]:
    try:
        stat = out.stat()
    except OSError:
        return []
    return [stat.st_size, stat.st_mtime_ns]
