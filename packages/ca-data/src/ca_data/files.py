"""Atomic writes: a file is whole under its name or not there, whenever a kill comes."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from pathlib import Path

__all__ = ["write_atomically"]


def write_atomically(path: str | Path, content: str | bytes | Callable[[Path], object]) -> None:
    """Write a file atomically: under a temporary name, flushed to the disk, then renamed.

    The temporary file is made anew (never an existing file or what a symbolic link points at), hidden, in the
    folder of `path`. Where `path` is itself a symbolic link, the link is replaced.

    Args:
        path: the file; replaced if it exists. Its folder must exist.
        content: text (written as UTF-8), bytes, or a function that writes the file it is given the path of.
            That path has another suffix, so the function must not choose a format by it.

    Raises:
        OSError: if the file cannot be written; `path` is then as it was, and no temporary file is left.

    Example:
        >>> import tempfile
        >>> path = Path(tempfile.mkdtemp()) / "notes.txt"
        >>> write_atomically(path, "four stills")
        >>> path.read_text(), [file.name for file in path.parent.iterdir()]
        ('four stills', ['notes.txt'])
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.partial")
    no_follow = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0)
    handle = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL | no_follow, 0o666)
    try:
        with os.fdopen(handle, "wb") as file:
            if callable(content):
                content(temporary)
            else:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
        if callable(content):
            _flush(temporary)  # opened again: the function may have put another file in its place
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def _flush(path: Path) -> None:
    with path.open("rb+") as file:
        os.fsync(file.fileno())
