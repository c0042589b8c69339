"""The one error a user of the trainer is meant to read."""


class TrainerError(ValueError):
    """Something the user can put right, said in one line; the command line prints it and exits with code 2.

    Example:
        >>> str(TrainerError("data.root: no such folder 'clips'"))
        "data.root: no such folder 'clips'"
    """


class NonFiniteError(TrainerError):
    """A loss or gradient was not a finite number; the step that found it did not touch the weights."""
