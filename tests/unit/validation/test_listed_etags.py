"""Objects whose ETag in the listing is not the recorded one: HEAD decides, for all of them or for the first ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import pytest

from cdn2s3.destinations.base import Found
from cdn2s3.validation.listed_etags import FIRST, InDoubt, ListedEtags


class World:
    """Objects by number, of which some are right; HEAD shows what the object is, the listing never does."""

    def __init__(self, right: Iterable[int], head: bool = True) -> None:
        self.right = set(right)
        self.head = head
        self.asked: list[int] = []
        self.settled: dict[int, str] = {}
        self.etags = ListedEtags(self.look_up, self.settle)

    def look_up(self, doubts: Iterable[InDoubt]) -> Iterator[tuple[InDoubt, Found | None]]:
        for doubt in doubts:
            self.asked.append(doubt.number)
            own = Found("k", 7, "recorded" if doubt.number in self.right else "damaged")
            yield doubt, own if self.head else doubt.listed

    def settle(self, doubt: InDoubt, found: Found | None) -> bool:
        assert found is not None and doubt.number not in self.settled
        self.settled[doubt.number] = found.etag
        return found.etag == "recorded"

    def run(self, count: int) -> None:
        for number in range(count):
            self.etags.add(number, Found("k", 7, "listed"))
        self.etags.end()


@pytest.mark.parametrize("count", [1, FIRST - 1, FIRST, FIRST + 1, 3 * FIRST])
def test_listing_of_other_etags_is_looked_up_whole(count: int) -> None:
    world = World(set(range(count)) - {5})
    world.run(count)
    assert world.etags.are_others
    assert world.etags.looked_up == len(world.asked) == count
    assert world.settled == {number: "damaged" if number == 5 else "recorded" for number in range(count)}


def test_honest_listing_is_believed_after_the_first_ones() -> None:
    world = World([])
    world.run(3 * FIRST)
    assert world.etags.are_others is False
    assert len(world.asked) == FIRST
    assert set(world.settled) == set(range(3 * FIRST))
    assert world.settled[3 * FIRST - 1] == "listed"


def test_listing_counts_where_head_is_refused() -> None:
    world = World([], head=False)
    world.run(3)
    assert world.etags.are_others is False
    assert set(world.settled.values()) == {"listed"}


def test_nothing_in_doubt_asks_for_nothing() -> None:
    world = World([])
    world.etags.end()
    assert (world.asked, world.etags.are_others) == ([], None)
