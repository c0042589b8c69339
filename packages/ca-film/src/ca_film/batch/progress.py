"""Progress of a batch: callbacks, as `Progress` is for one film."""

from __future__ import annotations

from ca_film.batch.record import Entry

__all__ = ["BatchProgress"]


class BatchProgress:
    """Callbacks of a running batch; derive from it and override what is wanted. This one does nothing.

    All are called in the thread that started the batch.

    Example:
        >>> class Names(BatchProgress):
        ...     def ended(self, entry):
        ...         print(entry.film, entry.state)
        >>> Names().ended(Entry("reel.mp4", "reel.mp4", "done"))
        reel.mp4 done
    """

    def waiting(self, films: int) -> None:
        """So many films more are in the queue."""

    def working(self, film: str, share: float, frames: int) -> None:
        """A film is so far.

        Args:
            film: its path or address.
            share: of its work that is done, 0 to 1.
            frames: that were coloured since the last time.
        """

    def ended(self, entry: Entry) -> None:
        """A film is done, or failed."""

    def note(self, line: str) -> None:
        """Something to know now rather than at the end."""

    def cancelled(self) -> bool:
        """Whether to stop; asked several times a second, and answered with `Cancelled`."""
        return False
