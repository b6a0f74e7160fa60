"""What was done to the URLs of a source, or left to be looked at: counted, with one example of each. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cdn2s3.text import printable, redact

_MOST = 60  # different notes: reasons may name hosts
_REST = "others"
_SHOWN = 100  # characters of an example


TRIMMED = "trimmed: spaces, separators or quotes around a URL"
JOINED = "fields with several URLs, divided"
COMPLETED = "URLs completed with API_URL_BASE"


class Note(NamedTuple):
    """Something that happened to some URLs or fields."""

    times: int
    example: str  # the first one, as it may be shown


class Notes:
    """Notes by what they say; for one thread."""

    def __init__(self, found: Mapping[str, Note] | None = None) -> None:
        self.found: dict[str, Note] = dict(found or {})

    def add(self, what: str, example: str, times: int = 1) -> None:
        """Count one more of what; its first example is kept, without its query."""
        if what not in self.found and len(self.found) >= _MOST:
            what = _REST
        known = self.found.get(what)
        if known is not None:
            self.found[what] = Note(known.times + times, known.example)
            return
        shown = redact(printable(example[:_SHOWN]))
        self.found[what] = Note(times, shown + ("…" if len(example) > _SHOWN else ""))

    def merge(self, others: Mapping[str, Note]) -> None:
        """Add the notes of a part."""
        for what, note in others.items():
            self.add(what, note.example, note.times)


def table(notes: Mapping[str, Note]) -> str:
    """Return notes for people, the most frequent first, one per line; empty if there are none."""
    if not notes:
        return ""
    ordered = sorted(notes.items(), key=lambda pair: -pair[1].times)
    width = max(len(f"{note.times:,}") for note in notes.values())
    rows = (
        f"  {note.times:>{width},}  {what}" + (f", such as {note.example}" if note.example else "")
        for what, note in ordered
    )
    return "Of the URLs and fields:\n" + "".join(f"{row}\n" for row in rows)
