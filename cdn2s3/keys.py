"""The mapping from a line of urls.txt to the CDN request and to the object's key. Pure.

The key is the URL's path, percent-decoded once, strictly as UTF-8, and never normalized: `a%20b.jpg` becomes
`a b.jpg`, `a+b.jpg` stays, bytes that are not UTF-8 stay percent-encoded. A URL is accepted only if it starts
exactly with URL_PREFIX: no spelling of a URL can make the tool contact another host.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

KEY_BYTES = 1024  # longest key that S3 accepts, in bytes of UTF-8 (S3 User Guide, "Naming Amazon S3 objects")

_SCHEMES = ("http://", "https://")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_OCTET = re.compile(b"[\x00-\x1f\x7f]")
_BARE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_SAFE_ON_THE_WIRE = "!$%&'()*+,/:;=?@[]~"  # besides letters, digits and _.-: sent unchanged


# The characters of nearly every path: none is decoded, and only a .. segment is refused.
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"


class InvalidUrl(ValueError):
    """A line is not a URL that this run may fetch.

    is_elsewhere is True for a URL that is well-formed, but not under URL_PREFIX.
    """

    def __init__(self, why: str, is_elsewhere: bool = False) -> None:
        super().__init__(why, is_elsewhere)
        self.why = why
        self.is_elsewhere = is_elsewhere

    def __str__(self) -> str:
        return self.why


class Naming(NamedTuple):
    """How URLs become keys."""

    url_prefix: str  # what each URL starts with; ends in /
    destination_prefix: str  # what each key starts with; may be empty
    preserve: bool  # True: the whole path; False: its last segment
    strip: str = ""  # start of the path to omit; only with preserve


class Address(NamedTuple):
    """Where a URL is fetched from and where it goes."""

    target: str  # path and query as sent to the CDN, percent-encoded ASCII
    key: str
    stripped: bool  # False: STRIP_PATH_PREFIX is set, but this path lacks it


class KeyMaker:
    """Make the key and the Address of each URL under one Naming."""

    def __init__(self, naming: Naming) -> None:
        base = urlsplit(naming.url_prefix)
        origin = f"{base.scheme}://{base.netloc}"
        self.url_prefix = naming.url_prefix  # what each URL starts with
        self._prefix = naming.url_prefix.encode()
        self._prefix_is_plain = _is_plain(self._prefix[len(origin) :])
        self._origin_length = len(origin)
        self._path_at = len(origin) + 1  # the path's leading slash is not part of the key
        self._preserve = naming.preserve
        self._strip = naming.strip.encode() if naming.preserve else b""
        self._base = f"{origin}/".encode() + self._strip
        self._key_prefix = naming.destination_prefix.encode()

    def are_plain(self, lines: Sequence[bytes]) -> bool:
        """Return whether each of lines is a URL in which nothing must be decoded or refused.

        A run checks millions of lines before it begins: a hundred at a time, this costs almost nothing.
        """
        text = b"\n" + b"\n".join(lines)
        paths = text.replace(b"\n" + self._prefix, b"/")  # where a line begins otherwise its newline stays
        return self._prefix_is_plain and text.count(b"\n") == len(lines) and _is_plain(paths)

    def known(self, line: bytes, is_plain: bool = False) -> tuple[bytes, bool, bool]:
        """Return the key of line, a URL as bytes, and whether it is stripped and reversible.

        It is stripped unless STRIP_PATH_PREFIX is set and this path lacks it. It is reversible where it is the
        key with another beginning, so that no other such URL has this key. is_plain says that are_plain() has
        been asked. Raise InvalidUrl when the URL may not be fetched.
        """
        is_plain = is_plain or self.are_plain((line,))
        path = line[self._path_at :] if is_plain else self._path_and_query(line)[0]
        name = path if self._preserve else path[path.rfind(b"/") + 1 :]
        if not is_plain:
            name = _decoded(name)
        stripped = name.startswith(self._strip)
        if stripped:
            name = name[len(self._strip) :]
        if not name or name.endswith(b"/"):
            raise InvalidUrl("no file name")
        key = self._key_prefix + name
        if len(key) > KEY_BYTES:
            raise InvalidUrl(f"the key is longer than {KEY_BYTES} bytes")
        return key, stripped, self._preserve and line == self._base + name

    def address(self, url: str) -> Address:
        """Return where url is fetched from and where it goes; raise InvalidUrl when it may not be fetched.

        url is one line of urls.txt, undecodable bytes as surrogates (errors="surrogateescape").
        """
        line = url.encode("utf-8", "surrogatepass")  # a surrogate is not UTF-8, and so refused
        is_plain = self.are_plain((line,))
        key, stripped, _ = self.known(line, is_plain)
        if is_plain:
            return Address(url[self._origin_length :], key.decode(), stripped)
        path, query = self._path_and_query(line)
        target = _BARE_PERCENT.sub("%25", f"/{path.decode()}{query}")
        return Address(quote(target, safe=_SAFE_ON_THE_WIRE), key.decode(), stripped)

    def _path_and_query(self, line: bytes) -> tuple[bytes, str]:
        """Return line's path without its leading slash, and its query with the question mark, or raise InvalidUrl."""
        try:
            url = line.decode()
        except UnicodeDecodeError:
            raise InvalidUrl("not UTF-8") from None
        if not url.startswith(_SCHEMES):
            if url.strip().startswith(_SCHEMES):
                raise InvalidUrl("spaces around the URL")
            raise InvalidUrl("not an http or https URL")
        if not url.startswith(self.url_prefix):
            raise InvalidUrl(f"not under URL_PREFIX {self.url_prefix}", is_elsewhere=True)
        before_fragment = url.partition("#")[0]
        path, mark, query = before_fragment[self._origin_length :].partition("?")
        if not before_fragment.startswith(self.url_prefix) or len(path) < 1:
            raise InvalidUrl("no file name")
        octets = unquote_to_bytes(path)  # what the CDN receives, whether or not it is UTF-8
        if (
            _CONTROL.search(url)
            or _CONTROL_OCTET.search(octets)
            or _CONTROL.search(_decoded(path.encode()).decode())
        ):
            raise InvalidUrl("a control character")
        if b".." in octets.replace(b"\\", b"/").split(b"/"):
            raise InvalidUrl("a .. segment")
        return path[1:].encode(), mark + query


def _is_plain(path: bytes) -> bool:
    """Return whether path has nothing to decode or refuse, except possibly its end."""
    return not path.translate(None, _PLAIN) and b"/.." not in path


def _decoded(path: bytes) -> bytes:
    """Return path percent-decoded, or unchanged if that is not UTF-8."""
    if b"%" not in path:
        return path
    octets = unquote_to_bytes(path)
    try:
        octets.decode()
    except UnicodeDecodeError:
        return path
    return octets
