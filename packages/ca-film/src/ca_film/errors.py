"""The errors a caller meets."""

from __future__ import annotations

__all__ = ["Cancelled", "FilmError"]


class FilmError(ValueError):
    """A film, still, option or output that is wrong, said in one line that names the remedy.

    The remedies are spelled as options of the command line (`--overwrite`), which are fields of `ColorizeOptions`.

    Example:
        >>> str(FilmError("film clip.mp4 does not exist; check the path"))
        'film clip.mp4 does not exist; check the path'
    """


class Cancelled(Exception):
    """The caller's `Progress.cancelled` asked to stop; finished work is kept, and the same call goes on from it."""
