"""Files in TOML, as people write them."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

from ca_film.errors import FilmError

__all__ = ["read_table"]


def read_table(path: Path, name: str, remedy: str = "check the path") -> dict[str, Any]:
    """Read a TOML file.

    Args:
        path: of the file.
        name: what it is, for errors.
        remedy: what helps where it cannot be read.

    Raises:
        FilmError: if it cannot be read, or is no TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise FilmError(f"{name} {path} cannot be read ({error.strerror}); {remedy}") from error
    except ValueError as error:
        raise FilmError(f"{name} {path} is no TOML ({error}); correct it") from error
