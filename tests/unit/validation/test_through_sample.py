"""The sample for a new CDN against a count of kinds, however the rows are mixed."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from cdn2s3.validation.stored_rows import StoredRow
from cdn2s3.validation.through_sample import OF_EACH, kinds, sample


def row(key: str, size: int = 1000, media_type: str = "image/jpeg", how: str = "stored") -> StoredRow:
    return StoredRow(f"https://old/{key}", key, size, "e", "m", media_type, how)


PLAIN = [row(f"plain/{number:06}.jpg", 1000 + number) for number in range(3000)]


def drawn(rows: list[StoredRow], number: int, seed: int = 1) -> list[StoredRow]:
    return sample(rows, number, random.Random(seed))


@pytest.mark.parametrize("odd", ["a+b", "a b", "a%b", "a#b", "a?b", "a&b", "ü", "a//b", "A.JPG", "b.Png"])
def test_three_of_each_kind_of_key(odd: str) -> None:
    rows = [*PLAIN, *(row(f"{number}/{odd}") for number in range(50))]
    assert sum(one.key.endswith(odd) for one in drawn(rows, 30)) >= OF_EACH


@pytest.mark.parametrize("odd", [{"media_type": "image/avif"}, {"how": "replaced"}])
def test_one_of_a_kind_is_always_in_it(odd: dict[str, str]) -> None:
    one = row("only.jpg", **odd)  # type: ignore[arg-type]
    for seed in range(20):
        assert one in drawn([*PLAIN[:1500], one, *PLAIN[1500:]], 12, seed)


def test_extremes_are_in_it() -> None:
    longest = [row("x" * 200 + f"{number}.jpg", 2000) for number in range(3)]
    found = drawn([*PLAIN, *longest], 40)
    assert {*longest, *PLAIN[:3], *PLAIN[-3:]} <= set(found)


def test_rarest_come_first_where_not_all_have_room() -> None:
    rows = [*PLAIN, *(row(f"{number}+.jpg") for number in range(500)), row("one&only.jpg")]
    assert drawn(rows, 1) == [row("one&only.jpg")]


def test_rest_is_random_without_favor() -> None:
    counts = Counter(one.key for seed in range(300) for one in drawn(PLAIN[:200], 50, seed))
    assert len(counts) == 200
    middle = [count for key, count in counts.items() if 10 < int(key[6:12]) < 190]
    assert min(middle) > 35 and max(middle) < 130  # about 70 of 300


def test_nobody_is_in_it_twice_and_no_more_than_there_are() -> None:
    assert sorted(drawn(PLAIN[:7], 200)) == PLAIN[:7]
    found = drawn([*PLAIN, row("A+B C%.JPG")], 100)
    assert len(set(found)) == len(found) == 100


def test_unknown_how_is_no_kind() -> None:
    assert list(kinds(row("a.jpg", how="-"))) == ["type image/jpeg"]
