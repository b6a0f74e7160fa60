"""Servers of our own, each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.movers import ROOT


@contextmanager
def python_server(module: str, *arguments: str) -> Iterator[str]:
    """Give the URL of a server on this machine: a module that prints its port, and ends when its stdin does."""
    command = [sys.executable, "-m", module, *arguments]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        yield f"http://127.0.0.1:{int(process.stdout.readline())}"
    finally:
        process.communicate()  # closes its stdin, which ends it
    assert process.returncode == 0
