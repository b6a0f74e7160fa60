"""NOTIFY_COMMAND: what it gets, and that nothing it does stops a run."""

from __future__ import annotations

import json
import logging
import shlex
import sys
import threading
import time
from pathlib import Path

import pytest

from cdn2s3.console import notify
from cdn2s3.console.notify import CANNOT_GO_ON, END, Notifier
from cdn2s3.console.signals import Interrupted
from cdn2s3.errors import FatalError, UsageError

_WRITES = """\
import os, sys
open(sys.argv[1], "a").write(sys.stdin.read())
open(sys.argv[2], "w").write(repr(dict(os.environ)))
"""


class Told:
    """A command that writes down what it is told."""

    def __init__(self, folder: Path) -> None:
        self.input, self.variables = folder / "input", folder / "variables"
        words = [sys.executable, "-c", _WRITES, str(self.input), str(self.variables)]
        self.command = shlex.join(words)

    def messages(self) -> list[dict[str, object]]:
        lines = self.input.read_text().splitlines() if self.input.exists() else []
        return [json.loads(line) for line in lines]


@pytest.fixture
def told(tmp_path: Path) -> Told:
    return Told(tmp_path)


def test_command_gets_the_facts_in_its_environment_and_as_a_line_of_json(told: Told) -> None:
    with Notifier("migrate.py", told.command) as notifier:
        notifier.tell("outage_start", "the source is down", {"side": "source", "seconds": 7, "eta": None})
    assert told.messages() == [
        {
            "event": "outage_start",
            "text": "the source is down",
            "script": "migrate.py",
            "side": "source",
            "seconds": 7,
            "eta": None,
        }
    ]
    variables = told.variables.read_text()
    for said in (
        "'CDN2S3_EVENT': 'outage_start'",
        "'CDN2S3_SIDE': 'source'",
        "'CDN2S3_SECONDS': '7'",
        "'CDN2S3_ETA': ''",
    ):
        assert said in variables


def test_messages_come_in_their_order(told: Told) -> None:
    with Notifier("migrate.py", told.command) as notifier:
        for number in range(3):
            notifier.tell(END, str(number), {})
    assert [message["text"] for message in told.messages()] == ["0", "1", "2"]


def test_no_secret_is_in_it(told: Told, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("API_AUTH_TOKEN", "s3cr3t")
    monkeypatch.setenv("USUAL", "kept")
    with Notifier("migrate.py", told.command, {"API_AUTH_TOKEN"}) as notifier:
        notifier.tell(END, "no https://u:s3cr3t@h/a.jpg?sig=s3cr3t", {"why": "https://h/a?sig=s3cr3t"})
    assert "s3cr3t" not in told.variables.read_text() + told.input.read_text()
    assert "'USUAL': 'kept'" in told.variables.read_text()


@pytest.mark.parametrize(
    ("error", "event", "code"),
    [
        pytest.param(FatalError("another run"), CANNOT_GO_ON, 3, id="cannot go on"),
        pytest.param(UsageError("collisions"), CANNOT_GO_ON, 2, id="cannot start"),
        pytest.param(Interrupted(15), END, 143, id="signal"),
    ],
)
def test_what_stops_a_run_before_it_begins_is_told(
    told: Told, error: BaseException, event: str, code: int
) -> None:
    with pytest.raises(type(error)), Notifier("migrate.py", told.command):
        raise error
    (message,) = told.messages()
    assert (message["event"], message["exit_code"]) == (event, code)
    assert str(error) in str(message["text"])


def test_end_is_told_once(told: Told) -> None:
    with pytest.raises(FatalError), Notifier("migrate.py", told.command) as notifier:
        notifier.ended(3, "no bucket", {})
        raise FatalError("no bucket")
    assert len(told.messages()) == 1


@pytest.mark.parametrize(
    ("command", "said"),
    [
        pytest.param("/does/not/exist", "cannot be run", id="no such command"),
        pytest.param("sh -c 'echo no route >&2; exit 7'", "exit code 7 and said: no route", id="fails"),
        pytest.param("sh -c 'sleep 30'", "did not end within", id="hangs"),
        pytest.param("sh -c 'sleep 30 & wait'", "did not end within", id="its children hang"),
        pytest.param("sh -c 'trap \"\" TERM INT HUP; sleep 30'", "did not end within", id="ignores signals"),
    ],
)
def test_command_that_goes_wrong_is_a_warning(
    command: str, said: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notify, "SECONDS", 0.2)
    began = time.monotonic()
    with caplog.at_level(logging.WARNING), Notifier("migrate.py", command) as notifier:
        notifier.tell(END, "first", {})
        notifier.tell(END, "second", {})
    assert time.monotonic() - began < 5
    assert [said in record.getMessage() for record in caplog.records] == [True]


def test_telling_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "SECONDS", 0.3)
    notifier = Notifier("migrate.py", "sleep 30")
    began = time.monotonic()
    for _ in range(300):
        notifier.tell(END, "text", {})
    assert time.monotonic() - began < 0.2
    notifier.close()
    assert "notify" not in [thread.name for thread in threading.enumerate()]  # the other 299 are not told


def test_command_that_reads_nothing_is_no_error(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), Notifier("migrate.py", "true") as notifier:
        notifier.tell(END, "x" * 30_000, {})
    assert caplog.records == []


def test_nobody_is_told_without_a_command() -> None:
    with Notifier("migrate.py", "") as notifier:
        notifier.tell(END, "text", {})
