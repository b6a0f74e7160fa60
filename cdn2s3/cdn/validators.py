"""The validators of a file: what the CDN is asked with whether it has changed, and how old the answer is. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple


class Validators(NamedTuple):
    """What is known of a file, to the letter as the CDN sent it; "" for nothing.

    A request has both: a server that understands If-None-Match ignores the date (RFC 9110, 13.2.2).
    """

    etag: str = ""  # for If-None-Match, with its quotes
    modified: str = ""  # for If-Modified-Since

    def lines(self) -> bytes:
        """Return the header lines of a request; none where nothing is known that a header may hold."""
        named = (("If-None-Match", self.etag), ("If-Modified-Since", self.modified))
        return b"".join(f"{name}: {value}\r\n".encode("ascii") for name, value in named if _fits(value))


NO_VALIDATORS = Validators()
_MOST_SECONDS = 10 * 365 * 86_400


def _fits(value: str) -> bool:
    return bool(value) and value.isascii() and value.isprintable()


def age_of(headers: Mapping[str, str]) -> int:
    """Return the Age of a response in seconds (RFC 9111, 5.1); 0 where it has none that can be read."""
    text = headers.get("age", "").partition(",")[0].strip()
    if not (text.isascii() and text.isdigit()) or len(text) > len(str(_MOST_SECONDS)):
        return 0
    return min(int(text), _MOST_SECONDS)
