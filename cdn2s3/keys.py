"""The mapping from a line of urls.txt to the CDN request, the object's key, and what makes it the same as another.

The key is the URL's path, percent-decoded once, strictly as UTF-8, and never normalized: `a%20b.jpg` becomes
`a b.jpg`, `a+b.jpg` stays, bytes that are not UTF-8 stay percent-encoded; or it is what the line itself says, in a
field `key=NAME`. A URL is accepted only under URL_PREFIX, and is asked for at the origin of that: no spelling of a
URL can make the tool contact another host.

Two URLs that ask for the same thing have one identity: http or https, the case of the host's name, the spelling of
what is percent-encoded, the fragment and IGNORED_QUERY_PARAMS make no difference. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Callable, NamedTuple
from urllib.parse import quote, unquote_to_bytes

from cdn2s3.query_params import chosen, joined, normal, without
from cdn2s3.url_prefixes import Prefix, Prefixes, located
from cdn2s3.url_text import schemes_in

KEY_BYTES = 1024  # longest key that S3 accepts, in bytes of UTF-8 (S3 User Guide, "Naming Amazon S3 objects")
KEY_FIELD = "key="  # how the last field of a line begins that names its object

_SCHEMES = ("http://", "https://")
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_CONTROL_OCTET = re.compile(b"[\x00-\x1f\x7f]")
_HOST = re.compile(r"[\w.-]+(:\d+)?|\[[0-9a-f:.]+\](:\d+)?")
_BARE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_SAFE_ON_THE_WIRE = "!$%&'()*+,/:;=?@[]~"  # besides letters, digits and _.-: sent unchanged
_NAME_AT = b"\t" + KEY_FIELD.encode()


# The characters of nearly every path: none is decoded, and only a .. segment is refused.
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/"


# From a line to the identity of the object that it is to become: KeyMaker.object_id, or `bytes`, the line itself.
ObjectId = Callable[[bytes], bytes]


class InvalidUrl(ValueError):
    """A line is not a URL that this run may fetch.

    is_elsewhere is True for a URL that is well-formed, but not under URL_PREFIX; other_host is its host where no
    prefix is on it, else "".
    """

    def __init__(self, why: str, is_elsewhere: bool = False, other_host: str = "") -> None:
        super().__init__(why, is_elsewhere, other_host)
        self.why = why
        self.is_elsewhere = is_elsewhere
        self.other_host = other_host

    def __str__(self) -> str:
        return self.why

    @property
    def cause(self) -> str:
        """What it is called in failed_transfers.txt."""
        return "other_host" if self.other_host else "malformed"


class Naming(NamedTuple):
    """How URLs become keys."""

    url_prefix: str  # a value of URL_PREFIX: what each URL starts with
    destination_prefix: str  # what each key starts with; may be empty
    preserve: bool  # True: the whole path; False: its last segment
    strip: str = ""  # start of the path to omit; only with preserve
    ignored_params: tuple[str, ...] = ()  # parameters of the query that are no part of a URL's identity
    key_params: tuple[str, ...] = ()  # parameters of the query whose values are part of the key


class Address(NamedTuple):
    """Where a URL is fetched from and where it goes."""

    target: str  # path and query as sent to the CDN, percent-encoded ASCII
    key: str
    stripped: bool  # False: STRIP_PATH_PREFIX is set, but this path lacks it
    source: int = 0  # which of KeyMaker.origins it is fetched from


class _Read(NamedTuple):
    """What a line says, checked."""

    prefix: Prefix
    path: str  # without its leading slash
    query: str  # with its question mark; empty if there is none
    name: bytes | None  # what the line calls its object; None: it does not say

    @property
    def target(self) -> str:
        """What is sent to the CDN."""
        asked = _BARE_PERCENT.sub("%25", f"/{self.path}{self.query}")
        return quote(asked, safe=_SAFE_ON_THE_WIRE)


class KeyMaker:
    """Make the key, the Address and the identity of each URL under one Naming."""

    def __init__(self, naming: Naming) -> None:
        prefixes = Prefixes(naming.url_prefix)
        self.url_prefix = naming.url_prefix  # what each URL starts with
        self.origins = prefixes.origins  # scheme and host of each source
        self._prefixes = prefixes
        # Longest first, so that the first one that a line starts with is the one it is under.
        self._beginnings = [_Beginning(prefix, naming) for prefix in prefixes.longest_first]
        self._only = self._beginnings[0] if len(self._beginnings) == 1 else None
        self._prefixes_are_plain = all(_is_plain(one.prefix.path.encode()) for one in self._beginnings)
        self._preserve = naming.preserve
        self._strip = naming.strip.encode() if naming.preserve else b""
        self._key_prefix = naming.destination_prefix.encode()
        self._base = f"{self.origins[0]}/".encode() + self._strip
        self.ignored_params = frozenset(naming.ignored_params)
        self.key_params = frozenset(naming.key_params)

    def are_plain(self, lines: Sequence[bytes]) -> bool:
        """Return whether each of lines is a URL in which nothing must be decoded or refused.

        A run checks millions of lines before it begins: a hundred at a time, this costs almost nothing.
        """
        paths = text = b"\n" + b"\n".join(lines)
        for one in self._beginnings:
            paths = paths.replace(one.in_a_text, b"/")  # where a line begins otherwise its newline stays
        return self._prefixes_are_plain and text.count(b"\n") == len(lines) and _is_plain(paths)

    def known(self, line: bytes, is_plain: bool = False) -> tuple[bytes, bool, bool, bytes]:
        """Return of line, as bytes: its key, whether it is stripped and reversible, and the URL's identity.

        It is stripped unless STRIP_PATH_PREFIX is set and this path lacks it. It is reversible where its identity
        is the key with another beginning, so that no other such URL has this key. is_plain says that are_plain()
        has been asked. Raise InvalidUrl when the URL may not be fetched.
        """
        if not is_plain and not self.are_plain((line,)):
            return self._known_of(self._read(line))
        one = self._only or self._beginning_of(line)
        path = line[one.path_at :]
        name = path if self._preserve else path[path.rfind(b"/") + 1 :]
        stripped = name.startswith(self._strip)
        if stripped:
            name = name[len(self._strip) :]
        if not name or name.endswith(b"/"):
            raise InvalidUrl("no file name")
        if self.key_params and b"~" in name:
            name = self._with_params(name, "")
        key = one.key_prefix + name
        if len(key) > KEY_BYTES:
            raise InvalidUrl(f"the key is longer than {KEY_BYTES} bytes")
        return key, stripped, one.is_reversible and line == self._base + name, line

    def _beginning_of(self, line: bytes) -> _Beginning:
        return next(one for one in self._beginnings if line.startswith(one.text))

    def _known_of(self, read: _Read) -> tuple[bytes, bool, bool, bytes]:
        """Return what known() returns."""
        identity = self._identity(read)
        prefix = self._key_prefix + read.prefix.place.encode()
        stripped = True
        if read.name is None:
            path = read.path.encode()
            name = _decoded(path if self._preserve else path[path.rfind(b"/") + 1 :])
            stripped = name.startswith(self._strip)
            if stripped:
                name = name[len(self._strip) :]
            if self.key_params:
                name = self._with_params(name, read.query[1:])
        else:
            prefix, name = self._key_prefix, read.name
        if not name or name.endswith(b"/"):
            raise InvalidUrl("no file name")
        key = prefix + name
        if len(key) > KEY_BYTES:
            raise InvalidUrl(f"the key is longer than {KEY_BYTES} bytes")
        tail = key[len(self._key_prefix) :]
        return key, stripped, self._preserve and identity == self._base + tail, identity

    def _with_params(self, name: bytes, query: str) -> bytes:
        """Return name, a decoded path, with the values of KEY_QUERY_PARAMS in its last segment."""
        folders, slash, last = name.decode().rpartition("/")
        sent = quote(_BARE_PERCENT.sub("%25", query), safe=_SAFE_ON_THE_WIRE)
        return f"{folders}{slash}{joined(last, chosen(sent, self.key_params))}".encode()

    def _identity(self, read: _Read) -> bytes:
        path, _, query = normal(read.target).partition("?")
        query = without(query, self.ignored_params)
        return f"{read.prefix.origin}{path}{'?' if query else ''}{query}".encode()

    def identity(self, line: bytes) -> bytes:
        """Return what the URL of line has in common with every other that asks for the same thing.

        That is the URL itself where it may not be fetched. What the line calls its object is no part of it.
        """
        if self.are_plain((line,)):
            return line
        try:
            return self._identity(self._read(line))
        except InvalidUrl:
            return url_of(line)

    def may_be_fetched(self, line: bytes) -> bool:
        """Return whether line is a URL with a key."""
        try:
            self.known(line)
        except InvalidUrl:
            return False
        return True

    def identity_in_list(self, line: bytes) -> bytes:
        """Return the identity of a line of urls.txt where keys are not known yet: of its URL, with its name."""
        if self.are_plain((line,)):
            return line
        return self.identity(line) + line[len(url_of(line)) :]

    def object_id(self, line: bytes) -> bytes:
        """Return the identity of the object that line is to become: of its URL, with its key.

        A line that may not be fetched is its own. The files of a state join by it.
        """
        try:
            key, _, _, identity = self.known(line)
        except InvalidUrl:
            return line
        return identity + b"\t" + key

    def named(self, url: bytes, key: bytes) -> bytes:
        """Return the line that gives url the key, one under DESTINATION_PREFIX."""
        return url + _NAME_AT + key[len(self._key_prefix) :]

    def record_id(self, url: bytes, key: bytes) -> bytes:
        """Return the object_id of a record in completed.txt: of its URL, with its key."""
        return self.identity(url) + b"\t" + key

    def may_be_named(self, key: bytes) -> bool:
        """Return whether key, of a record, may be one that a line has named."""
        return key.startswith(self._key_prefix) and len(key) > len(self._key_prefix)

    def address(self, line: str) -> Address:
        """Return where line is fetched from and where it goes; raise InvalidUrl when it may not be fetched.

        It is one line of urls.txt, undecodable bytes as surrogates (errors="surrogateescape").
        """
        octets = line.encode("utf-8", "surrogatepass")  # a surrogate is not UTF-8, and so refused
        if self.are_plain((octets,)):
            one = self._only or self._beginning_of(octets)
            key, stripped, _, _ = self.known(octets, is_plain=True)
            source = self.origins.index(one.prefix.origin)
            return Address(line[len(one.prefix.origin) :], key.decode(), stripped, source)
        read = self._read(octets)
        key, stripped, _, _ = self._known_of(read)
        return Address(read.target, key.decode(), stripped, self.origins.index(read.prefix.origin))

    def _read(self, line: bytes) -> _Read:
        """Return what line says, or raise InvalidUrl."""
        url_part = url_of(line)
        name = line[len(url_part) + len(_NAME_AT) :] if len(url_part) < len(line) else None
        try:
            url = url_part.decode()
            self._check_name(None if name is None else name.decode())
        except UnicodeDecodeError:
            raise InvalidUrl("not UTF-8") from None
        prefix, rest = self._under_a_prefix(url)
        before_fragment = rest.partition("#")[0]
        path, mark, query = before_fragment.partition("?")
        if len(path) < len(prefix.path):
            raise InvalidUrl("no file name")
        octets = unquote_to_bytes(path)  # what the CDN receives, whether or not it is UTF-8
        if (
            _CONTROL.search(url)
            or _CONTROL_OCTET.search(octets)
            or _CONTROL.search(_decoded(path.encode()).decode())
        ):
            raise InvalidUrl("a control character")
        if _goes_up(octets):
            raise InvalidUrl("a .. segment")
        return _Read(prefix, path[1:], mark + query, name)

    def _under_a_prefix(self, url: str) -> tuple[Prefix, str]:
        """Return the prefix that url is under, and url from its path on; raise InvalidUrl."""
        parts = located(url)
        if parts is None:
            if url.strip().startswith(_SCHEMES):
                raise InvalidUrl("spaces around the URL")
            if url.startswith("//") and len(url) > 2:
                raise InvalidUrl("no scheme; put https: before it")
            raise InvalidUrl("not an http or https URL")
        if url.count("://") > 1 and (urls := schemes_in(url)) > 1:
            raise InvalidUrl(f"holds {urls} URLs")
        prefix = self._prefixes.covering(parts)
        if prefix is not None:
            return prefix, parts.rest
        host = parts.host.rpartition("@")[2]
        if self._prefixes.knows(host) or not _HOST.fullmatch(host):
            raise InvalidUrl(f"not under URL_PREFIX {self.url_prefix}", is_elsewhere=True)
        why = f"another host, {host}: not under URL_PREFIX {self.url_prefix}"
        raise InvalidUrl(why, is_elsewhere=True, other_host=host)

    @staticmethod
    def _check_name(name: str | None) -> None:
        if name is None:
            return
        if _CONTROL.search(name):
            raise InvalidUrl("a control character in its key=")
        if _goes_up(name.encode()):
            raise InvalidUrl("a .. segment in its key=")
        if not name or name.endswith("/"):
            raise InvalidUrl("no file name in its key=")


class _Beginning:
    """What lines under one prefix have in common, for those that are plain."""

    def __init__(self, prefix: Prefix, naming: Naming) -> None:
        self.prefix = prefix
        self.text = prefix.url.encode()
        self.in_a_text = b"\n" + self.text
        self.path_at = len(prefix.origin) + 1  # the path's leading slash is not part of the key
        self.key_prefix = (naming.destination_prefix + prefix.place).encode()
        self.is_reversible = naming.preserve and not prefix.place


def url_of(line: bytes) -> bytes:
    """Return the URL of a line, which may end with a field that names its object."""
    at = line.rfind(_NAME_AT)
    return line[:at] if at >= 0 else line


def divided(line: str) -> tuple[str, str]:
    """Return the URL of a line, and its field `key=NAME`, "" if it has none."""
    at = line.rfind("\t" + KEY_FIELD)
    return (line[:at], line[at + 1 :]) if at >= 0 else (line, "")


def _goes_up(path: bytes) -> bool:
    return b".." in path.replace(b"\\", b"/").split(b"/")


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
