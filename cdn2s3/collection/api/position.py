"""Where a walk through the pages of an API stands, as the checkpoint stores it. Pure."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import blake2b
from typing import Any, NamedTuple

Asked = Any  # JSON: a page's number, offset, cursor or URL; None: the first page


class PagePosition(NamedTuple):
    """Which page to request next, and what the pages before it showed."""

    asked: Asked
    pages: int = 0  # pages read before this one
    empty: int = 0  # how many of the last pages had no item
    again: bool = False  # it was empty, and is asked for again
    marked: bool = False  # a page before it named the next one
    items: int = 0  # on the pages before it
    total: int | None = None  # the API's latest total
    largest: int = 0  # the most items of a page
    repeats: int = 0  # how often a request came again: the server moves on by itself (a scroll)
    last: str = ""  # the fingerprint of the last page
    unfound: int = 0  # which parts of API_URLS_FIELD have found nothing yet (alternatives.py)
    lacked: int = 0  # which of them look for a name that is missing
    proof: int = 0  # the only page is asked for again, with as few items: does it name a next page then?
    head: str = ""  # the fingerprint of the first page that had items
    ended: str = (
        ""  # the list has ended, and why; this is the last look, at a page that the walk may have skipped
    )

    def __str__(self) -> str:
        if self.ended:
            return f"page {self.asked}" if self.asked == 0 else f"the page at offset {self.asked}"
        return f"page {self.pages + 1}"

    @property
    def is_check(self) -> bool:
        """Whether the list has ended, and this request only checks its end."""
        return bool(self.proof or self.ended)


def stored_position(stored: Mapping[str, Any]) -> PagePosition:
    """Return the position that a checkpoint stores; raise ValueError if it has none.

    A field that an older version did not write has its default.
    """
    defaults = PagePosition(None)._asdict()
    if not {"asked", "pages", "empty"} <= set(stored):
        raise ValueError("its position has no page count")
    fields = {name: stored.get(name, default) for name, default in defaults.items()}
    for name, default in defaults.items():
        value = fields[name]
        if name == "asked" or (name == "total" and value is None):
            continue
        wanted = int if name == "total" else type(default)
        if type(value) is not wanted or (wanted is int and value < 0):
            raise ValueError(f"its position has no valid `{name}`")
    return PagePosition(**fields)


def as_text(items: object) -> bytes:
    """Return a page's items as JSON, the same for the same items."""
    return json.dumps(items, sort_keys=True).encode()


def fingerprint(items: list[Any]) -> str:
    """Return what a page is known again by, its ends: enough right after a resume, and cheap."""
    return blake2b(as_text([len(items), items[0], items[-1]]), digest_size=8).hexdigest()
