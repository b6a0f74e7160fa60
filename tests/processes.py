"""Start a script as a fork of a Python that has its imports already (tests/fork_server.py), a real process otherwise.

For the real start, `python migrate.py` from nothing, a test uses subprocess: where it is about the interpreter itself
(its streams, its flags, its command line), and once per script.
"""

from __future__ import annotations

import atexit
import functools
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from subprocess import DEVNULL, PIPE
from typing import Any

from tests import ROOT, warm

Limits = Mapping[int, tuple[int, int]]  # resource.RLIMIT_*: soft and hard
_READ_AT_START = (
    "PYTHON",
    "LANG",
    "LC_",
    "LD_",
    "TZ",
    "OPENSSL_",
)  # what a process reads once, when it starts
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.02  # seconds between two looks whether a process has ended


class Process:
    """A script that runs, with those methods of subprocess.Popen that tests need; text is UTF-8."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        environment: Mapping[str, str],
        *,
        stdin: int = DEVNULL,
        stdout: int = PIPE,
        stderr: int = PIPE,
        limits: Limits | None = None,
        own_session: bool = False,
    ) -> None:
        """Start command: sys.executable, perhaps `-W ACTION`, then a script or `-c CODE`, then arguments.

        With own_session, stdin is a terminal, for the process to run in as the leader of a session of its own.
        """
        flags, words = _divided(command[1:])
        self.returncode: int | None = None
        self._command = command
        self._out, self._err = bytearray(), bytearray()
        self._open: dict[int, bytearray] = {}  # our end of a pipe: what came out of it
        self._server = _server(flags, _read_at_start(environment))
        theirs = [
            _stream_of_child(wanted, self._open, read)
            for wanted, read in ((stdin, bytearray()), (stdout, self._out), (stderr, self._err))
        ]
        request = {
            "command": words,
            "folder": str(folder),
            "environment": dict(environment),
            "limits": limits or {},
            "own_session": own_session,
        }
        self.pid: int = self._server.ask(request, theirs)
        for fd, wanted in zip(theirs, (stdin, stdout, stderr)):
            if fd != wanted:
                os.close(fd)

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *exception: object) -> None:
        for fd in self._open:
            os.close(fd)
        self._open.clear()
        self.wait()

    def poll(self) -> int | None:
        """Return the exit code, negative for the signal that ended it; None while it runs."""
        with self._server.lock:
            if self.returncode is None:
                self.returncode = self._server.ask({"ended": self.pid})
            return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, return the exit code; raise subprocess.TimeoutExpired if it does not come in time."""
        deadline, pause = _deadline(timeout), _FIRST_PAUSE
        while (code := self.poll()) is None:
            if time.monotonic() > deadline:
                raise subprocess.TimeoutExpired(self._command, timeout or 0)
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        return code

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """Read its pipes to their ends and wait; return stdout and stderr, empty where there is no pipe."""
        deadline = _deadline(timeout)
        with selectors.DefaultSelector() as selector:
            for fd in self._open:
                selector.register(fd, selectors.EVENT_READ)
            while self._open:
                ready = selector.select(None if timeout is None else max(0.0, deadline - time.monotonic()))
                if not ready and time.monotonic() >= deadline:
                    raise subprocess.TimeoutExpired(self._command, timeout or 0)
                for key, _ in ready:
                    part = os.read(key.fd, 65536)
                    self._open[key.fd] += part
                    if not part:
                        selector.unregister(key.fd)
                        os.close(key.fd)
                        del self._open[key.fd]
        self.wait(None if timeout is None else max(0.0, deadline - time.monotonic()))
        return self._out.decode(), self._err.decode()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        with self._server.lock:
            if self.poll() is None:
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float = 60, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Run command to its end; kill it and raise subprocess.TimeoutExpired if that does not come in time."""
    with Process(command, folder, environment, **options) as process:
        try:
            out, err = process.communicate(timeout)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(command, process.wait(), out, err)


class _Server:
    """A process of tests/fork_server.py, started with flags and variables of its own."""

    def __init__(self, flags: Sequence[str], variables: Mapping[str, str]) -> None:
        self.lock = (
            threading.RLock()
        )  # between a question and its answer; between a look at a process and a signal
        self._connection, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    *flags,
                    str(ROOT / "tests" / "fork_server.py"),
                    str(theirs.fileno()),
                    warm.few_authorities(),
                ],
                env={"PATH": os.environ.get("PATH", ""), **variables},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # Ctrl-C is for pytest
            )
        atexit.register(self._end)

    def ask(self, request: Mapping[str, Any], fds: Sequence[int] = ()) -> Any:
        """Send a request and return the answer."""
        with self.lock:
            socket.send_fds(self._connection, [json.dumps(request).encode()], fds)
            answer = self._connection.recv(1024)
        assert answer, f"the fork server ended with exit code {self._process.wait()}"
        return json.loads(answer)

    def _end(self) -> None:
        self._connection.close()
        self._process.wait()


@functools.cache
def _server(flags: tuple[str, ...], variables: tuple[tuple[str, str], ...]) -> _Server:
    return _Server(flags, dict(variables))


def _read_at_start(environment: Mapping[str, str]) -> tuple[tuple[str, str], ...]:
    return tuple(
        sorted((name, text) for name, text in environment.items() if name.startswith(_READ_AT_START))
    )


def _divided(words: Sequence[str]) -> tuple[tuple[str, ...], list[str]]:
    """Return the flags for Python, and the words after them."""
    count = 2 * (words[0] == "-W")
    return tuple(words[:count]), list(words[count:])


def _stream_of_child(wanted: int, pipes: dict[int, bytearray], read: bytearray) -> int:
    """Return the file descriptor for the child; keep our end, if it is of a pipe, in pipes."""
    if wanted == DEVNULL:
        return os.open(os.devnull, os.O_RDWR)
    if wanted == PIPE:
        ours, theirs = os.pipe()
        pipes[ours] = read
        return theirs
    return wanted


def _deadline(timeout: float | None) -> float:
    return float("inf") if timeout is None else time.monotonic() + timeout
