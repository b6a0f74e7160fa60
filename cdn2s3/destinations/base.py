"""The contract of a destination: images are stored once, completely, and never over something else unasked.

s3/ and local_folder.py implement Destination; factory.py opens the one that the settings select.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import AbstractContextManager
from hashlib import md5
from typing import Callable, NamedTuple, Protocol

from cdn2s3.errors import PermanentError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import FOUND, OURS, RENEWED, REPLACED, Image, Recorded, Stored

PART_BYTES = 8 << 20  # of a body too large for memory; S3 takes parts from 5 MiB on, and 10,000 of them
PROBE_NAME = ".cdn2s3-probe"  # after DESTINATION_PREFIX: how the keys of objects that are not images begin
PROBE_BODY = b"cdn2s3 writes and deletes this object to see what the bucket checks.\n"


def plain_etag(text: str) -> str:
    """Return an ETag without quotes: `"abc"` is abc, the weak `W/"abc"` is W/abc."""
    return text.replace('"', "").strip()


def quoted_etag(plain: str) -> str:
    """Return what plain_etag() has made plain as it stands in a header: some stores take it only in quotes."""
    return f'W/"{plain[2:]}"' if plain.startswith("W/") else f'"{plain}"'


def same_etag(one: str, other: str) -> bool:
    """Return whether two plain ETags name the same bytes; a weak one, as some proxies make, is compared as strong."""
    return one.removeprefix("W/") == other.removeprefix("W/")


def how_over(recorded: Recorded | None, etag: str) -> str:
    """Return how an object comes to a key (records.RENEWED or REPLACED), over one with a plain ETag, "" if unknown.

    recorded is what the last row of the key says, None if there is none.
    """
    is_ours = recorded is not None and recorded.how in OURS and same_etag(recorded.etag, etag)
    return RENEWED if is_ours else REPLACED


def how_met(recorded: Recorded | None, etag: str) -> str:
    """Return how an object of the right content with that plain ETag came to its key: as recorded, else FOUND."""
    return recorded.how if recorded is not None and same_etag(recorded.etag, etag) else FOUND


class Conflict(PermanentError):
    """Other content than the image is at its key; etag is its plain ETag, "" if unknown."""

    def __init__(self, message: str, etag: str) -> None:
        super().__init__("conflict", message)
        self.etag = etag


BOTH_ENDS = "changed at both ends"
LOST = "lost"


class NotRenewed(PermanentError):
    """The object to renew is not the recorded one anymore (what: BOTH_ENDS), or is gone (LOST)."""

    def __init__(self, what: str, message: str) -> None:
        super().__init__("conflict", message)
        self.what = what


def met(verify: Callable[[], Stored], overwrites: bool, recorded: Recorded | None) -> Stored | str:
    """Return the object at a key where it is the image, else how the image comes over it (how_over).

    verify looks at it: it returns the object, or raises Conflict or PermanentError (unverified). These are raised
    unless overwrites, which is ON_EXISTING=overwrite; so is everything else.
    """
    try:
        return verify()
    except Conflict as other:
        if not overwrites:
            raise
        return how_over(recorded, other.etag)
    except PermanentError as error:
        if not overwrites or error.cause != "unverified":
            raise
        return REPLACED


class Content(NamedTuple):
    """What a body is."""

    size: int  # bytes
    md5: bytes  # 16 bytes


class Found(NamedTuple):
    """An object as the destination shows it."""

    key: str
    size: int  # bytes
    etag: str  # without quotes; "" if the store returns none
    md5: str = ""  # of the bytes, 32 hex digits, where a record knows it


# The ways in which a delta renews an object.
WHOLE = "whole"  # by one PUT
IN_PARTS = "in parts"


class Note(NamedTuple):
    """What a destination lacks, and what that means for the run."""

    level: int  # of logging: a WARNING is in the report, too
    text: str  # a sentence or two
    way: str = ""  # WHOLE or IN_PARTS: it matters where a delta renews objects so; "": it always matters


class KeyRefused(Exception):
    """The store answers for other keys and not for this one: it cannot hold an object there."""


class NotInOrder(Exception):
    """The parts of a listing do not make one listing, sorted by key; says what did not fit."""


class ReadRefused(Exception):
    """We may not read an object.

    On S3, without s3:ListBucket, that is also the response for a missing object. remedy is one imperative
    clause.
    """

    def __init__(self, action: str, remedy: str) -> None:
        super().__init__(action, remedy)
        self.action = action  # HEAD or GET
        self.remedy = remedy

    def as_failure(self) -> PermanentError:
        """Return the failure that it is for a URL whose object has to be looked at."""
        return PermanentError("unverified", f"{self.action} was refused: {self.remedy}")


class ObjectBody(Protocol):
    """The bytes of one object, read once, from one thread."""

    @property
    def etag(self) -> str:
        """The object's ETag, without quotes; available after the bytes were read."""

    def read_into(self, block: memoryview) -> int:
        """Read into block and return how many bytes; 0 at the end. Raise TransientError, Cancelled or FatalError."""


class Upload(Protocol):
    """The storing of one image, attempt by attempt, from one worker."""

    def attempt(self, deadline: Deadline) -> Stored:
        """Store the image; raise TransientError, PermanentError (conflict, unverified, destination) or FatalError.

        May be called again after a TransientError.
        """

    def give_up(self) -> None:
        """Remove what a failed attempt of ours may have left; never raises."""


