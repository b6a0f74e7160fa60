"""What is on its way, and what of it is slow."""

from __future__ import annotations

from cdn2s3.executors.base import InFlight, TransferTimes, together


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
