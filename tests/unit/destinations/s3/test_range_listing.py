"""A listing in ranges is the one listing or nothing: never a key less, whatever the store makes of start-after."""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import closing
from typing import Callable, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.destinations.base import Found, NotInOrder
from cdn2s3.destinations.s3 import range_listing
from cdn2s3.destinations.s3.listing import Listing
from cdn2s3.destinations.s3.listing_page import Page
from cdn2s3.destinations.s3.range_listing import in_ranges
from cdn2s3.errors import FatalError
from tests.properties import examples

Order = Callable[[str], bytes]


def utf8(key: str) -> bytes:
    return key.encode()


def utf16(key: str) -> bytes:
    """Return what Java and JavaScript sort text by: 𝄞 comes before U+FFFD."""
    return key.encode("utf-16-be")


class Store:
    """A listing of keys in pages of a few, sorted by what order returns."""

    def __init__(self, keys: list[str], most: int = 3, order: Order = utf8) -> None:
        self.keys = sorted(keys, key=order)
        self.asked: list[tuple[str | None, str | None]] = []
        self._most, self._order = most, order

    def page(self, token: str | None, known: set[str], after: str | None = None) -> Page:
        assert token not in known - {token}
        assert token is None or after is None
        self.asked.append((token, after))
        begin = self.begin(token[1:] if token else after)
        keys = self.keys[begin : begin + self._most]
        more = begin + self._most < len(self.keys)
        return Page([Found(key, 1, "") for key in keys], f"t{keys[-1]}" if more else None)

    def begin(self, after: str | None) -> int:
        """Return where in keys a page begins."""
        return 0 if after is None else bisect_right(list(map(self._order, self.keys)), self._order(after))


def listed(store: Store, dividers: list[str]) -> list[str]:
    pages = in_ranges(cast(Listing, store), dividers, threading.Event())
    return [found.key for page in pages for found in page]


KEYS = st.text("a/0.~ü\ufffd\U0001d11e\ue000", min_size=1, max_size=4)
KEY_SETS = st.sets(KEYS, max_size=30)


@examples(60)
@given(KEY_SETS, st.sets(KEYS, max_size=6), st.integers(1, 5))
def test_ranges_give_each_key_once_in_the_order_of_one_listing(
    keys: set[str], dividers: set[str], most: int
) -> None:
    assert listed(Store(list(keys), most), sorted(dividers)) == sorted(keys, key=utf8)


@examples(60)
@given(KEY_SETS, st.sets(KEYS, max_size=6), st.integers(1, 5))
def test_store_that_sorts_otherwise_never_costs_a_key(keys: set[str], dividers: set[str], most: int) -> None:
    for order in (utf16, lambda key: key.swapcase().encode(), lambda key: key[::-1].encode()):
        try:
            assert listed(Store(list(keys), most, order), sorted(dividers)) == sorted(keys, key=utf8)
        except NotInOrder:
            continue


MANY = [f"k{number:03d}" for number in range(100)]


def test_order_of_utf16_shows_at_the_joint_where_each_range_is_in_order() -> None:
    keys = ["a", "b", "c\U0001d11e", "c\uffff"]  # by UTF-8 the last two are the other way round
    with pytest.raises(NotInOrder):
        listed(Store(keys, 1, utf16), ["c\uffff"])


class IgnoresStartAfter(Store):
    def page(self, token: str | None, known: set[str], after: str | None = None) -> Page:
        return super().page(token, known)


class BeginsWithTheKeyItself(Store):
    def begin(self, after: str | None) -> int:
        return max(0, super().begin(after) - 1)


class EndsEarly(Store):
    """It says that nothing follows its 29th key, unless asked from a later one on."""

    def page(self, token: str | None, known: set[str], after: str | None = None) -> Page:
        page = super().page(token, known, after)
        last = page.objects[-1].key if page.objects else ""
        return Page(page.objects, None) if last == MANY[28] else page


