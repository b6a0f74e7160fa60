"""A long step says how far it is."""

from __future__ import annotations

import itertools
import logging

import pytest

from cdn2s3.console.progress import log_progress

LINES = [(place, b"line") for place in range(16_384, 100_000, 16_384)]


@pytest.mark.parametrize(
    ("seconds_a_look", "said"),
    [
        pytest.param(0.5, [], id="a short step"),
        pytest.param(3.0, ["reading a: 33 %", "reading a: 66 %", "reading a: 98 %"], id="a long one"),
        pytest.param(60.0, [f"reading a: {n} %" for n in (16, 33, 49, 66, 82, 98)], id="a very long one"),
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
    assert set(caplog.messages) == {"s: 100 %"}
