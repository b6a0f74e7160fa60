"""The site behind the CDN: what has changed since it began, and how it answers conditional requests."""

from __future__ import annotations

import hashlib
import itertools
from email.utils import formatdate

from tests.fakes.images import jpeg
from tests.fakes.wire import Request, response

_EPOCH = 1_790_000_000  # when every image was made
_LATER = 3_600  # seconds, for each change


class Site:
    """Contents by target; a test changes them and its habits at any time."""

    def __init__(self) -> None:
        self.etag = "md5"  # md5 | weak | opaque | url (a hash of the URL: never another) | none
        self.dates = False  # whether answers have a Last-Modified
        self.conditional = (
            "honest"  # honest | always (304 to every condition) | never (200) | date (that alone)
        )
        self.age = 0  # seconds; 0: no Age
        self.unstable: set[str] = set()  # targets of which every answer has other bytes
        self.all_unstable = False
        self._bodies: dict[str, bytes] = {}
        self._changes: dict[str, int] = {}
        self._serial = itertools.count()

    def change(self, target: str, body: bytes | None = None) -> bytes:
        """Let target have another body, a new one of its own unless it is given; return it."""
        number = self._changes[target] = self._changes.get(target, 0) + 1
        self._bodies[target] = jpeg(f"{target} {number}", 9_000) if body is None else body
        return self._bodies[target]

    def body(self, target: str, first: bytes) -> bytes:
        """Return what target holds now, which was first once."""
        if self.all_unstable or target in self.unstable:
            return jpeg(f"{target} {next(self._serial)}", 9_000)
        return self._bodies.get(target, first)

    def headers(self, target: str, body: bytes) -> list[tuple[str, str]]:
        """Return the validators of an answer, and its age."""
        found = [("ETag", self._etag(target, body))] if self.etag != "none" else []
        if self.dates:
            changes = self._changes.get(target, 0)
            found.append(("Last-Modified", formatdate(_EPOCH + _LATER * changes, usegmt=True)))
        return [*found, ("Age", str(self.age))] if self.age else found

    def not_modified(self, request: Request, headers: list[tuple[str, str]]) -> bytes | None:
        """Return a 304 where the request's conditions ask for one, None where it gets the body."""
        etags = request.headers.get("if-none-match", "")
        since = request.headers.get("if-modified-since", "")
        if not (etags or since) or self.conditional == "never":
            return None
        now = dict(headers)
        if self.conditional == "date":
            is_known = since != "" and since == now.get("Last-Modified")
        elif etags and now.get("ETag"):  # the date is ignored then (RFC 9110, 13.2.2)
            is_known = etags.removeprefix("W/") == now["ETag"].removeprefix("W/")
        else:
            is_known = since != "" and since == now.get("Last-Modified")  # to the letter, as nginx
        if not (is_known or self.conditional == "always"):
            return None
        kept = [(name, value) for name, value in headers if name in ("ETag", "Last-Modified", "Age")]
        return response(304, kept)

    def _etag(self, target: str, body: bytes) -> str:
        md5 = hashlib.md5(body).hexdigest()
        return {
            "md5": f'"{md5}"',
            "weak": f'W/"{md5}"',
            "url": f'"{hashlib.sha1(target.encode()).hexdigest()}"',
            "opaque": f'"v-{md5[:12]}"',
        }[self.etag]
