"""Stop requests by SIGINT (Ctrl-C), SIGTERM or SIGHUP: the first stops cleanly, a second immediately.

SIGHUP arrives when the script's SSH session ends, often twice, and then the terminal is gone.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import resource_tracker
from types import FrameType

from cdn2s3.errors import RESUME

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_LAST_WORDS = f"\nstopped immediately; everything completed is recorded. To continue, {RESUME}.\n"


class Interrupted(BaseException):
    """Raised in the main thread by the first signal, unless the main thread checks for it itself.

    Its text is how messages begin that say so: "stopped by SIGTERM".
    """

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.exit_code = 128 + number


class Signals:
    """Handle the signals that stop this process; created and used in the main thread.

    The handler takes no lock and no file object: it may run between any two steps of the main thread.
    """

    def __init__(self) -> None:
        self.received = 0  # number of the signal that requested the stop; 0: none
        self._noted_only = False
        self._terminals = [fd for fd in (0, 1, 2) if _is_terminal(fd)]
        for number in STOPPING:
            if number != signal.SIGHUP or signal.getsignal(number) != signal.SIG_IGN:  # nohup ignores it
                signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGHUP:
            self._let_go_of_terminals()
        if self.received:
            if number == signal.SIGHUP:
                return  # the kernel sends one, and the shell another
            with suppress(OSError):
                os.write(2, _LAST_WORDS.encode())
            os._exit(128 + number)
        self.received = number
        if not self._noted_only:
            raise Interrupted(number)

    def note(self) -> None:
        """Only note signals in `received` from now on, permanently."""
        self._noted_only = True

    @contextmanager
    def raised(self) -> Iterator[None]:
        """Raise signals in the block after all, including one that was noted before."""
        self._noted_only = False
        try:
            if self.received:
                raise Interrupted(self.received)
            yield
        finally:
            self._noted_only = True

    def _let_go_of_terminals(self) -> None:
        """Discard output to a terminal that is gone, instead of failing."""
        for fd in self._terminals:
            with suppress(OSError):
                nowhere = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
                os.dup2(nowhere, fd)
                os.close(nowhere)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """Only note signals in the block in `received`, which the block checks."""
        self._noted_only = True
        try:
            yield
        finally:
            self._noted_only = False


@contextmanager
def held_back() -> Iterator[None]:
    """Hold back the signals that stop in the block, and in the process that is started in it until it ignores them.

    Ctrl-C reaches every process of the terminal, those too that are importing what they need.
    """
    resource_tracker.ensure_running()  # it lets signals through when it starts its own process
    before = signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _is_terminal(fd: int) -> bool:
    try:
        return os.isatty(fd)
    except OSError:
        return False