class SkipsAKey(Store):
    """A page that begins after a key lacks the first one."""

    def begin(self, after: str | None) -> int:
        return super().begin(after) + (after is not None)


@pytest.mark.parametrize("kind", [IgnoresStartAfter, BeginsWithTheKeyItself, EndsEarly, SkipsAKey])
def test_store_without_a_true_start_after_is_found_out(kind: type[Store]) -> None:
    with pytest.raises(NotInOrder):
        listed(kind(MANY), [MANY[19], MANY[44], MANY[70]])


@pytest.mark.parametrize("change", ["come", "gone"])
def test_object_that_comes_or_goes_between_two_ranges_is_no_disorder(change: str) -> None:
    class Changes(Store):
        def page(self, token: str | None, known: set[str], after: str | None = None) -> Page:
            page = super().page(token, known, after)
            if after == MANY[49]:
                changed.set()
            elif page.objects[-1].key > MANY[46]:
                changed.wait(30)  # the second range has shown its first key
                if change == "come" and "k049+" not in self.keys:
                    self.keys.insert(50, "k049+")
                elif change == "gone" and MANY[50] in self.keys:
                    self.keys.remove(MANY[50])
                page = super().page(token, known, after)
            return page

    changed = threading.Event()
    found = listed(Changes(MANY), [MANY[49]])
    assert found == MANY or (change == "come" and found == sorted([*MANY, "k049+"]))


def test_each_page_is_asked_for_once_and_ranges_overlap_by_one() -> None:
    store = Store(MANY, 10)
    assert listed(store, [MANY[24], MANY[49], MANY[74]]) == MANY
    assert sorted(after or "" for token, after in store.asked if token is None) == [
        "", MANY[24], MANY[49], MANY[74]
    ]  # fmt: skip
    assert len(store.asked) == 12


def test_range_with_many_more_objects_than_expected_is_read_no_further_ahead(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(range_listing, "_MOST_PAGES", 2)
    store = Store(MANY, 3)
    with closing(in_ranges(cast(Listing, store), [MANY[1], MANY[90]], threading.Event())) as pages:
        first = next(pages)
        settle = time.monotonic() + 5
        while len(store.asked) < 5 and time.monotonic() < settle:
            time.sleep(0.001)
        assert len(store.asked) == 5  # one of the first range, two of each other one
        assert [found.key for page in [first, *pages] for found in page] == MANY


def test_error_of_a_range_comes_after_what_precedes_it() -> None:
    class Fails(Store):
        def page(self, token: str | None, known: set[str], after: str | None = None) -> Page:
            if after == MANY[50]:
                raise FatalError("403")
            return super().page(token, known, after)

    got: list[str] = []

    def take(pages: Iterator[list[Found]]) -> None:
        got.extend(found.key for page in pages for found in page)

    with pytest.raises(FatalError, match="403"):
        take(in_ranges(cast(Listing, Fails(MANY)), [MANY[20], MANY[50]], threading.Event()))
    assert got == MANY[:51]


def test_listing_that_is_left_early_ends_its_threads() -> None:
    stop = threading.Event()

    class Hangs(Store):
        def page(self, token: str | None, known: set[str], after: str | None = None) -> Page:
            if after is not None:
                assert stop.wait(30)
            return super().page(token, known, after)

    with closing(in_ranges(cast(Listing, Hangs(MANY)), [MANY[50]], stop)) as pages:
        next(pages)
    assert stop.is_set()
    assert not [one for one in threading.enumerate() if one.name.startswith("fan-out")]


def test_pages_without_keys_do_not_go_on_for_ever() -> None:
    class Empty(Store):
        def page(self, token: str | None, known: set[str], after: str | None = None) -> Page:
            return Page([], f"t{len(known)}")

    with pytest.raises(NotInOrder, match="no key"):
        listed(Empty([]), ["m"])
