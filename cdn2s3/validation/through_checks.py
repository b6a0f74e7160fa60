"""What is asked of a new CDN: each object whole, and what visitors' browsers need besides."""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from cdn2s3.errors import FatalError, TransientError
from cdn2s3.records import UNKNOWN
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.validation.new_base import bucket_url, new_url, plain_url
from cdn2s3.validation.new_cdn import Answer, NewCdn
from cdn2s3.validation.stored_rows import StoredRow

SLACK = 1_000_000  # bytes that are read beyond a recorded size

# What is found: in through.txt, and what to do about it.
STATUS, BYTES, TRUNCATED, CONVERTED, TYPE = "status", "bytes", "truncated", "converted", "content type"
REDIRECT, NO_ANSWER, RANGE, CORS = "redirect", "no response", "range", "cors"
NOT_MODIFIED, HEAD, HTTP, ABSENT, BUCKET = "not modified", "head", "http", "absent name", "public bucket"
REMEDIES = {
    STATUS: "403 or 404: let the distribution read the bucket (OAC and bucket policy), and nothing between rewrite the "
    "path; for keys with + keep %2B as it is",
    BYTES: "another object is behind this URL: a stale copy (invalidate it), or another origin",
    TRUNCATED: "the CDN ends the body early: look at its limits, its origin and what is between",
    CONVERTED: "the CDN sends another format unless the original's is asked for: wanted, or switch its conversion off",
    TYPE: "forward the object's own Content-Type; an origin or response headers policy may replace it",
    REDIRECT: "the new URL leads away: correct the origin or NEW_BASE",
    NO_ANSWER: "ask again later; then the CDN's owner",
    RANGE: "let the CDN answer range requests",
    CORS: "forward Origin in the cache behavior, and set a CORS or response headers policy",
    NOT_MODIFIED: "pass the ETag on and let If-None-Match be answered",
    HEAD: "let HEAD be answered as GET is",
    HTTP: "redirect http to https (viewer protocol policy)",
    ABSENT: "grant s3:ListBucket to the distribution, so that absent names are 404 and not 403; no error page as 200",
    BUCKET: "block public access: visitors can go around the CDN",
}


class Finding(NamedTuple):
    """A line of through.txt."""

    url: str  # the old one; UNKNOWN where it is about no image
    new_url: str
    what: str  # a name of REMEDIES
    expected: str
    found: str
    is_warning: bool = False  # True: it does not make the CDN unfit

    def fields(self) -> tuple[str, ...]:
        """Return the fields of the line."""
        return (
            self.url,
            self.new_url,
            self.what + (" (warning)" if self.is_warning else ""),
            self.expected,
            self.found,
        )


class Checked(NamedTuple):
    """What the check of one object has shown."""

    row: StoredRow
    findings: list[Finding]
    answer: Answer | None  # None: no response


