"""The records that rooms exchange: an image, the object that it became, a task, and what a row says of an object."""

from __future__ import annotations

from hashlib import md5
from typing import NamedTuple

UNKNOWN = "-"  # in a field of completed.txt

# How an object came to be at its key, in completed.txt. Only what is ours may ever be renewed or removed.
STORED = "stored"  # nothing was there
RENEWED = "renewed"  # over an object that was ours already: stored or renewed
REPLACED = "replaced"  # under ON_EXISTING=overwrite, over one that was not ours, or not known to be
FOUND = "found"  # nothing was written: an object with the same content was there
ADOPTED = "adopted"  # recorded from a listing, and not compared
HOWS = frozenset({STORED, RENEWED, REPLACED, FOUND, ADOPTED})
OURS = frozenset({STORED, RENEWED})

# Where an object's MD5 comes from.
COMPUTED = "computed"  # here, from its bytes; or nobody knows it
ANSWERED = "answered"  # by the store to a PUT, over bytes whose CRC-32 it had checked (INTEGRITY=auto)
UNANSWERED = "unanswered"  # it was to be, and was not: computed here after all

# Where an object is, in completed.txt.
S3 = "s3"
LOCAL = "local"


class Image(NamedTuple):
    """A body that has been downloaded and checked."""

    body: memoryview  # the bytes; valid until its worker takes the next URL
    media_type: str  # detected from the bytes, for the object's Content-Type
    md5: bytes  # 16 bytes; empty where the CRC-32 is sent instead, and nobody has computed it
    crc32: int  # CRC-32 as in zlib; 0 where the MD5 is sent
    encoding: str = ""  # for the object's Content-Encoding; "" for none

    def digest(self) -> bytes:
        """Return the MD5 of the body, computed now where it was not before."""
        return self.md5 or md5(self.body, usedforsecurity=False).digest()


class Stored(NamedTuple):
    """An object that is proven to contain an image's bytes."""

    etag: str  # without quotes
    size: int  # bytes
    md5: str  # 32 hex digits, or "-" where nobody computed it
    already_there: bool  # True: it already existed, with the same content
    how: str = STORED  # what its row says: STORED … ADOPTED, or UNKNOWN
    place: str = S3  # or LOCAL
    md5_from: str = COMPUTED  # or ANSWERED, UNANSWERED


class Recorded(NamedTuple):
    """What the last row of an object in completed.txt says, for the one that writes or meets the object again."""

    how: str  # STORED … ADOPTED; UNKNOWN in a row of an older version
    etag: str  # UNKNOWN if the row has none
    place: str = S3  # or LOCAL
    size: int = 0  # bytes; this and what follows is there for a delta alone
    md5: str = UNKNOWN  # 32 hex digits
    source_etag: str = UNKNOWN  # as the CDN sent it
    source_modified: str = UNKNOWN  # likewise
    media_type: str = UNKNOWN
    finished_at: str = UNKNOWN


# What is to be done with a URL.
MOVE = "move"
LOOK = "look"  # ask the CDN whether it has changed since it was recorded, and write nothing
RENEW = "renew"  # put the CDN's bytes over the recorded object


class Task(NamedTuple):
    """A URL to move, and its history."""

    url: str  # its line of the input: it may end with a field key=NAME
    attempts: int = 0  # made in an earlier pass
    cause: str = ""  # of the failure in an earlier pass; "" in the first
    retry_after_recovery: bool = False  # True: the next failure while its endpoint works is blamed on the URL
    recorded: Recorded | None = None  # its last row, where it is done again; None: it has none
    place: str = S3  # where its image is or goes: S3 or LOCAL
    purpose: str = MOVE  # or LOOK or RENEW
    wanted_md5: str = ""  # to RENEW: the bytes that the first pass has judged
    # To LOOK: what the CDN is asked with, "" for nothing; to RENEW: what it has shown in the first pass.
    source_etag: str = ""
    source_modified: str = ""
    was_sent: bool = False  # True: this run has sent it to its destination before, and may have stored it


class Share(NamedTuple):
    """Which of the run's processes this is, which determines its share of the workers and limits."""

    number: int = 0  # from 0
    of: int = 1  # how many there are, no more than workers

    def workers(self, concurrency: int) -> int:
        """Return how many workers this process has, so that all have concurrency; the first have the most."""
        return concurrency // self.of + (self.number < concurrency % self.of)


WHOLE = Share()
