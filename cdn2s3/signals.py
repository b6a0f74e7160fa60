"""Being asked to stop by SIGINT (Ctrl-C) or SIGTERM: the first stops in good order, a second at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """Raised in the main thread by the first signal, unless the main thread looks for it itself."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class Signals:
    """Take SIGINT and SIGTERM for this process; made and used in the main thread.

    The handler takes no lock and does no I/O: it may run between any two steps of the main thread.
    """

    def __init__(self) -> None:
        self.received = 0  # number of the signal that asked to stop; 0: none
        self._noted_only = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.received:
            os._exit(128 + number)
        self.received = number
        if not self._noted_only:
            raise Interrupted(number)

    @property
    def name(self) -> str:
        """SIGINT or SIGTERM, whichever was received."""
        return signal.Signals(self.received).name

    def note(self) -> None:
        """Let a signal only be noted in `received` from now on, for good."""
        self._noted_only = True

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Let a signal in the block be raised after all, and one that was noted before it too."""
        self._noted_only = False
        try:
            if self.received:
                raise Interrupted(self.received)
            yield
        finally:
            self._noted_only = True

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Let a signal in the block only be noted in `received`, which the block looks at."""
        self._noted_only = True
        try:
            yield
        finally:
            self._noted_only = False
