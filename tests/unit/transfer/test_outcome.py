"""Tasks handed out once each, and doubts settled as a plain reading of the side's history would."""

from __future__ import annotations

import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.executors.base import TaskQueue
from cdn2s3.records import Task
from cdn2s3.resilience.circuit_breaker import ATTEMPTS_UNTIL_DOWN, Endpoint
from cdn2s3.transfer.outcome import Done, FailureAttribution, FailureEvidence, Result
from tests.properties import examples


def test_feed_hands_out_what_was_put_in_before_the_list() -> None:
    feed = TaskQueue([Task("a"), Task("b")])
    first = next(feed)
    feed.put(Task("x"), Task("y"))
    assert feed.has_more
    assert [first.url, *(task.url for task in feed)] == ["a", "x", "y", "b"]
    assert not feed.has_more
    feed.put(Task("z"))  # a feed that has ended goes on when something is put back
    assert [task.url for task in feed] == ["z"]


def test_open_feed_waits_until_it_is_closed() -> None:
    feed, got = TaskQueue(is_open=True), []
    worker = threading.Thread(target=lambda: got.extend(task.url for task in feed))
    worker.start()
    feed.put(Task("a"), Task("b"))
    feed.close()
    worker.join(10)
    assert got == ["a", "b"]


def test_threads_share_a_feed_without_a_task_twice() -> None:
    feed, got = TaskQueue(Task(str(number)) for number in range(2000)), []
    threads = [threading.Thread(target=lambda: got.extend(task.url for task in feed)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got, key=int) == [str(number) for number in range(2000)]


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def failed(
    side: Endpoint,
    url: str,
    retry_after_recovery: bool = False,
    started_after: int = -1,
    cause_before: str = "",
) -> Done:
    doubt = FailureEvidence(side.name, side.health(), started_after)
    return Done(
        Task(url, cause=cause_before, retry_after_recovery=retry_after_recovery),
        Result(url, "k", cause="forbidden", doubt=doubt),
    )


def new_side(clock: Clock) -> Endpoint:
    return Endpoint("source", 500, 1e9, threading.Event(), clock=clock)


def fail(side: Endpoint, count: int) -> None:
    for ticket in [side.acquire() for _ in range(count)]:
        side.failed(ticket, "403")


def test_certain_results_and_second_chances_are_not_held() -> None:
    side = new_side(Clock())
    doubts = FailureAttribution({"source": side})
    assert not doubts.hold(Done(Task("u"), Result("u", "k", cause="not_found")))
    assert not doubts.hold(failed(side, "u", retry_after_recovery=True))
    assert len(doubts) == 0


def test_failure_is_its_own_after_a_later_success() -> None:
    side = new_side(Clock())
    older = side.acquire()
    fail(side, 1)
    doubts, done = FailureAttribution({"source": side}), failed(side, "u")
    assert doubts.hold(done)
    side.succeeded(older)  # began before the failure: tells nothing of the time after it
    assert doubts.settle() == ([], [])
    side.succeeded(side.acquire())
    assert doubts.settle() == ([done], [])
    assert len(doubts) == 0


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
    side = new_side(Clock())
    side.succeeded(side.acquire())
    started_after = side.newest_attempt
    fail(side, 3)  # attempts of this URL, and of its neighbours
    if others_succeed:
        side.succeeded(side.acquire())
    doubts = FailureAttribution({"source": side})
    done = failed(side, "u", started_after=started_after, cause_before=cause_before)
    assert doubts.hold(done)
    side.succeeded(side.acquire())  # the side works again, or still
    assert doubts.settle() == (([done], []) if is_certain else ([], [Task("u", retry_after_recovery=True)]))
    assert len(doubts) == 0


def test_failures_of_an_outage_are_done_again_as_if_untried() -> None:
    clock = Clock()
    side = new_side(clock)
    doubts = FailureAttribution({"source": side})
    fail(side, 1)
    doubts.hold(failed(side, "early"))
    fail(side, ATTEMPTS_UNTIL_DOWN)
    doubts.hold(failed(side, "late"))
    assert doubts.settle() == ([], [])
    clock.now = 5
    side.failed(side.acquire(), "403")  # the first probe: still down, so it is an outage
    assert doubts.settle() == ([], [])
    clock.now = 15
    side.succeeded(side.acquire())
    certain, again = doubts.settle()
    assert certain == []
    assert again == [Task("early"), Task("late")]


def test_failures_of_a_side_that_was_well_at_its_first_probe_get_one_more_chance() -> None:
    clock = Clock()
    side = new_side(clock)
    doubts = FailureAttribution({"source": side})
    fail(side, ATTEMPTS_UNTIL_DOWN - 1)
    doubts.hold(failed(side, "u"))
    fail(side, 1)
    clock.now = 5
    side.succeeded(side.acquire())
    assert doubts.settle() == ([], [Task("u", retry_after_recovery=True)])


def test_what_is_held_at_the_end_is_certain() -> None:
    side = new_side(Clock())
    doubts, done = FailureAttribution({"source": side}), failed(side, "u")
    doubts.hold(done)
    assert doubts.give_up() == ([done], [])
    assert doubts.give_up() == ([], [])


def test_sides_in_doubt_are_those_of_held_failures_that_are_not_down() -> None:
    side, other = new_side(Clock()), Endpoint("bucket", 500, 1e9, threading.Event(), clock=Clock())
    doubts = FailureAttribution({"source": side, "bucket": other})
    assert doubts.sides_in_doubt() == []
    doubts.hold(failed(side, "u"))
    doubts.hold(failed(side, "v"))
    assert doubts.sides_in_doubt() == [side]
    fail(side, ATTEMPTS_UNTIL_DOWN)
    assert doubts.sides_in_doubt() == []


def test_failures_of_a_side_that_did_not_answer_when_asked_are_done_again_as_if_untried() -> None:
    side = Endpoint("source", 500, 1e9, threading.Event(), probe=lambda: False, clock=Clock())
    doubts = FailureAttribution({"source": side})
    doubts.hold(failed(side, "u"))
    side.ask()
    assert doubts.give_up() == ([], [Task("u")])


def test_what_is_held_at_the_end_is_done_again_while_its_side_is_down() -> None:
    clock = Clock()
    side = new_side(clock)
    doubts = FailureAttribution({"source": side})
    doubts.hold(failed(side, "early"))
    fail(side, ATTEMPTS_UNTIL_DOWN)
    doubts.hold(failed(side, "late"))
    assert doubts.settle() == ([], [])
    assert doubts.give_up() == (
        [],
        [Task("early", retry_after_recovery=True), Task("late", retry_after_recovery=True)],
    )
    assert len(doubts) == 0


def test_second_chance_that_meets_a_side_that_is_down_is_held() -> None:
    clock = Clock()
    side = new_side(clock)
    doubts = FailureAttribution({"source": side})
    fail(side, ATTEMPTS_UNTIL_DOWN)
    assert doubts.hold(failed(side, "u", retry_after_recovery=True))
    clock.now = 5
    side.failed(side.acquire(), "403")  # it is an outage
    assert doubts.give_up() == ([], [Task("u")])


@examples(200)
@given(st.lists(st.sampled_from(["fail", "fail50", "succeed", "hold", "settle", "later"]), max_size=40))
def test_each_held_failure_is_settled_once_and_only_as_the_history_allows(steps: list[str]) -> None:
    clock = Clock()
    side = new_side(clock)
    doubts = FailureAttribution({"source": side})
    held: dict[
        str, Any
    ] = {}  # url -> whether an attempt has succeeded since, whether the side was down since
    for number, step in enumerate(steps):
        down = side.health().down_for is not None
        if step == "later":
            clock.now += 100
        elif step in ("fail", "fail50", "succeed"):
            if down and side.health().next_probe_in:
                continue  # nobody is let in
            if step == "succeed":
                side.succeeded(side.acquire())
                for seen in held.values():
                    seen["success"] = True
            else:
                fail(side, 1 if step == "fail" or down else 50)
        elif step == "hold":
            assert doubts.hold(failed(side, str(number)))
            held[str(number)] = {"success": False, "down": down}
        else:
            certain, again = doubts.settle()
            for url in [done.task.url for done in certain]:
                assert held.pop(url) == {"success": True, "down": False}
            for task in again:
                assert held.pop(task.url)["down"]
            assert len(doubts) == len(held)
            if not down:
                assert not any(seen["success"] or seen["down"] for seen in held.values())
        if side.health().down_for is not None:
            for seen in held.values():
                seen["down"] = True
    certain, again = doubts.give_up()
    assert len(certain) + len(again) == len(held)
    assert not certain or side.health().down_for is None
