"""Errors that a user can put right, and the exit codes of the command line."""

BAD_INPUT = 2
INTERRUPTED = 130


class TrainerError(ValueError):
    """Bad input, explained in one line; the command line prints it and exits with code 2.

    Example:
        >>> str(TrainerError("data.root: no such folder 'clips'"))
        "data.root: no such folder 'clips'"
    """


class NonFiniteError(TrainerError):
    """Loss or gradient that is not a finite number; the step that found it did not touch the weights."""