class Checks:
    """The checks of one new CDN; shared by all threads."""

    def __init__(self, cdn: NewCdn, base: str, settings: MigrationSettings) -> None:
        self._cdn = cdn
        self._base = base
        self._settings = settings
        self.etags_are_own = False  # True: the CDN's ETags have all been those of the bucket

    # --- an object ---

    def whole(self, row: StoredRow) -> Checked:
        """Get the object of row and compare status, bytes and type; raise Cancelled or FatalError."""
        url = new_url(self._base, row.key)
        try:
            answer = self._cdn.ask(url, most=row.size + SLACK)
            return Checked(row, list(self._of_whole(row, url, answer)), answer)
        except TransientError as error:
            return Checked(row, [Finding(row.url, url, NO_ANSWER, "200", error.message)], None)

    def by_head(self, row: StoredRow) -> Checked:
        """Ask for the object's head alone; get it whole where its ETag is doubtful; raise as whole().

        What is asked for is the original's type: whether the CDN converts has been seen on whole images.
        """
        url = new_url(self._base, row.key)
        accept = [] if row.media_type == UNKNOWN else [("Accept", row.media_type)]
        try:
            answer = self._cdn.ask(url, "HEAD", accept)
        except TransientError as error:
            return Checked(row, [Finding(row.url, url, NO_ANSWER, "200", error.message)], None)
        findings = list(self._of_head(row, url, answer))
        if not findings and self.etags_are_own and etag_of(answer) != row.etag:
            return self.whole(row)
        return Checked(row, findings, answer)

    def _of_whole(self, row: StoredRow, url: str, answer: Answer) -> Iterator[Finding]:
        if (wrong := _wrong_status(row, url, answer)) is not None:
            yield wrong
            return
        if answer.cut and answer.size <= row.size:
            yield Finding(row.url, url, TRUNCATED, f"{row.size:,} bytes", answer.cut)
        elif answer.size != row.size or row.md5 not in (UNKNOWN, answer.md5):
            found = (
                f"{answer.cut or f'{answer.size:,} bytes'}, {answer.headers.get('content-type', 'no type')}"
            )
            expected = f"{row.size:,} bytes, {row.media_type}"
            what = CONVERTED if self._is_converted(row, url, answer) else BYTES
            if answer.size == row.size:
                expected, found = f"{expected}, MD5 {row.md5}", f"{found}, MD5 {answer.md5}"
            yield Finding(row.url, url, what, expected, found, what == CONVERTED)
            if what == CONVERTED:
                return
        yield from _wrong_type(row, url, answer)

    def _is_converted(self, row: StoredRow, url: str, answer: Answer) -> bool:
        """Return whether the CDN sends another format only as long as the original's is not asked for."""
        theirs = media_type(answer.headers.get("content-type", ""))
        if not theirs.startswith("image/") or theirs == media_type(row.media_type) or row.md5 == UNKNOWN:
            return False
        asked = self._cdn.ask(url, headers=[("Accept", row.media_type)], most=row.size + SLACK)
        return asked.status == 200 and asked.md5 == row.md5

    def _of_head(self, row: StoredRow, url: str, answer: Answer) -> Iterator[Finding]:
        if (wrong := _wrong_status(row, url, answer)) is not None:
            yield wrong
            return
        size = answer.headers.get("content-length", "")
        if size.isascii() and size.isdigit() and int(size) != row.size:
            yield Finding(row.url, url, BYTES, f"{row.size:,} bytes", f"{int(size):,} bytes (HEAD)")
        yield from _wrong_type(row, url, answer)

    # --- what else visitors need, asked of a few ---

    def more_of(self, checked: Checked) -> list[Finding]:
        """Ask for a range, CORS, 304, HEAD and http of an object that whole() has found right."""
        row, answer = checked.row, checked.answer
        url = new_url(self._base, row.key)
        assert answer is not None  # it was right
        try:
            return [*self._range(row, url), *self._cors(row, url), *self._not_modified(row, url, answer),
                    *self._head(row, url), *self._http(row, url)]  # fmt: skip
        except TransientError as error:
            return [Finding(row.url, url, NO_ANSWER, "a response", error.message)]

    def _range(self, row: StoredRow, url: str) -> Iterator[Finding]:
        answer = self._cdn.ask(url, headers=[("Range", "bytes=0-0")], most=row.size + SLACK)
        if answer.status != 206 or answer.size != 1:
            yield Finding(row.url, url, RANGE, "206, 1 byte", f"{answer.text()}, {answer.size:,} bytes")

    def _cors(self, row: StoredRow, url: str) -> Iterator[Finding]:
        origin = self._settings.cors_origin
        if not origin:
            return
        # The CDN has been asked without Origin before: a copy that was made then must not lack the header.
        answer = self._cdn.ask(url, headers=[("Origin", origin)], most=row.size + SLACK)
        allowed = answer.headers.get("access-control-allow-origin", "")
        if allowed not in ("*", origin):
            found = f"{answer.text()}, {allowed or 'no Access-Control-Allow-Origin'}"
            yield Finding(row.url, url, CORS, f"Access-Control-Allow-Origin {origin}", found)

    def _not_modified(self, row: StoredRow, url: str, before: Answer) -> Iterator[Finding]:
        etag = before.headers.get("etag", "")
        if not etag:
            yield Finding(row.url, url, NOT_MODIFIED, "304", "no ETag to ask with")
            return
        answer = self._cdn.ask(url, headers=[("If-None-Match", etag)], most=row.size + SLACK)
        if answer.status != 304:
            yield Finding(row.url, url, NOT_MODIFIED, "304", answer.text())

    def _head(self, row: StoredRow, url: str) -> Iterator[Finding]:
        answer = self._cdn.ask(url, "HEAD")
        size = answer.headers.get("content-length", "no Content-Length")
        expected = f"200, {row.size} bytes, {row.media_type}"
        if answer.status != 200 or size != str(row.size) or any(_wrong_type(row, url, answer)):
            found = f"{answer.text()}, {size} bytes, {answer.headers.get('content-type', 'no type')}"
            yield Finding(row.url, url, HEAD, expected, found)

    def _http(self, row: StoredRow, url: str) -> Iterator[Finding]:
        plain = plain_url(url)
        if not plain:
            return
        try:
            answer = self._cdn.ask(plain, follow=False, most=row.size + SLACK)
        except TransientError as error:
            yield Finding(row.url, plain, HTTP, "a redirect to https", error.message, is_warning=True)
            return
        if not _is_same(answer.location, url):
            yield Finding(row.url, plain, HTTP, f"a redirect to {url}", answer.text())

    # --- what is asked once ---

    def absent(self) -> list[Finding]:
        """Ask for a name that does not exist."""
        name = f"{self._settings.destination_prefix}cdn2s3-absent-{secrets.token_hex(8)}.jpg"
        url = new_url(self._base, name)
        try:
            answer = self._cdn.ask(url, most=SLACK)
        except TransientError as error:
            return [Finding(UNKNOWN, url, NO_ANSWER, "404", error.message)]
        if answer.status in (404, 410):
            return []
        return [Finding(UNKNOWN, url, ABSENT, "404", answer.text(), is_warning=answer.status == 403)]

    def bucket(self, row: StoredRow) -> tuple[list[Finding], str]:
        """Ask the bucket itself without a signature; return a warning if it answers, and a note if nobody knows."""
        url = bucket_url(self._settings, row.key)
        try:
            answer = self._cdn.ask(url, "HEAD", follow=False)
        except (TransientError, FatalError) as error:
            return [], f"whether the bucket is public is not known: {error}"
        if answer.status == 200:
            return [Finding(row.url, url, BUCKET, "403", "200", is_warning=True)], ""
        if answer.status in (401, 403):
            return [], ""
        return [], f"whether the bucket is public is not known: its own address answers {answer.text()}"

    def not_asked(self) -> list[str]:
        """Return what settings, or NEW_BASE, leave out, as sentences without a period."""
        found = []
        if not self._settings.cors_origin:
            found.append("CORS was not asked: CORS_ORIGIN is empty")
        if not plain_url(self._base):
            found.append(
                "a redirect from http to https was not asked: NEW_BASE is http, or has a port of its own"
            )
        return found


