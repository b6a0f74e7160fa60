"""SIGINT, SIGTERM and SIGHUP: the first stops in good order, noted or raised; a second one ends the process at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from cdn2s3.console.signals import Interrupted, Signals
from cdn2s3.errors import RESUME
from tests import ROOT

STOPPING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
ALL = pytest.mark.parametrize("number", STOPPING, ids=lambda number: number.name)
BOTH = pytest.mark.parametrize("number", STOPPING[:2], ids=lambda number: number.name)


@pytest.fixture(autouse=True)
def handlers_restored() -> Iterator[None]:
    before = {number: signal.getsignal(number) for number in STOPPING}
    signal.signal(signal.SIGHUP, signal.SIG_DFL)  # these tests may run under nohup
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@ALL
def test_first_signal_is_raised_with_its_exit_code(number: signal.Signals) -> None:
    signals = Signals()
    with pytest.raises(Interrupted) as caught:
        os.kill(os.getpid(), number)
    assert caught.value.exit_code == 128 + number
    assert signals.received == number


@ALL
def test_signal_in_a_block_that_looks_for_it_is_only_noted(number: signal.Signals) -> None:
    signals, steps = Signals(), []
    with signals.noted():
        os.kill(os.getpid(), number)
        steps.append("the block goes on")
    assert (signals.received, steps) == (number, ["the block goes on"])


def test_block_that_raises_leaves_later_signals_to_be_raised() -> None:
    signals = Signals()
    with pytest.raises(ValueError, match="of the block"), signals.noted():
        raise ValueError("of the block")
    with pytest.raises(Interrupted):
        os.kill(os.getpid(), signal.SIGTERM)


@BOTH
def test_signal_is_raised_in_a_block_that_asks_for_it_and_noted_around_it(number: signal.Signals) -> None:
    signals = Signals()
    signals.note()
    with pytest.raises(Interrupted, match=f"^stopped by {number.name}$"), signals.raised():
        os.kill(os.getpid(), number)
    assert signals.received == number


@BOTH
def test_signal_that_was_noted_is_raised_where_a_block_asks_for_it(number: signal.Signals) -> None:
    signals = Signals()
    signals.note()
    os.kill(os.getpid(), number)
    with pytest.raises(Interrupted) as caught, signals.raised():
        pytest.fail("the block was entered")
    assert caught.value.exit_code == 128 + number


def test_signal_after_a_block_that_asked_for_it_is_noted() -> None:
    signals = Signals()
    signals.note()
    with signals.raised():
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    assert signals.received == signal.SIGTERM


def test_interrupted_passes_by_handlers_of_errors() -> None:
    assert not issubclass(Interrupted, Exception)


@BOTH
@pytest.mark.parametrize("first", STOPPING, ids=lambda number: number.name)
def test_second_signal_ends_the_process_at_once_without_cleaning_up(
    first: signal.Signals, number: signal.Signals
) -> None:
    script = (
        "import os\nfrom cdn2s3.console.signals import Signals\nsignals = Signals()\n"
        f"with signals.noted():\n    try:\n        os.kill(os.getpid(), {int(first)})\n"
        f"        print('noted', flush=True)\n        os.kill(os.getpid(), {int(number)})\n"
        "    finally:\n        print('cleaned up', flush=True)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.returncode, ended.stdout) == (128 + number, "noted\n"), ended.stderr
    assert (
        ended.stderr == f"\nstopped immediately; everything completed is recorded. To continue, {RESUME}.\n"
    )


def test_second_hangup_does_not_hurry() -> None:
    signals = Signals()
    with signals.noted():
        os.kill(os.getpid(), signal.SIGHUP)
        os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received == signal.SIGHUP


def test_hangup_that_nohup_ignores_stays_ignored() -> None:
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signals = Signals()
    os.kill(os.getpid(), signal.SIGHUP)
    assert signals.received == 0
