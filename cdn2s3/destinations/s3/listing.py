"""The listing of the bucket: ListObjectsV2, page by page, accepting only complete, plausible pages.

An empty response taken for "no objects", or a truncated list taken for the whole, would be the worst result of a
validation. So every page must be well-formed XML, a ListBucketResult of this bucket, with KeyCount
and IsTruncated, and a new token if more follows; anything else is retried, and then an error.

Three habits of some stores are neither: they are asked about with a request that only one meaning fits, and noted.
Some leave KeyCount out where nothing is listed.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Generator
from typing import Callable

from cdn2s3.destinations.base import Found, NotInOrder
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Client
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.destinations.s3.listing_page import (
    OtherKeyCount,
    Page,
    key_count,
    looks_encoded,
    parsed,
    unquoted,
    written_keys,
)
from cdn2s3.errors import FatalError, PermanentError, TransientError
from cdn2s3.file_names import MISSING_FILE
from cdn2s3.http.deadline import Deadline
from cdn2s3.resilience.retry import RetryPolicy, with_retries
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

MOST_EMPTY_PAGES = 100  # in a row, each with a token for more: a listing that makes no progress
_LIST = "the listing (ListObjectsV2)"


OTHER_KEY_COUNT = (
    "the store's KeyCount is not the number of keys on the page: that the listing is whole rests on IsTruncated alone, "
    "and on a HEAD for keys that it lacks"
)
PLAIN_KEYS = (
    "the store's listing says that its keys are URL-encoded, and they are not: they are read as they stand"
)
PLAIN_PLUS = (
    "the store's listing does not encode + in keys, where S3 writes it for a blank: it is read as it stands"
)


class Listing:
    """List the objects of a bucket under DESTINATION_PREFIX, once; page() is for several threads.

    pause gets seconds to wait before a page is asked for again; stop ends what is under way.
    """

    def __init__(
        self,
        client: S3Client,
        settings: MigrationSettings,
        pause: Callable[[float], object] = time.sleep,
        stop: threading.Event | None = None,
    ) -> None:
        self._client = client
        self._settings = settings
        self._bucket = settings.destination_bucket
        self._prefix = settings.destination_prefix
        self._timeout = settings.upload_timeout
        self._policy = RetryPolicy(settings.max_retries)
        self._pause = pause
        self._stop = stop
        self._before = (settings.state_dir / MISSING_FILE).exists()  # a validation has been here
        self._learning = threading.RLock()  # held while the store is asked what it means, and that is noted
        self._counts_keys = True  # KeyCount is the number of keys on the page
        self._encodes: bool | None = (
            None  # whether keys are encoded, as EncodingType says; None: not known yet
        )
        self._plus_is_blank: bool | None = None  # what + means in an encoded key; None: not known yet
        self.notes: list[str] = []  # in what the store's listing differs from S3's
        self.pages = 0  # read so far

    def __iter__(self) -> Generator[list[Found], None, None]:
        """Yield the objects page by page; raise FatalError unless the listing ends properly."""
        tokens: set[str] = set()
        first_keys: set[str] = set()
        token: str | None = None
        empty_pages = 0
        while True:
            page = self.page(token, tokens)
            self.pages += 1
            empty_pages = 0 if page.objects else empty_pages + 1
            if (page.objects and page.objects[0].key in first_keys) or empty_pages > MOST_EMPTY_PAGES:
                raise self._failure(
                    "it repeats itself in a loop: the same page came back, or page after page had no key. Ask "
                    "the store's owner."
                )
            first_keys.update(found.key for found in page.objects[:1])
            yield page.objects
            if page.token is None:
                return
            tokens.add(page.token)
            token = page.token

    def page(self, token: str | None, known: set[str], after: str | None = None) -> Page:
        """Return the page of token, the first one after the key after, or the first of all, with further attempts.

        known are the tokens that had their turn. Raise FatalError when the store does not give a whole page;
        NotInOrder when it refuses to begin after a key.
        """

        def attempt() -> Page:
            page = self._parsed(self._ask(token, after=after))
            if page.token in known:
                raise TransientError("server_error", "the token for the next page is that of an earlier page")
            return page

        try:
            return with_retries(attempt, self._policy, self._pause)
        except TransientError as error:
            raise self._failure(
                f"{error.message} ({self._policy.max_attempts} attempts). Check the network, AWS_ENDPOINT_URL and "
                "AWS_REGION, then run it again."
            ) from error

    def _parsed(self, body: bytes) -> Page:
        """Return the page in body, read as this store means it."""
        try:
            return parsed(body, self._bucket, self._prefix, self._decode, self._counts_keys)
        except OtherKeyCount:
            with self._learning:
                if self._counts_keys:
                    if not self._counts_more_than_a_page():
                        raise
                    self._counts_keys = False
                    self._note(OTHER_KEY_COUNT)
        return parsed(body, self._bucket, self._prefix, self._decode, self._counts_keys)

    def _counts_more_than_a_page(self) -> bool:
        """Return whether KeyCount exceeds the most keys that were asked for, as no count of a page can."""
        count = key_count(self._ask(None, most="1"))
        return count.isascii() and count.isdigit() and int(count) > 1

    def _decode(self, key: str) -> str:
        """Return a URL-encoded key; S3 writes a blank as +, as in a form, and + as %2B: not all stores do."""
        if (self._encodes is None and ("%" in key or not looks_encoded(key))) or (
            "+" in key and self._encodes is not False and self._plus_is_blank is None
        ):
            self._learn(key)
        if self._encodes is False:
            return key
        return unquoted(key, self._plus_is_blank is not False)

    def _learn(self, key: str) -> None:
        """Find out what key shows of how this store writes keys, unless another thread has by now."""
        with self._learning:
            if self._encodes is None and ("%" in key or not looks_encoded(key)):
                self._encodes = looks_encoded(key) is not None and not self._is_listed_as(key)
                if not self._encodes:
                    self._note(PLAIN_KEYS)
            if "+" in key and self._encodes is not False and self._plus_is_blank is None:
                self._plus_is_blank = not self._has_plain_plus(key)
                if not self._plus_is_blank:
                    self._note(PLAIN_PLUS)

    def _is_listed_as(self, key: str) -> bool:
        """Return whether the store writes key, whose name has a %, as it stands; encoded, it would have %25 there."""
        return any(name.startswith(key) for name in self._written(key))

    def _has_plain_plus(self, key: str) -> bool:
        """Return whether key, read with its + as it stands, is listed under that name, and written the same way."""
        names = self._written(unquoted(key, plus_is_blank=False))
        return any("+" in name and "%2b" not in name.lower() for name in names)

    def _written(self, prefix: str) -> list[str]:
        """Return how the store writes the first key under prefix: no more than one."""
        return written_keys(self._ask(None, most="1", prefix=prefix))

    def _note(self, text: str) -> None:
        self.notes.append(text)
        log.warning("%s", text)

    def _ask(
        self, token: str | None, most: str = "1000", prefix: str | None = None, after: str | None = None
    ) -> bytes:
        query = {"list-type": "2", "encoding-type": "url", "max-keys": most, "prefix": prefix or self._prefix}
        if token is not None:
            query["continuation-token"] = token
        if after is not None:
            query["start-after"] = after
        reply = self._client.request("GET", "", Deadline(self._timeout, self._stop), query=query)
        if reply.status == 200:
            return reply.body
        if reply.is_refusal:
            missing = policy(self._settings, "ListBucket")
            raise self._failure(f"403, the permission is missing. Add to the role's policy:\n  {missing}")
        error = reply.error(_LIST)
        if after is not None and (isinstance(error, PermanentError) or reply.status == NOT_IMPLEMENTED):
            raise NotInOrder(str(error))
        if isinstance(error, (FatalError, PermanentError)):
            raise self._failure(str(error)) from error
        raise error

    def _failure(self, why: str) -> FatalError:
        state = "are unchanged from an earlier validation" if self._before else "were not written"
        return FatalError(
            f"could not list the bucket {self._bucket}: {why}\n"
            "Nothing is known about what exists or is missing; "
            f"missing.txt, mismatched.txt and unexpected.txt {state}."
        )
