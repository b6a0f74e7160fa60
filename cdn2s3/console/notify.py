"""NOTIFY_COMMAND: a command of the user's that is told what nobody is there to see.

It gets the facts in its environment (CDN2S3_EVENT, CDN2S3_TEXT …) and as one line of JSON on its standard input. It
runs beside the run, and can neither block nor fail it: it has SECONDS, and what goes wrong with it is logged once.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import shlex
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Union

from cdn2s3.console.signals import Interrupted
from cdn2s3.errors import EXIT_CANNOT_GO_ON, EXIT_FIXABLE, FatalError
from cdn2s3.text import printable, redact

log = logging.getLogger(__name__)

SECONDS = 20.0  # that the command may take
END = "end"
CANNOT_GO_ON = "cannot_go_on"
OUTAGE_START = "outage_start"
OUTAGE_END = "outage_end"

_SHOWN = 200  # characters of what it says
_TICK = 0.2  # seconds between two looks whether the script ends
_MOST_WAITING = 100  # messages; a flapping endpoint must not fill memory

Facts = Mapping[str, Union[str, int, float, None]]


class Notifier:
    """Tell the command; used by a script's main thread, as a context manager around its run.

    command is empty where nobody is to be told. hidden are the variables of the environment that it does not get:
    settings that are secret, and credentials that the settings file is the source of.
    """

    def __init__(self, script: str, command: str, hidden: Iterable[str] = ()) -> None:
        self._script = script
        self._words = shlex.split(command)
        self._hidden = frozenset(hidden)
        self._waiting: queue.Queue[dict[str, object] | None] = queue.Queue(_MOST_WAITING)
        self._thread: threading.Thread | None = None
        self._is_late = threading.Event()  # set: the script ends, and nothing more is told
        self._has_warned = False
        self._has_ended = False

    def __enter__(self) -> Notifier:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, (FatalError, Interrupted)) and not self._has_ended:
            self.ended(
                error.exit_code, str(error), {}
            )  # before the run could begin, such as another one's lock
        self.close()

    def ended(self, exit_code: int | None, why: str, facts: Facts) -> None:
        """Tell that the run has ended, or cannot go on; why is what stopped it, "" if it came to its end."""
        self._has_ended = True
        stuck = exit_code in (EXIT_FIXABLE, EXIT_CANNOT_GO_ON)
        how = "cannot go on" if stuck else "has ended"
        text = f"{self._script} {how}: exit code {exit_code}" + (f", {why}" if why else "")
        self.tell(CANNOT_GO_ON if stuck else END, text, {"exit_code": exit_code, "why": why, **facts})

    def tell(self, event: str, text: str, facts: Facts) -> None:
        """Tell about event; text is a sentence for people. Return at once."""
        if not self._words:
            return
        said = {name: redact(value) if isinstance(value, str) else value for name, value in facts.items()}
        message: dict[str, object] = {"event": event, "text": redact(text), "script": self._script, **said}
        if self._thread is None:
            self._thread = threading.Thread(target=self._run_all, name="notify", daemon=True)
            self._thread.start()
        with suppress(queue.Full):
            self._waiting.put_nowait(message)

    def close(self) -> None:
        """Wait until everything has been told, for SECONDS at most and a little more."""
        if self._thread is None:
            return
        with suppress(queue.Full):
            self._waiting.put_nowait(None)
        self._thread.join(SECONDS + 1)
        if self._thread.is_alive():
            self._is_late.set()
            self._warn(f"it was still busy {SECONDS:.0f} s after the end; the rest is not told")
            self._thread.join()  # the command that runs is killed at once

    def _run_all(self) -> None:
        while not self._is_late.is_set() and (message := self._waiting.get()) is not None:
            self._run(message)

    def _run(self, message: dict[str, object]) -> None:
        inherited = {name: value for name, value in os.environ.items() if name not in self._hidden}
        own = {f"CDN2S3_{name.upper()}": _text(value) for name, value in message.items()}
        line = json.dumps(message).encode() + b"\n"
        with tempfile.TemporaryFile() as said:
            try:
                process = subprocess.Popen(  # noqa: S603  # the user's own command
                    self._words,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.DEVNULL,
                    stderr=said,
                    env={**inherited, **own},
                    start_new_session=True,
                )
            except (OSError, ValueError) as error:
                why = error.strerror if isinstance(error, OSError) else str(error)
                self._warn(f"{printable(self._words[0])} cannot be run ({why})")
                return
            if not self._is_done(process, line):
                _kill(process)
                self._warn(f"it did not end within {SECONDS:.0f} s")
                return
            if process.returncode != 0:
                said.seek(0)
                lines = said.read(10_000).decode("utf-8", "replace").strip().splitlines()
                last = redact(printable(lines[-1]))[:_SHOWN] if lines else "nothing on stderr"
                self._warn(f"it ended with exit code {process.returncode} and said: {last}")

    def _is_done(self, process: subprocess.Popen[bytes], line: bytes) -> bool:
        """Give the command its line; return whether it has ended in time."""
        deadline = time.monotonic() + SECONDS
        given: bytes | None = line
        while time.monotonic() < deadline and not self._is_late.is_set():
            try:
                process.communicate(given, min(_TICK, SECONDS))
            except subprocess.TimeoutExpired:
                given = None  # the process object has kept what is left of it
            else:
                return True
        return False

    def _warn(self, what: str) -> None:
        if not self._has_warned:
            log.warning("NOTIFY_COMMAND: %s; the run goes on, and this is said once", what)
        self._has_warned = True


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill the command and what it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    if process.stdin is not None:
        with suppress(OSError):  # what it has not read
            process.stdin.close()
    deadline = time.monotonic() + 1
    while process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.01)


def _text(value: object) -> str:
    """Return value as a variable of the environment may have it."""
    return "" if value is None else str(value).replace("\0", "")
