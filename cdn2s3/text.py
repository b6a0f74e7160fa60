"""Numbers and text for people: bytes, durations, redaction of secrets. Pure."""

from __future__ import annotations

import re

MB = 1_000_000


def bytes_text(size: float) -> str:
    """Return a number of bytes: 1.56 TB, 390 KB (powers of 1000, three digits)."""
    for unit, power in (("PB", 1e15), ("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("KB", 1e3)):
        if size >= 0.9995 * power:  # less would be rounded to 1000 of the smaller unit
            return f"{size / power:.3g} {unit}"
    return f"{size:.0f} bytes"


def duration(seconds: float) -> str:
    """Return approximately how long something takes: 45 s, 12 min, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 60 else _hours(minutes)


def span(seconds: float) -> str:
    """Return how long something took: 45.1 s, 12 min 5 s, 3 h 05 min."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else _hours(minutes)


def _hours(minutes: int) -> str:
    return f"{minutes // 60} h {minutes % 60:02d} min"


def percentage(share: float) -> str:
    """Return a share from 0 to 1 as a percentage, rounded down: 99.97%; 100% means all, never almost all."""
    return f"{int(share * 10_000) / 100:g}%"


def pluralize(number: int, one: str, many: str = "") -> str:
    """Return number and what it counts; many is the plural if it isn't one + s."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


_USERINFO = re.compile(r"(?<=://)[^/\s]*@")  # to the last @: a password may hold one


# A path may contain spaces, and appear without its host (urllib3 writes "with url: /a.jpg?token=…").
# Punctuation alone is no query: the end of a question, and of redacted text, which stays unchanged.
# What is no URL stays as it is: `<?xml …?>`, also after a path.
_QUERY = re.compile(r"(/[^\n?#/]*(?<!<)\?)(?!>)(?![^\w\s#]+(?:\s|$))[^\s#]+")


def redact(text: str) -> str:
    """Return text with the user part and the query of every URL and path in it replaced by `***`."""
    if "/" not in text:
        return text
    return _QUERY.sub(r"\1***", _USERINFO.sub("***@", text))


def escaped(character: str) -> str:
    """Return character as it may be shown: a byte that is not UTF-8 (a surrogate) as %FF, others as in Python."""
    if "\udc80" <= character <= "\udcff":
        return f"%{ord(character) - 0xDC00:02X}"
    return character.encode("unicode_escape").decode()


def printable(text: str) -> str:
    """Return text with every character escaped that a terminal would not display."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else escaped(c) for c in text)
