"""A Dask scheduler and workers of this machine, as processes of their own over TCP or TLS, as docs/cluster.md says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Callable

from tests import ROOT
from tests.running import QUICK, environment

PATIENCE = 30.0  # seconds; what takes longer hangs
_PRELOAD = """\
import importlib, json, sys
sys.path.insert(0, {root!r})
for name, value in {constants!r}.items():
    module, _, constant = name.rpartition(".")
    setattr(importlib.import_module(module), constant, value)
"""
_PARENT, _SESSION = 1, 3  # fields of /proc/PID/stat, counted from the state
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIATEST", "AWS_SECRET_ACCESS_KEY": "secret"}


def tls_variables(ca: str, pair: str) -> dict[str, str]:
    """Return the variables of Dask's configuration for one authority, and one certificate with its key for all."""
    ends = {
        f"DASK_DISTRIBUTED__COMM__TLS__{end}__{what}": pair
        for end in ("SCHEDULER", "WORKER", "CLIENT")
        for what in ("CERT", "KEY")
    }
    return {
        "DASK_DISTRIBUTED__COMM__TLS__CA_FILE": ca,
        "DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION": "true",
        **ends,
    }


class DaskProcess:
    """The scheduler, or a worker with its nanny; what it says is in its file."""

    def __init__(self, words: list[str], folder: Path, log: Path, variables: Mapping[str, str]) -> None:
        self.log = log
        with log.open("wb") as said:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "dask", *words],
                cwd=folder,
                env=dict(variables),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def until_said(self, pattern: str) -> re.Match[str]:
        """Wait until it has said what pattern matches."""
        deadline = time.monotonic() + PATIENCE
        while not (found := re.search(pattern, self.said)):
            assert self._process.poll() is None, f"it ended: {self.said}"
            assert time.monotonic() < deadline, f"it did not say {pattern}: {self.said}"
            time.sleep(0.02)
        return found

    def pids(self) -> list[int]:
        """Return all its processes: it has a session of its own."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _field(entry, _SESSION) == self.pid
        ]

    def children(self) -> list[int]:
        """Return the processes that a nanny has started: the workers proper."""
        return [
            int(entry.name)
            for entry in Path("/proc").iterdir()
            if entry.name.isdigit() and _field(entry, _PARENT) == self.pid and "spawn_main" in _command(entry)
        ]

    def kill(self, nanny_too: bool = False) -> None:
        """Kill (-9) the worker proper, or everything."""
        if nanny_too:
            os.killpg(self.pid, signal.SIGKILL)
            self._process.wait()
            return
        for pid in self.children():
            os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        if self._process.poll() is None:
            os.killpg(self.pid, signal.SIGKILL)
        self._process.wait()


class DaskCluster:
    """A scheduler and its workers; close() ends them all."""

    def __init__(self, folder: Path, tls: Mapping[str, str] | None = None) -> None:
        self._folder = folder
        self._tls = dict(tls or {})
        self.scheme = "tls" if tls else "tcp"
        self.port = free_port()
        self.dashboard = free_port()
        self.address = f"{self.scheme}://127.0.0.1:{self.port}"
        self.workers: list[DaskProcess] = []
        self._preload = folder / "quick_constants.py"
        constants = {name: value for name, value in QUICK.items() if not name.startswith("migrate.")}
        self._preload.write_text(_PRELOAD.format(root=str(ROOT), constants=constants))
        self.scheduler = self._scheduler()

    @property
    def client_variables(self) -> dict[str, str]:
        """The variables that the coordinator needs."""
        return self._tls

    def _variables(self) -> dict[str, str]:
        variables = {name: text for name, text in environment(self._folder).items() if name != "PYTHONPATH"}
        return {**variables, **self._tls, "PYTHONUNBUFFERED": "1"}

    def _scheduler(self) -> DaskProcess:
        words = ["scheduler", "--host", f"{self.scheme}://127.0.0.1", "--port", str(self.port)]
        words += ["--dashboard-address", f"127.0.0.1:{self.dashboard}"]
        # In a folder without our code: it needs none.
        started = DaskProcess(words, self._folder, self._folder / "scheduler.log", self._variables())
        started.until_said("Scheduler at:")
        return started

    def start_worker(
        self,
        code: Path = ROOT,
        count: int = 1,
        variables: Mapping[str, str] = CREDENTIALS,
        nanny: bool = True,
        wait: bool = True,
    ) -> DaskProcess:
        """Start a worker (with its nanny) as on a machine of its own, in the folder code; several with count."""
        words = ["worker", self.address, "--nthreads", "1", "--nworkers", str(count), "--no-dashboard"]
        words += ["--dashboard-address", "127.0.0.1:0", "--host", f"{self.scheme}://127.0.0.1"]
        words += ["--local-directory", str(self._folder / "scratch"), "--preload", str(self._preload)]
        words += [] if nanny else ["--no-nanny"]
        log = self._folder / f"worker-{len(self.workers)}.log"
        if code != ROOT:  # its own code, not ours
            words.remove(str(self._preload))
            words.remove("--preload")
        started = DaskProcess(words, code, log, {**self._variables(), **variables})
        self.workers.append(started)
        if wait:
            started.until_said("Registered to:")
        return started

    def restart_scheduler(self) -> None:
        self.scheduler.close()
        self.scheduler = self._scheduler()

    def close(self) -> None:
        for process in (*self.workers, self.scheduler):
            process.close()

    def logs(self) -> str:
        """Return everything that its processes have said."""
        return "".join(process.said for process in (*self.workers, self.scheduler))


def until(condition: Callable[[], bool], patience: float = PATIENCE) -> None:
    """Wait until condition holds."""
    deadline = time.monotonic() + patience
    while not condition():
        assert time.monotonic() < deadline, "what was waited for did not come"
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def _field(entry: Path, number: int) -> int:
    """Return a field of /proc/PID/stat, counted from the state; 0 where the process has ended."""
    try:
        return int((entry / "stat").read_text().rpartition(")")[2].split()[number])
    except OSError:
        return 0


def _command(entry: Path) -> str:
    try:
        return (entry / "cmdline").read_text()
    except OSError:
        return ""
