"""Starting the servers of a store on this machine, and stopping them for sure."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Callable

_LEASH = Path(__file__).with_name("leash.py")
_PATIENCE = (
    300.0  # seconds for a server to answer; LocalStack takes 5 on an idle machine, minutes on a busy one
)
_PAUSE = 0.05  # seconds between two looks


class ServerFailed(Exception):
    """A server ended, or did not answer in time; with what it said last."""


class Server:
    """A server that was started, with everything that it starts itself."""

    def __init__(self, process: subprocess.Popen[bytes], name: str, log: Path) -> None:
        self._process = process
        self._name = name
        self._log = log

    def until(self, ready: Callable[[], bool], patience: float = _PATIENCE) -> None:
        """Wait until ready; raise ServerFailed when it does not come, or the server ends before."""
        deadline = time.monotonic() + patience
        while not ready():
            if self._process.poll() is not None:
                raise ServerFailed(f"{self._name} ended by itself: {self.last_words()}")
            if time.monotonic() > deadline:
                raise ServerFailed(f"{self._name} was not ready after {patience:.0f} s: {self.last_words()}")
            time.sleep(_PAUSE)

    def until_it_listens(self, port: int) -> None:
        """Wait until it takes connections at port of 127.0.0.1; raise ServerFailed."""
        self.until(lambda: listens(port))

    def said(self) -> str:
        """Return its output so far."""
        return self._log.read_text(encoding="utf-8", errors="replace")

    def last_words(self) -> str:
        """Return the end of its output, on one line."""
        return " | ".join(self.said().split("\n")[-12:])[-1500:] or "it said nothing"


@contextmanager
def server(
    command: Sequence[str | Path], folder: Path, environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server in folder, its output in a log there; kill it with its whole process group at the end.

    environment is added to this one's, without its AWS variables. It also dies with this process (leash.py).
    """
    name = Path(command[0]).name
    count = len(list(folder.glob(f"{name}*.log")))
    log = folder / f"{name}-{count}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, _LEASH, *command],
            cwd=folder,
            env=environment_with(environment or {}),
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # Ctrl-C is for us; the pipe's end is for it
        )
    assert process.stdin is not None
    try:
        yield Server(process, name, log)
    finally:
        process.stdin.close()
        process.wait()


def environment_with(more: Mapping[str, str]) -> dict[str, str]:
    """Return this process's environment without its AWS variables, and with more."""
    return {name: value for name, value in os.environ.items() if not name.startswith("AWS_")} | dict(more)


def listens(port: int) -> bool:
    """Return whether something takes connections at port of 127.0.0.1."""
    with closing(socket.socket()) as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def free_port() -> int:
    """Return a port of 127.0.0.1 that nothing has at the moment."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
