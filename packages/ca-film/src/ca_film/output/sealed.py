"""Sealed files: kept work with its checksum behind it, so that what a crash or a bad disk did to it is found."""

from __future__ import annotations

import hashlib
import os
import secrets
from contextlib import suppress
from pathlib import Path

__all__ = ["SEAL_SIZE", "GrowingFile", "read_sealed", "seal", "sealed_size"]

_MARK = b"\nsha256 "
SEAL_SIZE = len(_MARK) + 64
_CHUNK = 1 << 20


def seal(content: bytes) -> bytes:
    """Content with its checksum behind it.

    Example:
        >>> seal(b"two stills")[-SEAL_SIZE:][:12]
        b'\\nsha256 652e'
    """
    return content + _MARK + hashlib.sha256(content).hexdigest().encode()


def sealed_size(path: Path) -> int | None:
    """Bytes of the content of a sealed file, read through once; None where it is missing, cut or altered."""
    digest = hashlib.sha256()
    try:
        with path.open("rb") as file:
            size = left = os.fstat(file.fileno()).st_size - SEAL_SIZE
            while left > 0:
                chunk = file.read(min(_CHUNK, left))
                if not chunk:
                    return None
                digest.update(chunk)
                left -= len(chunk)
            sound = left == 0 and file.read() == _MARK + digest.hexdigest().encode()
    except OSError:
        return None
    return size if sound else None


def read_sealed(path: Path) -> bytes | None:
    """Content of a sealed file; None where it is missing, cut or altered."""
    size = sealed_size(path)
    return None if size is None else path.read_bytes()[:size]


class GrowingFile:
    """A binary file that is written bit by bit, and gets its seal and its name when it is complete.

    Args:
        path: its name.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        # Made anew under a name that nobody has: nothing that is there is opened, no symbolic link followed.
        self._growing = path.with_name(f".{path.name}.{secrets.token_hex(4)}.growing")
        self._file = self._growing.open("xb")
        self._digest = hashlib.sha256()

    def write(self, data: bytes) -> None:
        """Add to it."""
        self._file.write(data)
        self._digest.update(data)

    def finish(self) -> None:
        """Seal it, flush it to the disk and give it its name."""
        self._file.write(_MARK + self._digest.hexdigest().encode())
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.close()
        self._growing.replace(self._path)

    def abandon(self) -> None:
        """Remove it."""
        with suppress(OSError):  # what was buffered finds no room on a full disk
            self._file.close()
        self._growing.unlink(missing_ok=True)
