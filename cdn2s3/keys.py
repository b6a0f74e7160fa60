"""From a line of urls.txt to what is asked of the CDN and to the object's key. Pure.

The key is the URL's path, percent-decoded once, strictly as UTF-8, and never normalised: `a%20b.jpg` becomes
`a b.jpg`, `a+b.jpg` stays, what is not UTF-8 stays percent-encoded. A URL is taken only when it begins, to
the letter, with URL_PREFIX: no spelling of a URL can make the tool talk to another host.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote, unquote_to_bytes, urlsplit

KEY_BYTES = 1024  # longest key S3 takes, in bytes of UTF-8 (S3 User Guide, "Naming Amazon S3 objects")

_SCHEMES = ("http://", "https://")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_OCTET = re.compile(b"[\x00-\x1f\x7f]")
_BARE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_SAFE_ON_THE_WIRE = "!$%&'()*+,/:;=?@[]~"  # besides letters, digits and _.-: sent as it stands


_PLAIN = "[A-Za-z0-9_~-][A-Za-z0-9._~-]*"  # a segment of a path in which nothing needs decoding
_IS_PLAIN_PATH = re.compile(f"{_PLAIN}(?:/{_PLAIN})*".encode()).fullmatch


class InvalidUrl(ValueError):
    """Tell why a line is not a URL that this run may fetch.

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

    url_prefix: str  # what each URL begins with; ends in /
    destination_prefix: str  # what each key begins with; may be empty
    preserve: bool  # True: the whole path; False: its last segment
    strip: str = ""  # start of the path to leave out; only with preserve


class Address(NamedTuple):
    """Where a URL is fetched from and where it goes."""

    target: str  # path and query as sent to the CDN, percent-encoded ASCII
    key: str
    stripped: bool  # False: STRIP_PATH_PREFIX is set, but this path lacks it


class Known(NamedTuple):
    """What a run has to know of a line before it begins."""

    key: bytes
    stripped: bool  # as in Address
    told: bool  # True: the URL is the key with another beginning, so that no other such URL has this key


class KeyMaker:
    """Make the Address of each URL under one Naming."""

    def __init__(self, naming: Naming) -> None:
        self._naming = naming
        base = urlsplit(naming.url_prefix)
        self._origin_length = len(f"{base.scheme}://{base.netloc}")
        origin = re.escape(naming.url_prefix[: self._origin_length])
        self._is_plain = re.compile(rf"{origin}(?:/{_PLAIN})+").fullmatch
        self._prefix = naming.url_prefix.encode()
        self._key_prefix = naming.destination_prefix.encode()
        strip = naming.strip if naming.preserve else ""
        self._base = f"{naming.url_prefix[: self._origin_length]}/{strip}".encode()
        self.tells = naming.preserve  # True: a URL whose key plain_key() knows can be told from that

    @property
    def url_prefix(self) -> str:
        """What each URL begins with."""
        return self._naming.url_prefix

    def plain_key(self, line: bytes) -> bytes | None:
        """Return the key of line where it is a plain URL with STRIP_PATH_PREFIX, as nearly all are; else None.

        Millions of lines are looked at before a run begins: this takes a tenth of the time of address().
        """
        if not (line.startswith(self._base) and line.startswith(self._prefix)):
            return None
        rest = line[len(self._base) :]
        if not _IS_PLAIN_PATH(rest):
            return None
        key = self._key_prefix + (rest if self.tells else rest[rest.rfind(b"/") + 1 :])
        return key if len(key) <= KEY_BYTES else None

    def known(self, line: bytes) -> Known:
        """Return what is known of line, a URL as bytes, whether it is plain or not; raise InvalidUrl."""
        plain = self.plain_key(line)
        if plain is not None:
            return Known(plain, True, self.tells)
        address = self.address(line.decode("utf-8", "surrogateescape"))
        key = address.key.encode("utf-8")
        told = self.tells and line == self._base + key[len(self._key_prefix) :]
        return Known(key, address.stripped, told)

    def address(self, url: str) -> Address:
        """Return where url is fetched from and where it goes; raise InvalidUrl when it may not be fetched.

        url is one line of urls.txt, undecodable bytes as surrogates (errors="surrogateescape").
        """
        if self._is_plain(url) and url.startswith(self._naming.url_prefix):
            # what nearly every line is: nothing to decode, nothing to refuse
            target = url[self._origin_length :]
            key, stripped = self._key(target[1:])
            return Address(target, _checked(key), stripped)
        path, query = self._parts(url)
        key, stripped = self._key(path[1:])
        target = _BARE_PERCENT.sub("%25", path + query)
        return Address(quote(target, safe=_SAFE_ON_THE_WIRE), _checked(key), stripped)

    def _parts(self, url: str) -> tuple[str, str]:
        """Return url's path and its query with the question mark, or raise InvalidUrl."""
        try:
            url.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidUrl("not UTF-8") from None
        if not url.startswith(_SCHEMES):
            if url.strip().startswith(_SCHEMES):
                raise InvalidUrl("blanks around the URL")
            raise InvalidUrl("not an http or https URL")
        if not url.startswith(self._naming.url_prefix):
            raise InvalidUrl(f"not under URL_PREFIX {self._naming.url_prefix}", is_elsewhere=True)
        before_fragment = url.partition("#")[0]
        path, mark, query = before_fragment[self._origin_length :].partition("?")
        if not before_fragment.startswith(self._naming.url_prefix) or len(path) < 1:
            raise InvalidUrl("no file name")
        octets = unquote_to_bytes(path)  # what the CDN will see, whether or not it is UTF-8
        if _CONTROL.search(url) or _CONTROL_OCTET.search(octets) or _CONTROL.search(_decoded(path)):
            raise InvalidUrl("a control character")
        if b".." in octets.replace(b"\\", b"/").split(b"/"):
            raise InvalidUrl("a .. segment")
        return path, mark + query

    def _key(self, path: str) -> tuple[str, bool]:
        """Return the key for a path without its leading slash, and whether STRIP_PATH_PREFIX was there."""
        naming = self._naming
        if not naming.preserve:
            name, stripped = _decoded(path.rpartition("/")[2]), True
        else:
            name = _decoded(path)
            stripped = name.startswith(naming.strip)
            if stripped:
                name = name[len(naming.strip) :]
        if not name or name.endswith("/"):
            raise InvalidUrl("no file name")
        return naming.destination_prefix + name, stripped


def _decoded(path: str) -> str:
    if "%" not in path:
        return path
    try:
        return unquote_to_bytes(path).decode("utf-8")
    except UnicodeDecodeError:
        return path


def _checked(key: str) -> str:
    if len(key) * 4 > KEY_BYTES and len(key.encode("utf-8")) > KEY_BYTES:
        raise InvalidUrl(f"the key is longer than {KEY_BYTES} bytes")
    return key
