"""URL_PREFIX: the beginnings of the URLs that a run may fetch, and where the keys of each go. Pure.

A prefix covers http and https and any case of its host's name; what it covers is asked for with its own scheme.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import urlsplit

_URL = re.compile(r"(https?)://([^/?#\\]*)", re.IGNORECASE)
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]")


class Prefix(NamedTuple):
    """One beginning of URLs."""

    url: str  # as it is asked for; ends in /
    place: str  # what the keys of its URLs start with, after DESTINATION_PREFIX; empty, or ends in /
    origin: str  # its scheme and host, as it is asked for
    host: str  # in lower case, with a port that is not the scheme's own

    @property
    def path(self) -> str:
        """The path of all its URLs, from its first slash to its last."""
        return self.url[len(self.origin) :]


class Located(NamedTuple):
    """A URL divided into what says where it is, and the rest."""

    host: str  # as in Prefix
    rest: str  # path, query and fragment


def located(url: str) -> Located | None:
    """Return the parts of url, None if it has no scheme of ours."""
    match = _URL.match(url)
    if match is None:
        return None
    scheme, host = match[1].lower(), match[2].lower()
    port = _DEFAULT_PORTS[scheme]
    return Located(host[: -len(port)] if host.endswith(port) else host, url[match.end() :])


def parse(text: str) -> tuple[Prefix, ...]:
    """Return the prefixes in a value of URL_PREFIX, blank-separated, each with `=place/` where it has one.

    Raise ValueError, whose message says what is allowed, for a place that cannot be one and for two that cover
    the same URLs but go to different places. Whether each is a URL, the parser of the setting has checked.
    """
    found: dict[tuple[str, str], Prefix] = {}
    for word in text.split():
        url, equals, place = word.rpartition("/=")
        url = f"{url}/" if equals else word
        if equals and place and (not place.endswith("/") or place.startswith("/")):
            raise ValueError(f"{word}: what follows its = must end in / and not begin with it, as in =shop1/")
        if not equals:
            place = ""
        if ".." in place.split("/") or _CONTROL.search(place):
            raise ValueError(f"{word}: what follows its = must not hold .. nor control characters")
        parts = located(url)
        base = urlsplit(url)
        origin = f"{base.scheme}://{base.netloc}"
        prefix = Prefix(url, place, origin, parts.host if parts else "")
        known = found.setdefault((prefix.host, prefix.path), prefix)
        if known.place != place:
            raise ValueError(f"{known.url} and {url} cover the same URLs: remove one of them")
    return tuple(found.values())


def is_only_extended(before: str, now: str) -> bool:
    """Return whether now, a value of URL_PREFIX, covers all that before covers, and gives it the same places."""
    try:
        old = Prefixes(before)
    except ValueError:
        return False
    new = Prefixes(now)
    for prefix in old.all:
        covering = new.covering(Located(prefix.host, prefix.path))
        if covering is None or covering.place != prefix.place:
            return False
    # A new one inside an old one takes its URLs away from that one's place.
    inside = ((prefix, old.covering(Located(prefix.host, prefix.path))) for prefix in new.all)
    return all(outer is None or outer.place == prefix.place for prefix, outer in inside)


class Prefixes:
    """All prefixes of a run, and which of them a URL is under."""

    def __init__(self, text: str) -> None:
        self.all = parse(text)
        self.origins = tuple(
            dict.fromkeys(prefix.origin for prefix in self.all)
        )  # the sources, in their order
        # The longest path first: a folder may go to another place than the rest of its host.
        self._of_host: dict[str, list[Prefix]] = {}
        for prefix in sorted(self.all, key=lambda prefix: -len(prefix.path)):
            self._of_host.setdefault(prefix.host, []).append(prefix)

    @property
    def longest_first(self) -> list[Prefix]:
        return sorted(self.all, key=lambda prefix: -len(prefix.url))

    def knows(self, host: str) -> bool:
        """Return whether a prefix is on host."""
        return host in self._of_host

    def covering(self, url: Located) -> Prefix | None:
        """Return the prefix that url is under, the longest of several; None if it is under none."""
        for prefix in self._of_host.get(url.host, ()):
            if url.rest.startswith(prefix.path):
                return prefix
        return None
