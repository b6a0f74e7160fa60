"""Memory for bodies: one small buffer a thread, larger ones lent out of a budget that is never exceeded."""

from __future__ import annotations

import threading
import time
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.cdn.buffer_pool import SMALL, BufferExhausted, BufferLease, BufferPool
from cdn2s3.errors import Cancelled
from tests.properties import examples

LARGE = SMALL + 1


def budget(total: int) -> BufferPool:
    return BufferPool(total, threading.Event())


def has_room(lent: BufferPool, size: int) -> bool:
    """Tell whether size bytes can be lent; they are not given back."""
    return lent.acquire(size, wait=False) is not None


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_small_buffer_is_the_threads_own_and_costs_no_budget() -> None:
    none, views = budget(0), []
    with BufferLease(none) as lease:
        first = lease.view(1)
        assert len(first) == SMALL
        assert lease.view(SMALL) is first
    with BufferLease(none) as later:
        assert later.view(10) is first
    in_thread(lambda: views.append(BufferLease(none).view(1))).join(10)
    assert views[0] is not first


def test_leased_buffer_is_kept_while_it_is_large_enough_and_given_back() -> None:
    lent = budget(3 * SMALL)
    with BufferLease(lent) as lease:
        leased = lease.view(2 * SMALL)
        leased[-1] = 7
        assert lease.view(LARGE) is leased
        assert not has_room(lent, LARGE)
        assert len(lease.view(3 * SMALL)) == 3 * SMALL  # not both at once: the smaller one went back
    assert has_room(lent, 3 * SMALL)


def test_body_that_finds_no_room_holds_nothing_and_says_how_much_it_needs() -> None:
    lent = budget(4 * SMALL)
    with BufferLease(lent) as lease, BufferLease(lent) as other:
        lease.view(2 * SMALL)
        other.view(2 * SMALL)
        with pytest.raises(BufferExhausted) as caught:
            other.view(3 * SMALL)
        assert caught.value.size == 3 * SMALL
        assert has_room(lent, 2 * SMALL), "who needs more than there is must not keep what others wait for"


def test_body_larger_than_the_budget_gets_all_of_it() -> None:
    lent = budget(2 * SMALL)
    with BufferLease(lent) as lease:
        assert len(lease.view(5 * SMALL)) == 5 * SMALL
        assert not has_room(lent, 1)
    assert has_room(lent, 2 * SMALL)
    assert not has_room(lent, 1)


def test_who_waits_gets_its_room_when_it_is_given_back() -> None:
    lent, got = budget(2 * SMALL), threading.Event()
    with BufferLease(lent) as lease:
        lease.view(2 * SMALL)

        def wait() -> None:
            with BufferLease(lent) as other:
                other.wait_for(LARGE)
                assert len(other.view(LARGE)) >= LARGE
                got.set()

        waiting = in_thread(wait)
        assert not got.wait(0.2)
        lease.release()
        assert got.wait(10)
        waiting.join(10)
    assert has_room(lent, 2 * SMALL)


def test_stop_ends_the_wait_for_room() -> None:
    stop, stopped = threading.Event(), threading.Event()
    lent = BufferPool(SMALL, stop)
    assert has_room(lent, SMALL)

    def wait() -> None:
        with pytest.raises(Cancelled), BufferLease(lent) as lease:
            lease.wait_for(LARGE)
        stopped.set()

    waiting = in_thread(wait)
    time.sleep(0.05)
    stop.set()
    assert stopped.wait(10)
    waiting.join(10)
    assert not has_room(lent, 1), "who was stopped has taken nothing"


def test_threads_never_lease_more_than_the_budget() -> None:
    lent, lock, leased, most = budget(4 * SMALL), threading.Lock(), 0, 0

    def work(size: int) -> None:
        nonlocal leased, most
        for _ in range(20):
            with BufferLease(lent) as lease:
                lease.wait_for(size)
                with lock:
                    leased += size
                    most = max(most, leased)
                with lock:
                    leased -= size

    threads = [in_thread(lambda size=size: work(size)) for size in (SMALL, 2 * SMALL, 3 * SMALL, 4 * SMALL)]
    for thread in threads:
        thread.join(60)
    assert leased == 0
    assert 0 < most <= 4 * SMALL
    assert has_room(lent, 4 * SMALL)


def test_buffer_that_came_back_is_lent_again() -> None:
    lent = budget(10 * SMALL)
    with BufferLease(lent) as lease:
        first = lease.view(4 * SMALL)
    with BufferLease(lent) as lease:
        assert lease.view(3 * SMALL) is first
        assert lease.view(4 * SMALL - 1) is first


def test_buffer_that_came_back_is_not_wasted_on_something_much_smaller() -> None:
    lent = budget(10 * SMALL)
    with BufferLease(lent) as lease:
        large = lease.view(5 * SMALL)
    with BufferLease(lent) as lease:
        assert len(lease.view(2 * SMALL)) == 2 * SMALL
    with BufferLease(lent) as lease:
        assert lease.view(5 * SMALL) is large


def test_buffers_that_came_back_give_way_to_one_that_they_do_not_fit() -> None:
    lent = budget(5 * SMALL)
    for size in (2 * SMALL, 5 * SMALL, 2 * SMALL):
        with BufferLease(lent) as lease:
            assert len(lease.view(size)) == size
            assert not has_room(lent, 4 * SMALL)


@examples(200)
@given(st.lists(st.integers(1, 150), max_size=30))
def test_budget_counts_like_a_sum(sizes: list[int]) -> None:
    lent, held = budget(100), []

    def in_all() -> int:
        return sum(min(len(view), 100) for view in held)

    for size in sizes:
        if size % 3 == 0 and held:
            lent.release(held.pop(0))
            continue
        view = lent.acquire(size, wait=False)
        if view is None:
            assert in_all() + min(size, 100) > 100
        else:
            assert len(view) >= size
            held.append(view)
            assert in_all() <= 100