class Headers:
    """How often the CDN has sent which values of the headers that say how it caches."""

    NAMES = ("cache-control", "x-cache", "x-amz-cf-pop", "content-encoding")
    _MOST = 100  # different values of one header

    def __init__(self) -> None:
        self.values: dict[str, Counter[str]] = {name: Counter() for name in self.NAMES}
        self.answers = self.etags = self.weak_etags = self.redirected = 0
        self.oldest = 0  # seconds, of Age

    def add(self, answer: Answer) -> None:
        self.answers += 1
        for name, values in self.values.items():
            value = answer.headers.get(name, "none")
            values[value if value in values or len(values) < self._MOST else "others"] += 1
        etag = answer.headers.get("etag", "")
        self.etags += bool(etag)
        self.weak_etags += etag.startswith("W/")
        self.redirected += answer.redirects > 0
        age = answer.headers.get("age", "")
        if age.isascii() and age.isdigit() and len(age) < 10:
            self.oldest = max(self.oldest, int(age))


def media_type(header: str) -> str:
    """Return a Content-Type without its parameters, in lower case."""
    return header.partition(";")[0].strip().lower()


def etag_of(answer: Answer) -> str:
    """Return the ETag of an answer as completed.txt has it: without quotes."""
    return answer.headers.get("etag", "").strip('"')


def _wrong_status(row: StoredRow, url: str, answer: Answer) -> Finding | None:
    if answer.location:
        return Finding(row.url, url, REDIRECT, "200", answer.text())
    return None if answer.status == 200 else Finding(row.url, url, STATUS, "200", answer.text())


def _wrong_type(row: StoredRow, url: str, answer: Answer) -> Iterator[Finding]:
    found = answer.headers.get("content-type", "")
    if row.media_type != UNKNOWN and media_type(found) != media_type(row.media_type):
        yield Finding(row.url, url, TYPE, row.media_type, found or "none")


def _is_same(location: str, url: str) -> bool:
    """Return whether location, of a redirect, is url, whatever is percent-encoded in it."""
    there, here = urlsplit(location), urlsplit(url)
    return (there.scheme, there.hostname, unquote(there.path)) == (
        here.scheme,
        here.hostname,
        unquote(here.path),
    )
