"""Contents that several URLs have: a CDN that answers with a placeholder picture gives it to many.

Nothing but completed.txt is read, once or twice. Each of its rows takes 16 bytes meanwhile: half of them for its key,
half for its content. Two different ones of 4 million look the same with a chance of 4e-7.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from cdn2s3.console.progress import log_progress
from cdn2s3.state.files import size_of
from cdn2s3.state.ledger import completed_fields, decode_line
from cdn2s3.state.lines import numbered_records
from cdn2s3.text import bytes_text, pluralize, redact

_MD5_LIKE = re.compile(rb"[0-9a-f]{32}")
_HALF = 8  # bytes
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


class Row(NamedTuple):
    """What counts of an object: bytes as in completed.txt."""

    url: bytes
    key: bytes
    size: bytes
    md5: bytes  # or an ETag that is one; b"" if unknown
    media_type: bytes


def in_completed(path: Path) -> SameContent:
    """Return what is the same in path, a completed.txt; of several rows with one key, the last counts."""
    contents, unknown = _contents(_rows(path, f"comparing contents in {path}"))
    frequent = contents.most_common(_MOST)
    wanted = {half for half, _ in frequent}
    found = _examples(_rows(path, f"looking up contents in {path}"), wanted) if wanted else {}
    most = [_shared(number, found[half]) for half, number in frequent if half in found]
    return SameContent(sum(contents.values()), len(contents), unknown, most)


def among(rows: Iterable[Row]) -> SameContent:
    """Return what is the same among a few rows, such as those of a sample."""
    rows = list(rows)
    contents, unknown = _contents(rows)
    frequent = contents.most_common(_MOST)
    found = _examples(rows, {half for half, _ in frequent})
    most = [_shared(number, found[half]) for half, number in frequent]
    return SameContent(sum(contents.values()), len(contents), unknown, most)


def content_id(md5: bytes, etag: bytes) -> bytes:
    """Return the MD5 of an object where its record has it, as its ETag at least; b"" where it does not."""
    return next((digest for digest in (md5, etag) if _MD5_LIKE.fullmatch(digest)), b"")


def _rows(path: Path, what: str) -> Iterator[Row]:
    for _, batch in log_progress(what, numbered_records(path).batches(), size_of(path)):
        for _, line in batch:
            fields = completed_fields(line)
            if fields:
                url, key, size, etag, md5, media_type = fields[:6]
                yield Row(url, key, size, content_id(md5, etag), media_type)


def _contents(rows: Iterable[Row]) -> tuple[Counter[bytes], int]:
    """Return the halves of the MD5s that several keys have, with how many have each; and how many have none."""
    unknown_half = bytes(_HALF)
    by_key = [bytearray() for _ in range(256)]
    for row in rows:
        key = hash(row.key).to_bytes(_HALF, "big", signed=True)
        by_key[key[0]] += key + (bytes.fromhex(row.md5[: 2 * _HALF].decode()) or unknown_half)
    by_content = [bytearray() for _ in range(256)]
    while by_key:
        entries = by_key.pop()
        last = {
            bytes(entries[at : at + _HALF]): bytes(entries[at + _HALF : at + 2 * _HALF])
            for at in range(0, len(entries), 2 * _HALF)
        }
        for half in last.values():
            by_content[half[0]] += half
    found: Counter[bytes] = Counter()
    unknown = 0
    while by_content:
        entries = by_content.pop()
        counts = Counter(bytes(entries[at : at + _HALF]) for at in range(0, len(entries), _HALF))
        unknown += counts.pop(unknown_half, 0)
        found.update({half: number for half, number in counts.items() if number > 1})
    return found, unknown


def _examples(rows: Iterable[Row], wanted: set[bytes]) -> dict[bytes, list[Row]]:
    """Return the first rows of each of the wanted contents, without those that later rows replace."""
    found: dict[bytes, dict[bytes, Row]] = {half: {} for half in wanted}
    held: dict[bytes, bytes] = {}  # the content of each key in found
    for row in rows:
        half = bytes.fromhex(row.md5[: 2 * _HALF].decode())
        before = held.get(row.key)
        if before is not None and before != half:
            del held[row.key], found[before][row.key]
        if half in wanted and len(found[half]) < _CANDIDATES:
            held[row.key] = half
            found[half][row.key] = row
    return {half: list(candidates.values()) for half, candidates in found.items() if candidates}


def _shared(number: int, rows: list[Row]) -> Shared:
    first = rows[0]
    urls = [decode_line(row.url) for row in rows[:_EXAMPLES]]
    return Shared(first.md5.decode(), number, int(first.size), decode_line(first.media_type), urls)
