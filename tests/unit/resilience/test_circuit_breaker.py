"""The table of CircuitBreaker, row by row: what each state admits is tested in test_endpoint.py."""

from __future__ import annotations

import pytest

from cdn2s3.resilience.circuit_breaker import FAILURES_TO_OPEN, FIRST_PROBE, CircuitBreaker, CircuitState

CLOSED, OPEN, HALF_OPEN = CircuitState.CLOSED, CircuitState.OPEN, CircuitState.HALF_OPEN


def open_breaker() -> CircuitBreaker:
    breaker = CircuitBreaker()
    breaker.open(0.0)
    return breaker


def half_open_breaker() -> CircuitBreaker:
    breaker = open_breaker()
    breaker.begin_probe()
    return breaker


def test_closed_opens_at_the_last_of_so_many_failures_in_a_row() -> None:
    breaker = CircuitBreaker()
    opened = [breaker.failed(1.0, is_probe=False) for _ in range(FAILURES_TO_OPEN - 1)]
    assert (breaker.state, any(opened)) == (CLOSED, False)
    assert breaker.failed(7.0, is_probe=False)
    assert (breaker.state, breaker.times_opened, breaker.open_for(9.0)) == (OPEN, 1, 2.0)
    assert breaker.probe_in(7.0) == FIRST_PROBE
    assert not breaker.failed(8.0, is_probe=False)  # it opens once
    assert breaker.times_opened == 1


def test_success_begins_the_row_anew() -> None:
    breaker = CircuitBreaker()
    for _ in range(3):
        for _ in range(FAILURES_TO_OPEN - 1):
            breaker.failed(1.0, is_probe=False)
        breaker.succeeded()
    assert breaker.state is CLOSED


@pytest.mark.parametrize("breaker", [open_breaker(), half_open_breaker()], ids=["open", "half-open"])
def test_success_closes(breaker: CircuitBreaker) -> None:
    breaker.end_probe()
    breaker.close()
    assert (breaker.state, breaker.open_for(9.0), breaker.outages) == (CLOSED, None, 0)


def test_open_is_half_open_while_the_probe_is_made() -> None:
    breaker = open_breaker()
    breaker.begin_probe()
    assert breaker.state is HALF_OPEN
    breaker.end_probe()
    assert (breaker.state, breaker.probe_in(FIRST_PROBE)) == (OPEN, 0.0)  # due at once


def test_probes_that_fail_are_twice_as_far_apart_each_and_are_one_outage() -> None:
    breaker, now, waits = open_breaker(), 0.0, []
    for _ in range(6):
        now += breaker.probe_in(now)
        breaker.begin_probe()
        breaker.end_probe()
        breaker.probe_failed(now)
        waits.append(breaker.probe_in(now))
    assert waits == [10, 20, 40, 60, 60, 60]
    assert (breaker.state, breaker.outages) == (OPEN, 1)


def test_probe_that_fails_after_the_circuit_has_closed_changes_nothing() -> None:
    breaker = half_open_breaker()
    breaker.close()
    breaker.end_probe()
    assert not breaker.failed(9.0, is_probe=True)
    assert (breaker.state, breaker.outages) == (CLOSED, 0)
