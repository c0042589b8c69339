"""Signal handling: SIGINT (Ctrl-C) and a scheduler's SIGTERM end a run after the present step."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class StopRequest:
    """Signal handler that notes whether this process was asked to stop.

    Example:
        >>> StopRequest().requested
        False
    """

    def __init__(self) -> None:
        self.requested = False

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Within the block the first SIGINT or SIGTERM sets `requested`; a second one acts as ever.

        In any thread but the main one, where Python hears no signals, nothing changes.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

        def hear(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
            self.requested = True
            signal.signal(number, before[signal.Signals(number)])

        for number in before:
            signal.signal(number, hear)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
