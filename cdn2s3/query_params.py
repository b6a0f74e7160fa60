"""The parameters of a URL's query: those that are no part of its identity, and those that are part of its key. Pure.

A file name takes the values of KEY_QUERY_PARAMS as `~name=value`, in the order of the URL, before its extension:
`photo.jpg?w=300` becomes `photo~w=300.jpg`. No two different names with different values become the same one:

- a `~` in the file name itself is doubled;
- names and values are as on the wire (percent-encoded once, RFC 3986 in its normal form), with `/ . ~ ?` written
  `%2f %2e %7e %3f`; hexadecimal digits that the URL brought along are in upper case;
- text that is not ASCII, and blanks, are readable;
- where the last value ends like an image's name, and the file name doesn't, that ending stays at the end after
  another `~`: `download?file=cat.jpg` becomes `download~file=cat~.jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import unquote, unquote_to_bytes

_UNRESERVED = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~")
_ESCAPE = re.compile("%([0-9A-Fa-f]{2})")
_READABLE = re.compile("(?:%20|%[89A-F][0-9A-F])+")  # escapes of blanks and of what is not ASCII
_SECRET = re.compile(
    r"sig|token|secret|passw|pwd|auth|key|expir|polic|hmac|hash|credential|session|cookie|jwt|^(st|se|sp|sv|sr|x-.*)$",
    re.IGNORECASE,
)
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_OURS = str.maketrans({"/": "%2f", ".": "%2e", "~": "%7e", "?": "%3f", "\\": "%5c"})
_IMAGE_ENDING = re.compile(
    r"\.(jpe?g|jfif|png|apng|gif|webp|avif|hei[cf]|bmp|tiff?|svg|ico|jxl|jp2|psd)$", re.IGNORECASE
)


def normal(target: str) -> str:
    """Return a path or query as it is sent, its escapes in the normal form of RFC 3986 (6.2.2).

    Two that are then equal ask for the same thing: `%7e` is `~`, `%2f` is `%2F`, and neither is `/`.
    """
    return _ESCAPE.sub(_normal_escape, target) if "%" in target else target


def _normal_escape(match: re.Match[str]) -> str:
    octet = int(match[1], 16)
    return chr(octet) if octet in _UNRESERVED else match[0].upper()


def name_of(param: str) -> str:
    """Return the name of a parameter of a query, decoded."""
    return unquote(param.partition("=")[0].replace("+", " "))


def may_be_secret(name: str) -> bool:
    """Return whether the value of a parameter of that name must not be shown: a signature, a token, an expiry."""
    return _SECRET.search(name) is not None


def without(query: str, ignored: frozenset[str]) -> str:
    """Return query without the parameters whose names are ignored."""
    if not query or not ignored:
        return query
    return "&".join(param for param in query.split("&") if name_of(param) not in ignored)


def chosen(query: str, names: frozenset[str]) -> list[str]:
    """Return the parameters of query whose names are among names, in their order."""
    return [param for param in query.split("&") if param and name_of(param) in names]


def joined(name: str, params: Iterable[str]) -> str:
    """Return the last segment of a key: name, a decoded file name, with params, as they are on the wire, in it."""
    params = list(params)
    own = name.replace("~", "~~")
    if not params:
        return own
    last, equals, value = params[-1].partition("=")
    ending = _IMAGE_ENDING.search(value) if equals and not _IMAGE_ENDING.search(name) else None
    if ending:
        params[-1] = f"{last}={value[: ending.start()]}"
        return f"{own}{_suffix(params)}~{ending[0]}"
    stem, dot, extension = own.rpartition(".")
    return f"{stem}{_suffix(params)}.{extension}" if dot else f"{own}{_suffix(params)}"


def _suffix(params: Iterable[str]) -> str:
    return "".join(f"~{_shown(param)}" for param in params)


def _shown(param: str) -> str:
    """Return a parameter as it stands in a key."""
    return _READABLE.sub(_decoded, normal(param).translate(_OURS))


def _decoded(match: re.Match[str]) -> str:
    try:
        text = unquote_to_bytes(match[0]).decode()
    except UnicodeDecodeError:
        return match[0]
    return match[0] if _CONTROL.search(text) else text
