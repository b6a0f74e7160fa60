"""The images over time, from the rows of completed.txt."""

from __future__ import annotations

import pytest

from cdn2s3.state.stored_times import Slot, StoredTimes

T = 1_790_000_000  # 2026-09-21T14:13:20Z


def row(at: str, size: int = 7, media_type: str = "image/jpeg", md5: str = "m") -> list[bytes]:
    return [text.encode() for text in ("https://c/a.jpg", "a.jpg", str(size), "e", md5, media_type, at)]


def test_rows_of_one_slot_are_added_up() -> None:
    times = StoredTimes()
    times.add([row("2026-09-21T14:13:20Z"), row("2026-09-21T14:13:29Z", 3)])
    assert list(times) == [Slot(T, 2, 10)]
    assert (times.images, times.size) == (2, 10)


def test_rows_in_any_order_are_in_the_order_of_time() -> None:
    times = StoredTimes()
    times.add([row("2026-09-21T14:13:31Z"), row("2026-09-21T14:13:30Z"), row("2026-09-21T14:13:20Z")])
    times.add([row("2026-09-21T14:13:21Z")])
    assert [(slot.at - T, slot.images) for slot in times] == [(0, 2), (10, 2)]


def test_adopted_rows_were_not_stored_when_they_were_written() -> None:
    times = StoredTimes()
    times.add([row("2026-09-21T14:13:20Z", 9, "-", "-")] * 3)
    assert list(times) == []
    assert (times.images, times.adopted, times.adopted_size) == (0, 3, 27)


@pytest.mark.parametrize("rows", [[], [[]], [[], []]])
def test_no_rows(rows: list[list[bytes]]) -> None:
    times = StoredTimes()
    times.add(rows)
    assert list(times) == []


def test_row_without_a_time_is_counted_and_in_no_slot() -> None:
    times = StoredTimes()
    times.add([row("yesterday"), row("2026-09-21T14:13:20Z")])
    assert times.images == 2
    assert [slot.images for slot in times] == [1]


def test_rows_of_eleven_fields_count_too() -> None:
    times = StoredTimes()
    times.add([[*row("2026-09-21T14:13:20Z"), b"stored", b"-", b"-", b"s3"]])
    assert list(times) == [Slot(T, 1, 7)]
