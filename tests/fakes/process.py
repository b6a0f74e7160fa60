"""Servers as processes: the body of `python -m tests.fakes.s3`, and what a test starts one with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from tests import ROOT
from tests.fakes.control import Command, Control, ControlEndpoint


def run_until_told(url: str, commands: Mapping[str, Command], port_file: Path) -> None:
    """Serve the commands, announce both URLs in `port_file`; return on SIGTERM, SIGINT or parent death."""
    told = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: told.set())
    parent = os.getppid()
    endpoint = ControlEndpoint(commands)
    try:
        draft = port_file.with_name(port_file.name + ".tmp")
        draft.write_text(json.dumps({"url": url, "control": endpoint.url, "pid": os.getpid()}))
        draft.replace(port_file)  # whoever waits for the file never sees half of it
        while not told.wait(1.0) and os.getppid() == parent:
            pass
    finally:
        endpoint.close()


class ServerProcess:
    """A server in a process of its own: `with ServerProcess("tests.fakes.s3", folder) as s3: s3.url`."""

    def __init__(self, module: str, folder: Path, *arguments: str, patience: float = 20.0) -> None:
        port_file = folder / f"{module.rpartition('.')[2]}-{time.monotonic_ns()}.json"
        command = [sys.executable, "-m", module, "--port-file", str(port_file), *arguments]
        self._process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL)
        try:
            announced = self._announced(port_file, time.monotonic() + patience)
        except BaseException:
            self.close()
            raise
        self.url: str = announced["url"]
        self.control = Control(announced["control"])

    def _announced(self, port_file: Path, deadline: float) -> dict[str, Any]:
        while not port_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"the server did not start: exit code {self._process.returncode}")
            time.sleep(0.02)
        announced: dict[str, Any] = json.loads(port_file.read_text())
        return announced

    def __enter__(self) -> ServerProcess:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the process, kindly first."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(10)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
