"""Whose failure it is: settled as a plain reading of the endpoint's history would."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import PermanentError
from cdn2s3.records import Task
from cdn2s3.resilience.circuit_breaker import FAILURES_TO_OPEN
from cdn2s3.resilience.endpoint import Endpoint
from cdn2s3.transfer.outcome import Done, FailureAttribution, FailureEvidence, Result, source_version
from tests.properties import examples

REFUSED = PermanentError("forbidden", "the CDN answered 403", doubtful=True, status=403)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def failed(
    endpoint: Endpoint,
    url: str,
    retry_after_recovery: bool = False,
    started_after: int = -1,
    cause_before: str = "",
) -> Done:
    evidence = FailureEvidence(endpoint.name, endpoint.health(), started_after)
    return Done(
        Task(url, cause=cause_before, retry_after_recovery=retry_after_recovery),
        Result(url, "k", cause="forbidden", evidence=evidence),
    )


def new_side(clock: Clock) -> Endpoint:
    return Endpoint("source", 500, 1e9, threading.Event(), clock=clock)


def fail(endpoint: Endpoint, count: int) -> None:
    for ticket in [endpoint.acquire() for _ in range(count)]:
        endpoint.failed(ticket, REFUSED)


def test_certain_results_and_second_chances_are_not_held() -> None:
    endpoint = new_side(Clock())
    attribution = FailureAttribution({"source": endpoint})
    assert not attribution.defer(Done(Task("u"), Result("u", "k", cause="not_found")))
    assert not attribution.defer(failed(endpoint, "u", retry_after_recovery=True))
    assert len(attribution) == 0


def test_failure_is_its_own_after_a_later_success() -> None:
    endpoint = new_side(Clock())
    older = endpoint.acquire()
    fail(endpoint, 1)
    attribution, done = FailureAttribution({"source": endpoint}), failed(endpoint, "u")
    assert attribution.defer(done)
    endpoint.succeeded(older)  # began before the failure: tells nothing of the time after it
    assert attribution.resolve() == ([], [])
    endpoint.succeeded(endpoint.acquire())
    assert attribution.resolve() == ([done], [])
    assert len(attribution) == 0


@pytest.mark.parametrize(
    ("others_succeed", "cause_before", "is_certain"),
    [
        pytest.param(False, "", False, id="all failed"),
        pytest.param(True, "", True, id="another succeeded"),
        pytest.param(False, "throttled", True, id="in the second pass"),
    ],
)
def test_failures_that_all_met_at_that_time_get_one_more_chance(
    others_succeed: bool, cause_before: str, is_certain: bool
) -> None:
    endpoint = new_side(Clock())
    endpoint.succeeded(endpoint.acquire())
    started_after = endpoint.newest_attempt
    fail(endpoint, 3)  # attempts of this URL, and of its neighbours
    if others_succeed:
        endpoint.succeeded(endpoint.acquire())
    attribution = FailureAttribution({"source": endpoint})
    done = failed(endpoint, "u", started_after=started_after, cause_before=cause_before)
    assert attribution.defer(done)
    endpoint.succeeded(endpoint.acquire())  # the side works again, or still
    assert attribution.resolve() == (
        ([done], []) if is_certain else ([], [Task("u", retry_after_recovery=True)])
    )
    assert len(attribution) == 0


def test_failures_of_an_outage_are_done_again_as_if_untried() -> None:
    clock = Clock()
    endpoint = new_side(clock)
    attribution = FailureAttribution({"source": endpoint})
    fail(endpoint, 1)
    attribution.defer(failed(endpoint, "early"))
    fail(endpoint, FAILURES_TO_OPEN)
    attribution.defer(failed(endpoint, "late"))
    assert attribution.resolve() == ([], [])
    clock.now = 5
    endpoint.failed(endpoint.acquire(), REFUSED)  # the first probe: still down, so it is an outage
    assert attribution.resolve() == ([], [])
    clock.now = 15
    endpoint.succeeded(endpoint.acquire())
    certain, again = attribution.resolve()
    assert certain == []
    assert again == [Task("early"), Task("late")]


def test_failures_of_a_side_that_was_well_at_its_first_probe_get_one_more_chance() -> None:
    clock = Clock()
    endpoint = new_side(clock)
    attribution = FailureAttribution({"source": endpoint})
    fail(endpoint, FAILURES_TO_OPEN - 1)
    attribution.defer(failed(endpoint, "u"))
    fail(endpoint, 1)
    clock.now = 5
    endpoint.succeeded(endpoint.acquire())
    assert attribution.resolve() == ([], [Task("u", retry_after_recovery=True)])


def test_what_is_held_at_the_end_is_certain() -> None:
    endpoint = new_side(Clock())
    attribution, done = FailureAttribution({"source": endpoint}), failed(endpoint, "u")
    attribution.defer(done)
    assert attribution.resolve_all() == ([done], [])
    assert attribution.resolve_all() == ([], [])


def test_sides_in_doubt_are_those_of_held_failures_that_are_not_down() -> None:
    endpoint, other = new_side(Clock()), Endpoint("bucket", 500, 1e9, threading.Event(), clock=Clock())
    attribution = FailureAttribution({"source": endpoint, "bucket": other})
    assert attribution.endpoints_in_doubt() == []
    attribution.defer(failed(endpoint, "u"))
    attribution.defer(failed(endpoint, "v"))
    assert attribution.endpoints_in_doubt() == [endpoint]
    fail(endpoint, FAILURES_TO_OPEN)
    assert attribution.endpoints_in_doubt() == []


def test_failures_of_a_side_that_did_not_answer_when_asked_are_done_again_as_if_untried() -> None:
    endpoint = Endpoint("source", 500, 1e9, threading.Event(), probe=lambda: False, clock=Clock())
    attribution = FailureAttribution({"source": endpoint})
    attribution.defer(failed(endpoint, "u"))
    endpoint.probe_now()
    assert attribution.resolve_all() == ([], [Task("u")])


def test_what_is_held_at_the_end_is_done_again_while_its_side_is_down() -> None:
    clock = Clock()
    endpoint = new_side(clock)
    attribution = FailureAttribution({"source": endpoint})
    attribution.defer(failed(endpoint, "early"))
    fail(endpoint, FAILURES_TO_OPEN)
    attribution.defer(failed(endpoint, "late"))
    assert attribution.resolve() == ([], [])
    assert attribution.resolve_all() == (
        [],
        [Task("early", retry_after_recovery=True), Task("late", retry_after_recovery=True)],
    )
    assert len(attribution) == 0


def test_second_chance_that_meets_a_side_that_is_down_is_held() -> None:
    clock = Clock()
    endpoint = new_side(clock)
    attribution = FailureAttribution({"source": endpoint})
    fail(endpoint, FAILURES_TO_OPEN)
    assert attribution.defer(failed(endpoint, "u", retry_after_recovery=True))
    clock.now = 5
    endpoint.failed(endpoint.acquire(), REFUSED)  # it is an outage
    assert attribution.resolve_all() == ([], [Task("u")])


@examples(200)
@given(st.lists(st.sampled_from(["fail", "fail50", "succeed", "hold", "settle", "later"]), max_size=40))
def test_each_held_failure_is_settled_once_and_only_as_the_history_allows(steps: list[str]) -> None:
    clock = Clock()
    endpoint = new_side(clock)
    attribution = FailureAttribution({"source": endpoint})
    held: dict[
        str, Any
    ] = {}  # url -> whether an attempt has succeeded since, whether the side was down since
    for number, step in enumerate(steps):
        down = endpoint.health().down_for is not None
        if step == "later":
            clock.now += 100
        elif step in ("fail", "fail50", "succeed"):
            if down and endpoint.health().next_probe_in:
                continue  # nobody is let in
            if step == "succeed":
                endpoint.succeeded(endpoint.acquire())
                for seen in held.values():
                    seen["success"] = True
            else:
                fail(endpoint, 1 if step == "fail" or down else 50)
        elif step == "hold":
            assert attribution.defer(failed(endpoint, str(number)))
            held[str(number)] = {"success": False, "down": down}
        else:
            certain, again = attribution.resolve()
            for url in [done.task.url for done in certain]:
                assert held.pop(url) == {"success": True, "down": False}
            for task in again:
                assert held.pop(task.url)["down"]
            assert len(attribution) == len(held)
            if not down:
                assert not any(seen["success"] or seen["down"] for seen in held.values())
        if endpoint.health().down_for is not None:
            for seen in held.values():
                seen["down"] = True
    certain, again = attribution.resolve_all()
    assert len(certain) + len(again) == len(held)
    assert not certain or endpoint.health().down_for is None


@pytest.mark.parametrize(
    ("headers", "kept"),
    [
        (
            {"etag": '"a"', "last-modified": "Fri, 20 Nov 2026 11:00:00 GMT"},
            ('"a"', "Fri, 20 Nov 2026 11:00:00 GMT"),
        ),
        ({"etag": 'W/"a b"'}, ('W/"a b"', "-")),
        ({"etag": "unquoted"}, ("unquoted", "-")),
        ({"etag": "", "last-modified": "yesterday"}, ("-", "yesterday")),
        ({"etag": "x" * 200}, ("x" * 200, "-")),
        ({"etag": "x" * 201, "last-modified": "y" * 201}, ("-", "-")),
        ({"etag": '"\xe9"', "last-modified": "a\tb"}, ("-", "-")),
        ({}, ("-", "-")),
    ],
)
def test_validators_are_kept_to_the_letter_or_not_at_all(
    headers: dict[str, str], kept: tuple[str, str]
) -> None:
    assert tuple(source_version(headers)) == kept
