"""Whether a file has changed at its source since it was moved: what the CDN's response shows of it. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import timezone
from email.utils import parsedate_to_datetime
from hashlib import md5

from cdn2s3.cdn.content_coding import Decoder
from cdn2s3.destinations.base import same_etag
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.records import UNKNOWN
from cdn2s3.state.ledger import Completed, seconds_of

_MD5_LIKE = re.compile("[0-9a-f]{32}")
_JUST_NOW = 2  # seconds; a Last-Modified as young as this may be the time of the response
_BLOCK = 1 << 18  # bytes decoded at a time
_GZIP_MAGIC = b"\x1f\x8b\x08"


def last_modified(headers: Mapping[str, str]) -> int | None:
    """Return the Last-Modified of a response in seconds since the epoch, None if it has none that can be read."""
    return _seconds(headers.get("last-modified", ""))


def shows(headers: Mapping[str, str], record: Completed) -> bool:
    """Return whether a response shows that its file has changed: then it may differ from what was moved.

    It was modified after its record was written, or has not the recorded ETag or Last-Modified.
    """
    modified, finished = last_modified(headers), seconds_of(record.finished_at)
    if modified is not None and finished is not None and modified > finished:
        return True
    etag, text = headers.get("etag", ""), headers.get("last-modified", "")
    return bool(etag and record.source_etag != UNKNOWN and not same_etag(etag, record.source_etag)) or bool(
        text and record.source_modified not in (UNKNOWN, text)
    )


def is_repeated(headers: Mapping[str, str], again: Mapping[str, str]) -> bool:
    """Return whether two responses name the same file: validators that are new each time show nothing about it."""
    return all(headers.get(name) == again.get(name) for name in ("etag", "last-modified"))


def may_be_made_up(modified: int, headers: Mapping[str, str], now: float) -> bool:
    """Return whether Last-Modified may be the time of the response itself, which shows nothing about the file.

    now is the time in seconds since the epoch. Whoever asks again a little later knows: then it has moved.
    """
    answered = _seconds(headers.get("date", ""))
    return modified >= (now if answered is None else answered) - _JUST_NOW


def _seconds(text: str) -> int | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError, IndexError):
        return None
    if moment.tzinfo is None:  # "-0000": UTC without a statement about the place
        moment = moment.replace(tzinfo=timezone.utc)
    try:
        return int(moment.timestamp())
    except (OverflowError, ValueError):
        return None


def is_recorded(record: Completed, found_md5: str) -> bool:
    """Return whether an object with that MD5 is the recorded one; without one on record, the listing has shown it."""
    return not _MD5_LIKE.fullmatch(record.md5) or record.md5 == found_md5


def same_inside(source: bytes, found: bytes) -> bool:
    """Return whether two bodies differ only in how they are compressed."""
    if not (source.startswith(_GZIP_MAGIC) or found.startswith(_GZIP_MAGIC)):
        return False
    try:
        return _digest_inside(source) == _digest_inside(found)
    except (PermanentError, TransientError):
        return False


def _digest_inside(body: bytes) -> bytes:
    decoder, digest = Decoder("gzip"), md5(usedforsecurity=False)
    decoder.feed(memoryview(body))
    while block := decoder.take(_BLOCK, at_end=True):
        digest.update(block)
    decoder.finish()
    return digest.digest()
