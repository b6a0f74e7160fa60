"""The bar and the log lines: what stands in them, and that a line is never broken."""

from __future__ import annotations

import fcntl
import io
import itertools
import logging
import os
import pty
import re
import struct
import sys
import termios
from collections.abc import Iterator

import pytest

from cdn2s3.console.progress import (
    Count,
    Figure,
    Progress,
    Rate,
    Speed,
    _figures,
    above_a_bar,
    fitting,
    log_progress,
    say,
)

BUSY = Count(ended=900, size=360_000_000, failed=12, error_rate=0.01)


class Clock:
    """A clock that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


class Terminal:
    """A pseudo-terminal of some width: what is written to `console` comes back from `shown()`."""

    def __init__(self, columns: int) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
        self.console = os.fdopen(theirs, "w", encoding="utf-8")

    def shown(self) -> str:
        self.console.flush()
        os.set_blocking(self._ours, False)
        parts = []
        while True:
            try:
                parts.append(os.read(self._ours, 65536))
            except BlockingIOError:
                return b"".join(parts).decode()

    def close(self) -> None:
        self.console.close()
        os.close(self._ours)


@pytest.fixture
def terminal(request: pytest.FixtureRequest) -> Iterator[Terminal]:
    made = Terminal(getattr(request, "param", 80))
    yield made
    made.close()


def drawn(shown: str) -> list[str]:
    """Return the lines that the bar drew, each over the one before."""
    return [line.rstrip() for line in shown.replace("\n", "\r").split("\r") if re.search(r"\d%[| ]", line)]


def test_rate_is_unknown_until_it_means_something() -> None:
    clock = Clock()
    rate = Rate(clock)
    clock.now += 4
    rate.mark(400, 4000)
    assert rate.now() is None
    clock.now += 1
    rate.mark(500, 5000)
    assert rate.now() == Speed(100, 1000)


def test_rate_forgets_what_is_older_than_a_minute() -> None:
    clock = Clock()
    rate = Rate(clock)
    for second in range(1, 181):
        clock.now += 1
        rate.mark(100 * min(second, 120), 0)
    assert rate.now() == Speed(0, 0)


def test_rate_stands_still_within_a_second() -> None:
    clock = Clock()
    rate = Rate(clock)
    clock.now += 10
    rate.mark(1000, 0)
    clock.now += 0.9
    rate.mark(5000, 0)
    assert rate.now() == Speed(100, 0)


@pytest.mark.parametrize(
    ("columns", "line"),
    [
        pytest.param(80, "10 files/s, 4.0 MB/s, ETA 5 min, failed 3, source throttled", id="room for all"),
        pytest.param(50, "ETA 5 min, failed 3, source throttled", id="rates go first"),
        pytest.param(32, "ETA 5 min, source throttled", id="then the failures"),
        pytest.param(18, "source throttled", id="what limits stays"),
        pytest.param(12, "source th…", id="and is cut"),
        pytest.param(0, "…", id="no room at all"),
    ],
)
def test_figures_are_dropped_by_rank(columns: int, line: str) -> None:
    figures = [
        Figure(3, "10 files/s"),
        Figure(4, "4.0 MB/s"),
        Figure(1, "ETA 5 min"),
        Figure(2, "failed 3"),
        Figure(0, "source throttled"),
    ]
    assert fitting(figures, columns) == line


@pytest.mark.parametrize(
    ("speed", "words"),
    [
        pytest.param(None, "failed 12", id="no rate yet"),
        pytest.param(Speed(10, 4e6), "10 files/s, 4.0 MB/s, ETA 2 min, failed 12", id="rate"),
        pytest.param(Speed(0, 0), "0 files/s, 0.0 MB/s, failed 12", id="nothing moves"),
        pytest.param(Speed(1000, 4e6), "1,000 files/s, 4.0 MB/s, failed 12", id="the last seconds"),
    ],
)
def test_eta_is_said_only_when_it_means_something(speed: Speed | None, words: str) -> None:
    assert ", ".join(figure.text for figure in _figures(BUSY, speed, 2000, "")) == words


@pytest.mark.parametrize("terminal", [40, 80, 120], indirect=True)
def test_bar_never_wraps(terminal: Terminal) -> None:
    columns = os.get_terminal_size(terminal.console.fileno()).columns
    progress = Progress(4_000_000, terminal.console)
    note = "source down 10 s (503), probe in 20 s"
    progress.show(BUSY, note)
    progress.close()
    lines = drawn(terminal.shown())
    assert (note in lines[-1]) == (columns >= 80)
    assert lines
    assert max(map(len, lines)) < columns
    assert "900/4,000,000" in lines[-1]


def test_blocks_go_before_a_figure_does(terminal: Terminal) -> None:
    clock = Clock()
    progress = Progress(20_000, terminal.console, clock)
    for second in range(1, 11):
        clock.now += 1
        progress.show(Count(143 * second, 4_000_000 * second, 12, 0.0), "throttled" if second > 8 else "")
    progress.close()
    lines = drawn(terminal.shown())
    figures = "143 files/s, 4.0 MB/s, ETA 2 min, failed 12"
    assert any(re.search(rf"%\|.{{8,}}\| 1,144/20,000, {figures}$", line) for line in lines)
    assert lines[-1] == f"  7.1% 1,430/20,000, {figures}, throttled"


def test_bar_goes_narrow_with_the_terminal(terminal: Terminal) -> None:
    progress = Progress(2000, terminal.console)
    fcntl.ioctl(terminal.console.fileno(), termios.TIOCSWINSZ, struct.pack("HHHH", 24, 50, 0, 0))
    terminal.shown()
    progress.show(BUSY, "source throttled to 75 of 150")
    progress.close()
    assert len(drawn(terminal.shown())[-1]) < 50


def test_log_record_stands_on_a_line_of_its_own_above_the_bar(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.console)
    root = logging.getLogger()
    handler = logging.StreamHandler(terminal.console)
    handler.setFormatter(logging.Formatter("%(levelname)s %(message)s"))
    monkeypatch.setattr(root, "handlers", [handler])
    progress = Progress(2000, terminal.console)
    progress.show(BUSY)
    logging.getLogger("migrate").warning("the CDN answers slowly")
    progress.close()
    shown = terminal.shown()
    assert [line for line in shown.replace("\r", "\n").split("\n") if line.startswith("WARNING")] == [
        "WARNING the CDN answers slowly"
    ]
    assert root.handlers == [handler]


def test_log_line_tells_failures_that_the_error_rate_leaves_out(caplog: pytest.LogCaptureFixture) -> None:
    progress = Progress(2000, io.StringIO())
    with caplog.at_level(logging.INFO):
        progress.show(Count(1000, 0, failed=555, error_rate=0.0, for_good=552), "note")
    assert "failed 555 (552 permanent), transient error rate 0.0%, note" in caplog.text


def test_progress_lines_stay_out_of_the_terminal(terminal: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.console)
    file = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(
        root, "handlers", [logging.StreamHandler(terminal.console), logging.StreamHandler(file)]
    )
    monkeypatch.setattr(root, "level", logging.INFO)
    progress = Progress(2000, terminal.console)
    progress.show(BUSY._replace(ended=1000), "source throttled to 75 of 150")
    progress.close()
    line = "1,000 of 2,000 (50.0%), failed 12, error rate 1.0%, source throttled to 75 of 150"
    assert line in file.getvalue()
    assert line not in terminal.shown()


def test_progress_without_a_terminal_logs_a_line_every_1000_files(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    console = io.StringIO()
    progress = Progress(5000, console)
    for ended in range(0, 2501, 100):
        progress.show(BUSY._replace(ended=ended))
    progress.close()
    assert [record.getMessage().partition(", ")[0] for record in caplog.records] == [
        "1,000 of 5,000 (20.0%)",
        "2,000 of 5,000 (40.0%)",
    ]
    assert console.getvalue() == ""


def test_progress_without_a_terminal_logs_a_line_a_minute_also_while_nothing_ends(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    progress = Progress(5000, io.StringIO(), clock)
    said = []
    for second in range(1, 301):
        clock.now += 1
        caplog.clear()
        progress.show(BUSY, "source is down")
        said += [(second, record.getMessage()) for record in caplog.records]
    assert [second for second, _ in said] == [60, 120, 180, 240, 300]
    assert {line for _, line in said[1:]} == {
        "900 of 5,000 (18.0%), 0 files/s, 0.0 MB/s, failed 12, error rate 1.0%, source is down"
    }


def test_progress_line_for_files_begins_the_minute_anew(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    clock = Clock()
    progress = Progress(5000, io.StringIO(), clock)
    said = []
    for second, ended in ((50, 1000), (100, 1001), (110, 1002)):
        clock.now = Clock.now + second
        caplog.clear()
        progress.show(BUSY._replace(ended=ended))
        said += [second] * len(caplog.records)
    assert said == [50, 110]


def test_bar_is_drawn_a_few_times_a_second_at_most(terminal: Terminal) -> None:
    clock = Clock()
    progress = Progress(2000, terminal.console, clock)
    terminal.shown()
    for ended in range(10):
        clock.now += 0.1
        progress.show(BUSY._replace(ended=ended))
    assert len(drawn(terminal.shown())) == 4
    progress.close()


def test_progress_lines_of_another_bar_stay_out_of_the_terminal(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "stderr", terminal.console)
    handler = logging.StreamHandler(terminal.console)
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [handler])
    monkeypatch.setattr(root, "level", logging.INFO)
    with above_a_bar(terminal.console):
        say("10,000 URLs")
        root.info("a warning")
    say("complete")
    shown = terminal.shown()
    assert "a warning" in shown and "complete" in shown
    assert "10,000 URLs" not in shown


def test_progress_lines_are_shown_where_there_is_no_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    console = io.StringIO()
    root = logging.getLogger()
    monkeypatch.setattr(root, "handlers", [logging.StreamHandler(console)])
    monkeypatch.setattr(root, "level", logging.INFO)
    with above_a_bar(console):
        say("10,000 URLs")
    assert console.getvalue() == "10,000 URLs\n"


LINES = [(place, b"line") for place in range(16_384, 100_000, 16_384)]


@pytest.mark.parametrize(
    ("seconds_a_look", "said"),
    [
        pytest.param(0.5, [], id="a short step"),
        pytest.param(3.0, ["reading a: 33%", "reading a: 66%", "reading a: 98%"], id="a long one"),
        pytest.param(60.0, [f"reading a: {n}%" for n in (16, 33, 49, 66, 82, 98)], id="a very long one"),
    ],
)
def test_step_tells_how_far_it_is(
    seconds_a_look: float, said: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    ticks = itertools.count(0, seconds_a_look)
    with caplog.at_level(logging.INFO):
        assert list(log_progress("reading a", LINES, 100_000, lambda: next(ticks))) == LINES
    assert caplog.messages == said


@pytest.mark.parametrize("end", [0, 10], ids=["unknown", "grown since"])
def test_step_is_never_beyond_its_end(end: int, caplog: pytest.LogCaptureFixture) -> None:
    ticks = itertools.count(0, 10)
    with caplog.at_level(logging.INFO):
        assert list(log_progress("s", LINES, end, lambda: next(ticks))) == LINES
    assert set(caplog.messages) == {"s: 100%"}


def test_bar_and_lines_of_a_resume_begin_where_the_job_is(
    terminal: Terminal, caplog: pytest.LogCaptureFixture
) -> None:
    progress = Progress(1000, terminal.console, before=3000, all_urls=10_000)
    assert "3,000/10,000" in drawn(terminal.shown())[-1]
    with caplog.at_level(logging.INFO):
        progress.show(Count(1000, 0, failed=0, error_rate=0.0))
    progress.close()
    assert drawn(terminal.shown())[-1].startswith(" 40.0%")
    assert "4,000 of 10,000 (40.0%)" in caplog.text


def test_eta_of_a_resume_is_that_of_what_the_run_does(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    progress = Progress(2000, io.StringIO(), clock, before=3000, all_urls=10_000)
    with caplog.at_level(logging.INFO):
        for _ in range(10):
            clock.now += 1
            progress.show(Count(1000 if clock.now > 109 else 0, 0, failed=0, error_rate=0.0))
    assert progress.speed is not None
    assert "ETA 10 s" in caplog.text
