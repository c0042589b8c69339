"""The one error a user of the command line is meant to read, and the exit codes."""

from __future__ import annotations

__all__ = ["EXIT_BAD_INPUT", "EXIT_DONE", "EXIT_INTERRUPTED", "EXIT_PARTLY_DECODED", "InferError"]

EXIT_DONE = 0
EXIT_BAD_INPUT = 2
EXIT_PARTLY_DECODED = 3
EXIT_INTERRUPTED = 130


class InferError(ValueError):
    """Something the user can put right, said in one line; the command line prints it and exits with code 2.

    Example:
        >>> str(InferError("film clip.mp4 does not exist; check the path"))
        'film clip.mp4 does not exist; check the path'
    """
