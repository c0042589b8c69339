"""Mirror: local copies of what lies behind fsspec addresses, for as long as a task needs them.

Decoders and encoders want files. So a machine copies a film and its stills once, under a path that follows from the
address and is the same on every machine; of unfinished work each task fetches what touches its frames, and puts what it
made under a temporary name, which is then renamed.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from ca_film.batch.films import is_address
from ca_film.errors import FilmError
from ca_film.options import ColorizeOptions

__all__ = ["Mirror"]

_KEPT_SECONDS = 6 * 3600.0


class Mirror:
    """Local copies in a folder of this machine.

    Args:
        folder: for the copies; the system's folder for temporary files by default, which must have the same path on
            all machines, as kept work names it.

    Raises:
        OSError: whatever the machine's disk, or the store, refuses.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or Path(tempfile.gettempdir()) / "coloralign-mirror"
        self._forget_old()

    def film(self, source: str) -> Path:
        """A film, or a folder of frames, as a local path.

        Raises:
            FilmError: if there is nothing at its address.
        """
        return self._copy(source) if is_address(source) else Path(source)

    def options(self, options: ColorizeOptions) -> ColorizeOptions:
        """Options whose references are local paths."""
        given = options.references
        paths = [str(one) for one in ([given] if isinstance(given, str | Path) else given)]
        return replace(
            options, references=tuple(self._copy(one) if is_address(one) else one for one in paths)
        )

    @contextmanager
    def work(self, out: str, frames: range | None, *, overwrite: bool = False) -> Iterator[Path]:
        """An output as a local path, with what is kept of it; what was made is put back when the block ends.

        Args:
            out: its path or address; of a path nothing is copied.
            frames: those that the task is about; None for all.
            overwrite: whether an output that is there may be replaced.

        Raises:
            FilmError: if the output exists and may not be replaced.
        """
        if not is_address(out):
            yield Path(out)
            return
        system, there = _resolved(out)
        if system.exists(there) and not overwrite:
            raise FilmError(f"output {out} exists; choose another folder, or add `overwrite=True`")
        # Of this process alone: others of this machine may have other parts of the same output.
        here = self._place(out, f"of-{os.getpid()}")
        here.parent.mkdir(exist_ok=True)
        work = here.with_name(here.name + ".partial")
        shutil.rmtree(work, ignore_errors=True)
        before = self._fetch(system, f"{there}.partial", work, frames)
        yield here
        if here.exists():
            self._publish(system, here, there)
            return
        for name in before:
            if not (work / name).exists():  # thrown away, so that nobody takes it for good work
                system.rm_file(f"{there}.partial/{name}")
        for file in sorted(path for path in work.rglob("*") if path.is_file()):
            name = file.relative_to(work).as_posix()
            if before.get(name) != _state(file):
                _put(system, file, f"{there}.partial/{name}")
        shutil.rmtree(work, ignore_errors=True)

    def _copy(self, address: str) -> Path:
        system, there = _resolved(address)
        try:
            info = system.info(there)
        except FileNotFoundError:
            raise FilmError(f"address {address} does not exist; check it") from None
        here = self._place(address)
        if not here.exists():
            growing = here.with_name(f".{secrets.token_hex(4)}.growing")
            system.get(there, str(growing), recursive=info["type"] == "directory")
            for file in [growing, *growing.rglob("*")]:
                inner = there if file == growing else f"{there}/{file.relative_to(growing).as_posix()}"
                changed = _changed(system, inner)
                os.utime(file, (changed, changed))
            try:
                growing.rename(here)
            except OSError:  # another task of this machine was quicker
                shutil.rmtree(growing, ignore_errors=True)
        return here

    def _place(self, address: str, inside: str = "") -> Path:
        folder = self._folder / hashlib.sha256(address.encode()).hexdigest()[:16]
        folder.mkdir(parents=True, exist_ok=True)
        os.utime(folder)
        return folder / inside / address.rstrip("/").rsplit("/", 1)[-1]

    def _fetch(self, system: Any, there: str, work: Path, frames: range | None) -> dict[str, tuple[int, int]]:
        found = {}
        for name in _names(system, there):
            if frames is None or _touches(name, frames):
                file = work / name
                file.parent.mkdir(parents=True, exist_ok=True)
                system.get_file(f"{there}/{name}", str(file))
                found[name] = _state(file)
        return found

    def _publish(self, system: Any, here: Path, there: str) -> None:
        report = here.with_name(here.name + ".coverage.html")
        if report.exists():
            _put(system, report, f"{there}.coverage.html")
        for file in sorted(here.iterdir()) if here.is_dir() else [here]:
            _put(system, file, f"{there}/{file.name}" if here.is_dir() else there)
        if system.exists(f"{there}.partial"):
            system.rm(f"{there}.partial", recursive=True)
        shutil.rmtree(here.parent, ignore_errors=True)

    def _forget_old(self) -> None:
        """Remove copies that no task has used for hours."""
        for folder in self._folder.glob("*"):
            try:
                if time.time() - folder.stat().st_mtime > _KEPT_SECONDS:
                    shutil.rmtree(folder, ignore_errors=True)
            except OSError:
                continue  # another worker was quicker


def _resolved(address: str) -> tuple[Any, str]:
    import fsspec

    try:
        system, path = fsspec.core.url_to_fs(address)
    except (ValueError, ImportError) as error:
        raise FilmError(f"address {address} cannot be used ({error}); install its fsspec package") from error
    return system, path.rstrip("/")


def _names(system: Any, folder: str) -> list[str]:
    system.invalidate_cache()
    if not system.exists(folder):
        return []
    root = system._strip_protocol(folder).rstrip("/")
    return [path[len(root) + 1 :] for path in system.find(root)]


def _touches(name: str, frames: range) -> bool:
    """Whether a file of kept work is for some of the frames, or for the whole film."""
    first, _, last = name.partition(".")[0].partition("-")
    if not first.isdigit():
        return not name.startswith("frames/")
    if not last.isdigit():
        return frames.start <= int(first) <= frames.stop
    return int(first) < frames.stop and frames.start < int(last)


def _state(file: Path) -> tuple[int, int]:
    stat = file.stat()
    return stat.st_size, stat.st_mtime_ns


def _changed(system: Any, path: str) -> float:
    """When a file changed, in whole seconds, which every machine reads alike; 0 where the store does not say."""
    try:
        when: datetime = system.modified(path)
        return float(int(when.timestamp()))
    except (NotImplementedError, FileNotFoundError, KeyError, IsADirectoryError):
        return 0.0


def _put(system: Any, file: Path, there: str) -> None:
    folder, _, name = there.rpartition("/")
    system.makedirs(folder, exist_ok=True)
    growing = f"{folder}/.{name}.{secrets.token_hex(4)}"
    system.put_file(str(file), growing)
    system.mv(growing, there)
