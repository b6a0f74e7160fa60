"""Tasks are handed out once each; what is in flight, and what of it is slow."""

from __future__ import annotations

import threading

from cdn2s3.executors.base import InFlight, TaskQueue, TransferTimes, together
from cdn2s3.records import Task


def test_feed_hands_out_what_was_put_in_before_the_list() -> None:
    queue = TaskQueue([Task("a"), Task("b")])
    first = next(queue)
    queue.requeue(Task("x"), Task("y"))
    assert queue.has_more
    assert [first.url, *(task.url for task in queue)] == ["a", "x", "y", "b"]
    assert not queue.has_more
    queue.requeue(Task("z"))  # a feed that has ended goes on when something is put back
    assert [task.url for task in queue] == ["z"]


def test_open_feed_waits_until_it_is_closed() -> None:
    queue, got = TaskQueue(is_open=True), []
    worker = threading.Thread(target=lambda: got.extend(task.url for task in queue))
    worker.start()
    queue.requeue(Task("a"), Task("b"))
    queue.close()
    worker.join(10)
    assert got == ["a", "b"]


def test_threads_share_a_feed_without_a_task_twice() -> None:
    queue, got = TaskQueue(Task(str(number)) for number in range(2000)), []
    threads = [threading.Thread(target=lambda: got.extend(task.url for task in queue)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(got, key=int) == [str(number) for number in range(2000)]


def test_slowest_are_those_over_five_seconds() -> None:
    now = 0.0
    times = TransferTimes(lambda: now)
    for number in range(10):
        now = float(number)
        times.begin(f"https://cdn/a/{number}.jpg")
    times.end("https://cdn/a/1.jpg")
    now = 10.0
    assert times.slowest() == (
        (10.0, "https://cdn/a/0.jpg"),
        (8.0, "https://cdn/a/2.jpg"),
        (7.0, "https://cdn/a/3.jpg"),
    )


def test_ending_twice_is_no_error() -> None:
    times = TransferTimes()
    times.begin("u")
    times.end("u")
    times.end("u")
    assert times.slowest() == ()


def test_together_adds_uploads_and_keeps_the_slowest_of_all() -> None:
    one = InFlight(2, ((9.0, "https://cdn/a/1.jpg"), (6.0, "https://cdn/a/2.jpg")))
    two = InFlight(3, ((8.0, "https://cdn/a/3.jpg"), (5.0, "https://cdn/a/4.jpg")))
    both = together([one, two])
    assert both.uploads == 5
    assert str(both) == "9 s a/1.jpg, 8 s a/3.jpg, 6 s a/2.jpg"


def test_slow_transfer_is_named_without_its_query() -> None:
    assert (
        str(InFlight(0, ((7.2, "https://user@cdn/3483/i0178-1.jpg?token=secret"),))) == "7 s 3483/i0178-1.jpg"
    )


def test_nothing_slow_says_nothing() -> None:
    assert str(InFlight()) == ""