class Destination(Protocol):
    """Where images are stored. One for each process, shared by all its threads.

    Every method but prepare(), handover() and close() may be called from any thread, several at once.
    """

    @property
    def name(self) -> str:
        """The kind, as one word for messages: bucket or folder."""

    @property
    def probe_keys(self) -> frozenset[str]:
        """The keys that prepare() and is_up() write to: never an image's, and ignored in listings."""

    @property
    def probes_left(self) -> tuple[str, ...]:
        """Those of them that prepare() and is_up() have stored and not deleted."""

    @property
    def endpoint(self) -> str:
        """The address that responds, for reports; "" if there is none."""

    @property
    def integrity(self) -> str:
        """What the run goes by: images must have their MD5 (md5), or their CRC-32 (crc32, auto); after prepare().

        Under auto the destination tells the MD5 of what it has stored. It may turn from auto to md5 during a run.
        """

    @property
    def integrity_text(self) -> str:
        """What that means, in a sentence; after prepare()."""

    def describe(self) -> str:
        """Return where images go, for people: `s3://bucket/prefix`, or a folder."""

    def prepare(self) -> None:
        """Find out what the destination proves, once, from the main thread, before the first upload.

        Make as many attempts as MAX_RETRIES allows. Raise FatalError when it does not respond, or refuses us.
        """

    def notes(self) -> list[Note]:
        """Return what the destination lacks and what that means; after prepare().

        Raise FatalError where an existing object could be overwritten unseen.
        """

    def handover(self) -> object:
        """Return what prepare() has found out, picklable, for factory.open_destination() in another process."""

    # --- storing

    def upload(self, key: str, image: Image, recorded: Recorded | None = None) -> Upload:
        """Return the storing of image at key, not begun; recorded is what the last row of key says, if it has one."""

    def store_parts(
        self,
        key: str,
        media_type: str,
        parts: Iterator[memoryview],
        limit_seconds: float,
        encoding: str = "",
        recorded: Recorded | None = None,
    ) -> Stored:
        """Store a body too large for memory, part by part, and complete it only after its last part.

        parts raises when the body turns out not to be whole; then nothing is left at key. limit_seconds is for
        each part; encoding as in Image, recorded as for upload(). Raise as Upload.attempt().
        """

    def prepare_renewing(self) -> None:
        """Find out how recorded objects can be replaced, and nothing else; once, after prepare(), by a delta.

        Raise FatalError where another object than the recorded one could be replaced unseen.
        """

    def renew(self, key: str, image: Image, recorded: Recorded) -> Upload:
        """Return the putting of image over the object that recorded, the last row of key, says is there; not begun.

        Its attempts raise NotRenewed where that object is not there anymore, besides what those of upload() do. An
        object that is image already counts as already_there.
        """

    def renew_parts(
        self,
        key: str,
        media_type: str,
        parts: Iterator[memoryview],
        limit_seconds: float,
        recorded: Recorded,
        encoding: str = "",
    ) -> Stored:
        """Do the same with a body too large for memory, part by part, as store_parts()."""

    def is_up(self) -> bool:
        """Return whether the destination accepts a small object now: one short attempt.

        Raise FatalError where waiting would not help; never TransientError.
        """

    # --- reading

    def head(self, key: str, deadline: Deadline) -> Found | None:
        """Return what is at key, None when nothing is.

        Raise ReadRefused, KeyRefused, TransientError or FatalError.
        """

    def read(self, key: str, deadline: Deadline) -> AbstractContextManager[ObjectBody | None]:
        """Yield the object at key to read, None if there is none.

        Entering it, or read_into(), raises ReadRefused, PermanentError, TransientError, Cancelled or FatalError.
        """

    def md5(self, key: str, deadline: Deadline) -> str:
        """Return the MD5 of the bytes at key, 32 hex digits.

        Raise PermanentError (unverified) when they may not be read, TransientError when nothing is there.
        """

    def list_pages(self, dividers: Sequence[str] = ()) -> Generator[list[Found], None, None]:
        """Yield all objects under DESTINATION_PREFIX in pages, sorted by the UTF-8 bytes of their keys.

        dividers are keys, sorted likewise, between which about equally many objects are expected: the destination
        may list what lies between them at once. It raises NotInOrder where that does not fit together, at any time:
        then list anew, without dividers. For one thread; close it if it is not read to its end.
        Raise FatalError unless the listing ends properly: a truncated list never counts as complete.
        """

    @property
    def listing_notes(self) -> tuple[str, ...]:
        """In what the last listing differs from what the store's kind promises, and what that means."""

    # --- removing

    def delete(self, key: str, deadline: Deadline) -> bool:
        """Delete the object at key, if there is one; return False when that is refused.

        Raise TransientError, PermanentError or FatalError.
        """

    def close(self) -> None:
        """Remove what is_up() has left, at the end of a run; never raises."""


def hash_all(parts: Iterator[memoryview]) -> Content:
    """Read all parts and return what they are together."""
    digest, size = md5(usedforsecurity=False), 0
    for part in parts:
        digest.update(part)
        size += len(part)
    return Content(size, digest.digest())
