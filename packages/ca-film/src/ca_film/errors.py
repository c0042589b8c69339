"""The errors a caller meets."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["BusyError", "Cancelled", "FilmError", "writing"]


class FilmError(ValueError):
    """A film, still, option or output that is wrong, said in one line that names the remedy.

    A remedy names an argument, most often a field of `ColorizeOptions`, in backquotes: `overwrite=True`. A command
    line says it in its own words by `ca_film.as_options`.

    Example:
        >>> str(FilmError("film clip.mp4 does not exist; check the path"))
        'film clip.mp4 does not exist; check the path'
    """


class BusyError(FilmError):
    """An output that another process is making."""


class Cancelled(Exception):
    """The caller's `Progress.cancelled` asked to stop; finished work is kept, and the same call goes on from it."""


@contextmanager
def writing(out: Path) -> Iterator[None]:
    """Say in one line what the system refuses while an output is made: a full disk, a folder that went away.

    Raises:
        FilmError: instead of an `OSError`.
    """
    try:
        yield
    except OSError as error:
        where = f", {error.filename}" if error.filename and str(error.filename) != str(out) else ""
        raise FilmError(
            f"output {out} cannot be written ({error.strerror or error}{where}); finished work is kept: "
            "make room or mend the folder, and run again"
        ) from error
