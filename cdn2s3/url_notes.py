"""What is odd about URLs that are asked for all the same, or not taken at all: how many, and one of each. Pure."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from cdn2s3.keys import divided, url_of
from cdn2s3.text import printable, redact
from cdn2s3.url_text import doubt_about

SAME = "other spellings of an earlier URL, or with other ignored parameters: duplicates"
_MOST_KINDS = 1000  # that are told apart
_MOST_SHOWN = 12
_SHOWN = 200  # characters of an example


def oddities(line: str) -> list[str]:
    """Return what is odd about the URL of a line, each as a plural clause; [] for nearly every one."""
    url = divided(line)[0]
    found = []
    doubt = doubt_about(url)
    if doubt:
        found.append(f"with {doubt}, requested unchanged")
    before, mark, _ = url.partition("#")
    if mark:
        found.append("with a #: the part after it is not requested")
    path = before.partition("?")[0]
    if "\\" in path:
        found.append("with a \\ in the path, requested as %5C")
    if " " in path:
        found.append("with a space in the path, requested as %20")
    return found


def has_plus(line: bytes) -> bool:
    """Return whether the path of a line's URL holds a raw `+`, which S3 behind a CDN reads as a blank."""
    return b"+" in line and b"+" in url_of(line).partition(b"#")[0].partition(b"?")[0]


class Noted(NamedTuple):
    """What holds of several URLs."""

    what: str  # a plural clause
    urls: int
    example: str  # one of them


class UrlNotes:
    """Count what is noted of URLs, and keep the first of each kind."""

    def __init__(self) -> None:
        self._counts: Counter[str] = Counter()
        self._examples: dict[str, str] = {}

    def look(self, line: str) -> None:
        """Note what is odd about a line's URL."""
        for what in oddities(line):
            self.note(what, line)

    def note(self, what: str, example: str, times: int = 1) -> None:
        """Note one more URL of which what holds."""
        if what not in self._counts and len(self._counts) >= _MOST_KINDS:
            what = "of more kinds"
        self._counts[what] += times
        self._examples.setdefault(what, example)

    def most_common(self) -> list[Noted]:
        """Return what is noted most often, without secrets."""
        return [
            Noted(what, count, redact(printable(self._examples[what][:_SHOWN])))
            for what, count in self._counts.most_common(_MOST_SHOWN)
        ]

    def lines(self) -> list[str]:
        """Return a line for each kind: how many, what, and an example without secrets."""
        found = self.most_common()
        shown = [f"{noted.urls:,} {noted.what}; for example {noted.example}" for noted in found]
        rest = sum(self._counts.values()) - sum(noted.urls for noted in found)
        return [*shown, *([f"{rest:,} of more kinds"] if rest else [])]
