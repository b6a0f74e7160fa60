"""Signals: the first one is noted and ends a sleep, the second one ends the process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from cdn2s3.errors import Stopped
from cdn2s3.stopping import StopSignals


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_signal_ends_a_sleep(signum: int) -> None:
    with StopSignals() as stop:
        timer = threading.Timer(0.05, os.kill, (os.getpid(), signum))
        timer.start()
        begun = time.monotonic()
        with pytest.raises(Stopped):
            stop.sleep(30)
        timer.join()
        assert time.monotonic() - begun < 5
        assert stop.signum == signum
        with pytest.raises(Stopped):
            stop.check()


def test_sleep_without_a_signal_lasts_its_time() -> None:
    begun = time.monotonic()
    StopSignals().sleep(0.05)
    assert time.monotonic() - begun >= 0.05


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGTERM) != before
    assert signal.getsignal(signal.SIGTERM) == before


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=["SIGINT", "SIGTERM"])
def test_second_signal_ends_the_process_at_once(signum: int) -> None:
    script = (
        "import os, time\n"
        "from cdn2s3.stopping import StopSignals\n"
        "with StopSignals():\n"
        f"    os.kill(os.getpid(), {int(signum)})\n"
        f"    os.kill(os.getpid(), {int(signum)})\n"
        "    time.sleep(30)\n"
    )
    root = Path(__file__).resolve().parents[1]
    ended = subprocess.run([sys.executable, "-c", script], cwd=root, timeout=20, check=False)
    assert ended.returncode == 128 + signum
