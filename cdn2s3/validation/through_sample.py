"""The sample for a new CDN: a few of each kind of key and object, the rarest kinds first, and the rest at random."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from typing import Callable

from cdn2s3.records import UNKNOWN
from cdn2s3.validation.stored_rows import StoredRow

OF_EACH = 3  # rows of each kind
_MOST_KINDS = 1000  # content types may be anything that the old CDN has said

_SPECIAL = re.compile(r"[+ %#?&]|[^\x00-\x7f]|//")  # a key without any of these is of none of the next kinds
_IN_KEYS = {
    **{f"key with {character!r}": re.compile(re.escape(character)) for character in "+ %#?&"},
    "key that is not ASCII": re.compile(r"[^\x00-\x7f]"),
    "key with //": re.compile("//"),
}
_UPPER_ENDING = re.compile(r"\.[a-z0-9]*[A-Z][A-Za-z0-9]*$")
_EXTREMES: tuple[Callable[[StoredRow], int], ...] = (
    lambda row: len(row.key.encode()),
    lambda row: row.size,
    lambda row: -row.size,
)  # the longest keys, the largest and the smallest objects


def kinds(row: StoredRow) -> Iterator[str]:
    """Yield the kinds that a row is of, beside the extremes."""
    if _SPECIAL.search(row.key):
        yield from (kind for kind, text in _IN_KEYS.items() if text.search(row.key))
    if _UPPER_ENDING.search(row.key):
        yield "upper-case ending"
    yield f"type {row.media_type}"
    if row.how != UNKNOWN:
        yield f"how {row.how}"


class _Reservoir:
    """So many of the rows that were added, each with the same chance."""

    def __init__(self, most: int, draw: random.Random) -> None:
        self.rows: list[StoredRow] = []
        self.count = 0
        self._most = most
        self._draw = draw

    def add(self, row: StoredRow) -> None:
        self.count += 1
        if len(self.rows) < self._most:
            self.rows.append(row)
        elif (place := int(self._draw.random() * self.count)) < self._most:
            self.rows[place] = row


class _Extreme:
    """The OF_EACH rows with the highest values."""

    def __init__(self, value: Callable[[StoredRow], int]) -> None:
        self.rows: list[StoredRow] = []
        self._value = value
        self._least = 0  # the lowest value of a full list

    def add(self, row: StoredRow) -> None:
        value = self._value(row)
        if len(self.rows) == OF_EACH and value <= self._least:
            return
        self.rows = sorted([*self.rows, row], key=self._value, reverse=True)[:OF_EACH]
        self._least = self._value(self.rows[-1])


def sample(rows: Iterable[StoredRow], number: int, draw: random.Random) -> list[StoredRow]:
    """Return up to number of rows: OF_EACH of each kind, the rarest kinds first, then others at random.

    rows are read once; memory is for number of them, and for OF_EACH of each kind.
    """
    of_kind: dict[str, _Reservoir] = {}
    extremes = [_Extreme(value) for value in _EXTREMES]
    others = _Reservoir(number, draw)
    for row in rows:
        for kind in kinds(row):
            if kind not in of_kind:
                if len(of_kind) >= _MOST_KINDS:
                    continue
                of_kind[kind] = _Reservoir(OF_EACH, draw)
            of_kind[kind].add(row)
        for extreme in extremes:
            extreme.add(row)
        others.add(row)
    groups = [
        *((OF_EACH, extreme.rows) for extreme in extremes),
        *((of.count, of.rows) for of in of_kind.values()),
    ]
    rarest_first = sorted(groups, key=lambda group: group[0])
    draw.shuffle(
        others.rows
    )  # the first rows that were read stand in the first places: which are cut must not matter
    ranked = [*(row for _, chosen in rarest_first for row in chosen), *others.rows]
    return list(dict.fromkeys(ranked))[:number]
