"""The listing of the bucket in ranges of keys, several at once, put together to what one listing would be.

Each range is listed from the key before it on (start-after) until its last key is passed. Ranges fit together only
where the store sorts all keys by their UTF-8 bytes and knows start-after; nothing of that is taken on trust. All keys
go up, within a range and from one to the next; and each range is read on to the first key after it, which has to be
the first one that the next range shows. So no key lies between two ranges. Where that does not hold, NotInOrder says
so, and the bucket is listed in one piece.
"""

from __future__ import annotations

import threading
from bisect import bisect_right
from collections.abc import Generator, Sequence
from operator import lt
from typing import NamedTuple

from cdn2s3.destinations.base import Found, NotInOrder
from cdn2s3.destinations.s3.listing import MOST_EMPTY_PAGES, Listing
from cdn2s3.resilience.fan_out import fan_out

AT_ONCE = 16  # listings: a validation is not a load test
_MOST_PAGES = 16  # of a range that are read ahead: twice as many as one has that only expected objects are in


class _Range(NamedTuple):
    """The keys after one and up to another one."""

    after: str | None  # None: from the first key on
    until: str | None  # None: to the last one
    token: str | None = None  # of the page to go on with; None: it has not begun


class _Part(NamedTuple):
    """Some pages of a range."""

    range: _Range
    pages: list[list[Found]]  # with keys of the range alone
    first: str | None  # the first key that the store showed, also if it lies after the range; None: none
    following: str | None  # the first key after the range; None: there is none, or the range goes on
    rest: _Range | None  # what is left of the range; None: nothing


def in_ranges(
    listing: Listing, dividers: Sequence[str], stop: threading.Event
) -> Generator[list[Found], None, None]:
    """Yield the objects that listing lists, page by page, sorted by the UTF-8 bytes of their keys.

    dividers are keys, sorted likewise: the last ones of the ranges. listing is asked from AT_ONCE threads, and has to
    wait with stop. Raise NotInOrder where the store's order is another one or changes between two looks; FatalError
    as the listing does.
    """
    ends = [None, *dividers, None]
    ranges = [_Range(after, until) for after, until in zip(ends, ends[1:])]
    promised: str | None = None  # the first key of the next range, as the one before it shows
    with fan_out(lambda one: _read(listing, one, _MOST_PAGES), ranges, AT_ONCE, stop, in_order=True) as parts:
        for part in parts:
            if part.range.after is not None and part.first != promised:
                _look_again(listing, part.range, promised)
            yield from part.pages
            while part.rest is not None:  # many more objects than expected
                part = _read(listing, part.rest, _MOST_PAGES)
                yield from part.pages
            promised = part.following


def _look_again(listing: Listing, one: _Range, promised: str | None) -> None:
    """Raise NotInOrder unless the range now begins with the promised key: it has come, or others have gone, since."""
    first = _read(listing, one, most_pages=1).first
    if first != promised:
        raise NotInOrder(
            f"after {one.after!r} it showed {promised!r} first, and {first!r} when asked from there on"
        )


def _read(listing: Listing, one: _Range, most_pages: int) -> _Part:
    """Return the next pages of a range; called by several threads."""
    pages: list[list[Found]] = []
    first = following = None
    last, token, tokens, empty = one.after, one.token, set[str](), 0
    while len(pages) < most_pages:
        page = listing.page(token, tokens, None if token else one.after)
        objects = page.objects
        if objects:
            keys = [found.key for found in objects]
            _check_order(last, keys)
            first, last, empty = first or keys[0], keys[-1], 0
            inside = len(keys) if one.until is None else bisect_right(keys, one.until)
            pages.append(objects[:inside])
            if inside < len(keys):
                following = keys[inside]
                return _Part(one, pages, first, following, None)
        elif (empty := empty + 1) > MOST_EMPTY_PAGES:
            raise NotInOrder(f"page after page after {last!r} had no key")
        if page.token is None:
            return _Part(one, pages, first, None, None)
        token = page.token
        tokens.add(token)
    return _Part(one, pages, first, None, one._replace(after=last, token=token))


def _check_order(last: str | None, keys: list[str]) -> None:
    """Raise NotInOrder unless keys go up, from after last on. Text is compared as its UTF-8 bytes are."""
    if last is not None and keys[0] <= last:
        raise NotInOrder(f"{keys[0]!r} came after {last!r}")
    if not all(map(lt, keys, keys[1:])):
        place = next(at for at, key in enumerate(keys[1:]) if key <= keys[at])
        raise NotInOrder(f"{keys[place + 1]!r} came after {keys[place]!r}")


def is_sorted_by_key(bucket: str) -> bool:
    """Return whether the listing of bucket can be asked for in ranges: not that of a directory bucket."""
    return not bucket.endswith("--x-s3")
