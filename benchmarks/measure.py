"""Run one command and measure it: time, CPU of it and all its children, peak memory of its process tree."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

SAMPLE_EVERY = 0.1  # seconds between two looks at the memory
_PAGE = os.sysconf("SC_PAGE_SIZE")


class Cost(NamedTuple):
    """What a command cost."""

    exit_code: int  # negative: the number of the signal that ended it
    seconds: float  # wall clock, from start to end
    cpu_seconds: float  # user and system, of the command and of its children that have ended
    peak_rss: int  # bytes; the largest sum over the process tree at one moment (shared pages count in each)
    own_peak_rss: int  # bytes; the largest that any one process had, from the kernel


def run(
    command: Sequence[str], folder: Path, log: Path, environment: Mapping[str, str], timeout: float = 1800
) -> Cost:
    """Run command in folder, its output going to log; kill it after timeout seconds.

    The command gets a session of its own, by which its descendants are found.
    """
    with log.open("wb") as output:
        began = time.monotonic()
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        watch = _Watch(process.pid)
        watch.start()
        killer = threading.Timer(timeout, os.killpg, (process.pid, signal.SIGKILL))
        killer.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
        except BaseException:
            os.killpg(process.pid, signal.SIGKILL)
            raise
        finally:
            killer.cancel()
            watch.end()
        seconds = time.monotonic() - began
        process.returncode = os.WEXITSTATUS(status) if os.WIFEXITED(status) else -os.WTERMSIG(status)
    return Cost(
        process.returncode,
        seconds,
        usage.ru_utime + usage.ru_stime,
        max(watch.peak, usage.ru_maxrss * 1024),
        usage.ru_maxrss * 1024,
    )


class _Watch(threading.Thread):
    """Sample the resident memory of all processes of one session."""

    def __init__(self, session: int) -> None:
        super().__init__(daemon=True)
        self.peak = 0  # bytes
        self._session = session
        self._ended = threading.Event()

    def run(self) -> None:
        while not self._ended.wait(SAMPLE_EVERY):
            self.peak = max(self.peak, rss_of_session(self._session))

    def end(self) -> None:
        self._ended.set()
        self.join()


def rss_of_session(session: int) -> int:
    """Return the resident memory, in bytes, of all processes in the session, added up."""
    total = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_bytes().rpartition(b")")[2].split()  # fields 3 and on of proc(5)
        except OSError:  # it has ended
            continue
        if int(fields[3]) == session:
            total += int(fields[21]) * _PAGE
    return total
