"""A fan-out is bounded, complete, and ends early when its block does."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from cdn2s3.resilience.fan_out import fan_out


def test_each_item_is_worked_on_once_and_few_are_taken_ahead() -> None:
    taken = 0

    def items() -> Iterator[int]:
        nonlocal taken
        for number in range(200):
            taken += 1
            yield number

    got: list[int] = []
    most_ahead = 0
    with fan_out(lambda item: item * item, items(), 4, threading.Event()) as results:
        for result in results:
            most_ahead = max(most_ahead, taken - len(got))
            got.append(result)
    assert sorted(got) == [number * number for number in range(200)]
    assert most_ahead <= 8


def test_no_more_than_the_workers_are_at_work_at_once() -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(item: int) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        time.sleep(0.002)
        with lock:
            now -= 1

    with fan_out(work, range(50), 3, threading.Event()) as results:
        assert sum(1 for _ in results) == 50
    assert 1 <= most <= 3


def test_results_come_as_they_are_done() -> None:
    slow = threading.Event()
    with fan_out(lambda item: item or slow.wait(30), [0, 1, 2, 3], 2, threading.Event()) as results:
        assert {next(results) for _ in range(3)} == {1, 2, 3}
        slow.set()
        assert list(results) == [True]


def test_block_that_is_left_early_stops_what_is_under_way_and_drops_the_rest() -> None:
    stop, worked = threading.Event(), []

    def work(item: int) -> int:
        if item:
            worked.append(item)
            stop.wait(30)
        return item

    began = time.monotonic()
    with fan_out(work, range(1000), 2, stop) as results:
        assert next(results) == 0
    assert stop.is_set()
    assert time.monotonic() - began < 10
    assert len(worked) <= 4


def test_complete_fan_out_leaves_stop_alone() -> None:
    stop = threading.Event()
    with fan_out(lambda item: item, range(5), 2, stop) as results:
        assert sorted(results) == [0, 1, 2, 3, 4]
    assert not stop.is_set()


def test_error_of_the_work_ends_the_block() -> None:
    def work(item: int) -> int:
        return 1 // item

    stop = threading.Event()
    with pytest.raises(ZeroDivisionError), fan_out(work, [0, 1, 1, 1, 1, 1], 1, stop) as results:
        list(results)


def test_on_wait_is_called_while_nothing_is_done() -> None:
    slow, calls = threading.Event(), []

    def look() -> None:
        calls.append(threading.current_thread())
        if len(calls) == 3:
            slow.set()

    with fan_out(lambda item: slow.wait(30), [0], 1, threading.Event(), look) as results:
        assert list(results) == [True]
    assert len(calls) >= 3
    assert set(calls) == {threading.current_thread()}


def test_results_come_in_the_order_of_items_where_that_is_asked_for() -> None:
    slow, taken = threading.Event(), []

    def items() -> Iterator[int]:
        for number in range(40):
            taken.append(number)
            yield number

    def work(item: int) -> int:
        if item == 0:
            assert slow.wait(30)
        elif item == 7:
            slow.set()  # all that may be taken ahead of the first one is
        return item

    with fan_out(work, items(), 4, threading.Event(), in_order=True) as results:
        assert next(results) == 0
        assert taken == list(range(8))
        assert list(results) == list(range(1, 40))
