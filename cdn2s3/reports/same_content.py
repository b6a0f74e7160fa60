"""Contents that several URLs have: a CDN that answers with a placeholder picture gives it to many.

Nothing but completed.txt is read, once or twice. Each of its rows takes 16 bytes meanwhile: half of them for its key,
half for its content. Two different ones of 4 million look the same with a chance of 4e-7.
"""

from __future__ import annotations

import struct
from binascii import unhexlify
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cdn2s3.console.progress import log_progress
from cdn2s3.state.files import size_of
from cdn2s3.state.ledger import decode_line
from cdn2s3.state.lines import numbered_records
from cdn2s3.state.undone import UndoneRows
from cdn2s3.text import bytes_text, pluralize, redact

_MD5_DIGITS = 32
_HALF = 8  # bytes of an MD5 that are kept
_UNKNOWN = bytes(_HALF)
_ENTRY = struct.Struct(f"q{_HALF}s")  # the hash of a key, and what is kept of its content
_MOST = 10  # contents to show
_EXAMPLES = 3  # URLs of each
_CANDIDATES = 100  # rows of a content among which they are looked for: later rows may replace some


class Shared(NamedTuple):
    """A content that several URLs have."""

    md5: str  # 32 hex digits
    urls: int
    size: int  # bytes
    media_type: str
    examples: list[str]  # the first of the URLs


class SameContent(NamedTuple):
    """What is the same under several URLs."""

    urls: int  # URLs whose content another one has as well
    contents: int  # that they have between them
    unknown: int  # URLs whose MD5 is unknown
    most: list[Shared]  # the most frequent contents

    def text(self) -> str:
        """Return what is the same, in one line; "" if nothing is."""
        if not self.most:
            return ""
        first = self.most[0]
        contents = pluralize(self.contents, "content")
        kind = "" if first.media_type == "-" else f" {first.media_type}"
        return (
            f"{self.urls:,} URLs share {contents} with another URL; the most frequent has {first.urls:,} "
            f"({bytes_text(first.size)}{kind}), e.g. {redact(first.examples[0])}: a placeholder?"
        )

    def as_json(self) -> dict[str, Any]:
        """Return it for a report."""
        most = [
            {**shared._asdict(), "examples": [redact(url) for url in shared.examples]} for shared in self.most
        ]
        return {**self._asdict(), "most": most}


Fields = Sequence[bytes]  # of a row of completed.txt, from its first
_COLUMNS = _URL, _KEY, _SIZE, _ETAG, _MD5, _TYPE = tuple(range(6))


def in_completed(path: Path) -> SameContent:
    """Return what is the same in path, a completed.txt; of several rows with one key, the last counts."""
    contents, unknown = _contents(_rows(path, f"comparing contents in {path}"))
    frequent = contents.most_common(_MOST)
    wanted = {half for half, _ in frequent}
    found = _examples(_rows(path, f"looking up contents in {path}"), wanted) if wanted else {}
    return _same(contents, unknown, found)


def among(rows: Sequence[Fields]) -> SameContent:
    """Return what is the same among a few rows, such as those of a sample."""
    contents, unknown = _contents(rows)
    return _same(contents, unknown, _examples(rows, {half for half, _ in contents.most_common(_MOST)}))


def _same(contents: Counter[bytes], unknown: int, found: Mapping[bytes, list[Fields]]) -> SameContent:
    most = [_shared(number, found[half]) for half, number in contents.most_common(_MOST) if half in found]
    return SameContent(sum(contents.values()), len(contents), unknown, most)


def _rows(path: Path, what: str) -> Iterator[Fields]:
    undone = UndoneRows(path.parent) or None
    for _, batch in log_progress(what, numbered_records(path).batches(), size_of(path)):
        for _, line in batch:
            fields = line.split(b"\t", len(_COLUMNS) + 1)
            if len(fields) > len(_COLUMNS) and not (undone is not None and undone.has(fields)):
                yield fields


def _half(fields: Fields) -> bytes:
    """Return half of the MD5 of a row's object: as recorded, else its ETag where that is one; _UNKNOWN for none."""
    digest = fields[_MD5]
    if len(digest) != _MD5_DIGITS:
        digest = fields[_ETAG]
    try:
        return unhexlify(digest[: 2 * _HALF]) if len(digest) == _MD5_DIGITS else _UNKNOWN
    except ValueError:
        return _UNKNOWN


def _contents(rows: Iterable[Fields]) -> tuple[Counter[bytes], int]:
    """Return the halves of the MD5s that several keys have, with how many have each; and how many have none."""
    by_key = [bytearray() for _ in range(256)]
    for fields in rows:
        key = hash(fields[_KEY])
        by_key[key & 0xFF] += _ENTRY.pack(key, _half(fields))
    by_content = [bytearray() for _ in range(256)]
    while by_key:
        for half in dict(_ENTRY.iter_unpack(by_key.pop())).values():  # the last of each key
            by_content[half[0]] += half
    found: Counter[bytes] = Counter()
    unknown = 0
    while by_content:
        counts = Counter(half for (half,) in struct.iter_unpack(f"{_HALF}s", by_content.pop()))
        unknown += counts.pop(_UNKNOWN, 0)
        found.update({half: number for half, number in counts.items() if number > 1})
    return found, unknown


def _examples(rows: Iterable[Fields], wanted: set[bytes]) -> dict[bytes, list[Fields]]:
    """Return the first rows of each of the wanted contents, without those that later rows replace."""
    found: dict[bytes, dict[bytes, Fields]] = {half: {} for half in wanted}
    held: dict[bytes, bytes] = {}  # the content of each key in found
    for fields in rows:
        key, half = fields[_KEY], _half(fields)
        before = held.get(key)
        if before is not None and before != half:
            del held[key], found[before][key]
        if half in wanted and len(found[half]) < _CANDIDATES:
            held[key] = half
            found[half][key] = fields
    return {half: list(candidates.values()) for half, candidates in found.items() if candidates}


def _shared(number: int, rows: Sequence[Fields]) -> Shared:
    first = rows[0]
    digest = first[_MD5] if len(first[_MD5]) == _MD5_DIGITS else first[_ETAG]
    urls = [decode_line(fields[_URL]) for fields in rows[:_EXAMPLES]]
    size = int(first[_SIZE]) if first[_SIZE].isdigit() else 0
    return Shared(decode_line(digest), number, size, decode_line(first[_TYPE]), urls)
