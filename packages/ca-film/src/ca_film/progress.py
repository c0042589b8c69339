"""Progress and cancellation: the callbacks of a running job."""

from __future__ import annotations

from ca_film.errors import Cancelled

__all__ = ["Progress", "advance"]


class Progress:
    """Callbacks of a running job; derive from it and override what is wanted. This one does nothing.

    All are called in the thread that started the job. Whatever a callback raises stops the job and reaches the
    caller; finished work is kept then, as with `cancelled`.

    Example:
        >>> class Percent(Progress):
        ...     def stage(self, name, total):
        ...         print(name, total)
        >>> Percent().stage("colouring", 240)
        colouring 240
    """

    def stage(self, name: str, total: int | None) -> None:
        """A new stage begins.

        Args:
            name: such as `colouring`.
            total: its number of frames; None where it is not known.
        """

    def advance(self, count: int = 1) -> None:
        """So many more frames of the stage are done."""

    def note(self, line: str) -> None:
        """Something to know now rather than at the end."""

    def cancelled(self) -> bool:
        """Whether to stop; asked after every frame, and answered with `Cancelled`."""
        return False


def advance(progress: Progress) -> None:
    """Report one more frame, and stop where the caller wants to.

    Raises:
        Cancelled: if `progress.cancelled()` is true.
    """
    progress.advance()
    if progress.cancelled():
        raise Cancelled("cancelled; finished work is kept, and the same call goes on from it")
