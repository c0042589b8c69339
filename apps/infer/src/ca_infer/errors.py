"""The command line's own error, and the exit codes."""

from __future__ import annotations

__all__ = [
    "EXIT_BAD_INPUT",
    "EXIT_DONE",
    "EXIT_FILMS_FAILED",
    "EXIT_INTERRUPTED",
    "EXIT_PARTLY_DECODED",
    "InferError",
]

EXIT_DONE = 0
EXIT_BAD_INPUT = 2
EXIT_PARTLY_DECODED = 3
EXIT_FILMS_FAILED = 4
EXIT_INTERRUPTED = 130


class InferError(ValueError):
    """An argument that is wrong, said in one line; the command line prints it and exits with code 2.

    Example:
        >>> str(InferError("--fps must be a number or a fraction, got 'fast'; write 25 or 24000/1001"))
        "--fps must be a number or a fraction, got 'fast'; write 25 or 24000/1001"
    """
