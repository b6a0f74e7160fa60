"""Start the demo's servers and scripts as processes of their own, and leave none behind.

Every child gets a session of its own, so that Ctrl-C reaches the driver alone, which passes it on once. The
servers read their stdin and end when it closes, which it does even when the driver is killed outright.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType, TracebackType

ROOT = Path(__file__).resolve().parent.parent
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
GRACE = 30  # seconds that a script gets to save its state after a signal: its two timeouts and some more


class Stopped(BaseException):
    """SIGINT, SIGTERM or SIGHUP has come."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


class ServerError(Exception):
    """A server did not come up; the text says which, and where its output lies."""


def raise_on_signals() -> None:
    """Turn the three signals into Stopped, in the main thread."""

    def leave(number: int, frame: FrameType | None) -> None:
        raise Stopped(number)

    for number in _SIGNALS:
        signal.signal(number, leave)


@contextlib.contextmanager
def _signals_noted() -> Iterator[list[int]]:
    """Let the three signals in the block only be noted in the list that it gives."""
    noted: list[int] = []
    before = {
        number: signal.signal(number, lambda number, frame: noted.append(number)) for number in _SIGNALS
    }
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


class Children:
    """The processes of one demo. Leaving the `with` stops whatever still runs. For the main thread only."""

    def __init__(self, logs: Path) -> None:
        """Keep the servers' output in the folder `logs`, which must exist."""
        self._logs = logs
        self._servers: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for server in self._servers:
            server.terminate()
        for server in self._servers:
            with contextlib.suppress(subprocess.TimeoutExpired):
                server.wait(timeout=5)
            _end(server)

    def serve(self, module: str, *arguments: str) -> int:
        """Start `python -m module` as a server and return its port. Raises ServerError."""
        output = self._logs / f"{module.rpartition('.')[2]}.txt"
        command = [sys.executable, "-m", module, "--until-stdin-closes", *arguments]
        with output.open("wb") as errors:
            server = subprocess.Popen(
                command,
                cwd=ROOT,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                start_new_session=True,
            )
        self._servers.append(server)
        assert server.stdout is not None  # it was asked for above
        first = server.stdout.readline()
        if not first:
            raise ServerError(f"{module} did not start; its output is in {output}")
        return int(first)

    def run(self, command: list[str], folder: Path) -> int:
        """Run `command` in `folder` with its output on ours, and return its exit code.

        When Stopped is raised meanwhile, the command gets the signal too and up to GRACE seconds; a second
        signal kills it.
        """
        sys.stdout.flush()
        with _signals_noted() as noted:  # one that came here would leave a process behind that nobody knows
            process = subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, start_new_session=True)
        try:
            if noted:
                raise Stopped(noted[0])
            return process.wait()
        except Stopped as stop:
            process.send_signal(signal.SIGINT if stop.number == signal.SIGINT else signal.SIGTERM)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=GRACE)
            raise
        finally:
            _end(process)


def _end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process if it still runs, reap it and close our ends of its pipes."""
    if process.poll() is None:
        process.kill()
        process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()
