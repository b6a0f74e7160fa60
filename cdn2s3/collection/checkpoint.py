"""checkpoint.json: how far a collection has got, so that a later run resumes from there.

It is written after urls.txt and rejected.txt are on disk, and records how long they were then; a resumed run
cuts them back to that length. So a crash at any moment neither loses nor duplicates a URL.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from cdn2s3.atomic_file import replacing
from cdn2s3.collection.base import Ending
from cdn2s3.collection.notes import Note
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.parsers import Secret
from cdn2s3.state.files import cannot_read
from cdn2s3.state.ledger import timestamp
from cdn2s3.text import redact
from cdn2s3.url_prefixes import is_only_extended

# The settings that decide which URLs a position refers to, by source.
_EVERY_SOURCE = ("SOURCE", "URL_PREFIX", "OUTPUT_FILE")
_OF_SOURCE = {
    "lots": ("LOT_FILES", "LOT_URL_KEYS"),
    "files": ("FILES", "FILE_FORMAT", "URL_COLUMNS", "KEY_COLUMN", "API_URL_BASE", "API_URL_TEMPLATE"),
    "sitemap": ("SITEMAP_URL", "URL_COLUMNS"),
    "s3": ("SOURCE_BUCKET", "AWS_ENDPOINT_URL"),
    "api": (
        *("API_BASE_URL", "API_METHOD", "API_BODY", "API_PAGINATION", "API_URLS_FIELD", "API_ITEMS_FIELD"),
    ),
}
_OF_STYLE = {
    "page": ("API_PAGE_PARAM", "API_FIRST_PAGE", "API_PER_PAGE_PARAM", "RESULTS_PER_PAGE"),
    "offset": ("API_OFFSET_PARAM",),
    "cursor": ("API_CURSOR_PARAM", "API_CURSOR_FIELD"),
    "next_url": ("API_NEXT_FIELD",),
    "link_header": (),
    "none": (),
}
_WHERE_SET = (  # empty, they change nothing: older checkpoints lack them
    *("API_URL_BASE", "API_URL_TEMPLATE", "API_DETAIL_URL", "API_DETAIL_IDS", "API_DETAIL_PAGINATION"),
)


# What a checkpoint of an older version lacks.
_WHEN_ABSENT: Mapping[str, Any] = {
    "blank": 0,
    "lost": 0,
    "open_ends": 0,
    "evidence": "",
    "doubts": [],
    "ending": None,
    "finished_at": "",
    "again": False,
    "update": None,
    "replacing": None,
    "notes": {},
}

# Settings that checkpoints of older versions lack, with their defaults.
_NEWER = {"API_METHOD": "GET", "API_BODY": ""}


class Counts(NamedTuple):
    """What a collection has seen so far."""

    urls: int = 0  # lines of urls.txt
    duplicates: int = 0  # URLs that were already in urls.txt
    rejected: int = 0  # lines of rejected.txt
    without_url: int = 0  # items without a URL
    items: int = 0  # what is compared with the API's total
    api_total: int | None = None  # the latest total from the API; None: it has reported none
    unreadable: int = 0  # lot files that could not be read
    blank: int = 0  # items on pages of which no item has a URL, after the first page
    lost: int = 0  # items of the list whose details are not there
    open_ends: int = 0  # items whose details ended without evidence


class Update(NamedTuple):
    """A second walk through the source (collect_urls.py --update), and what it has shown."""

    lines: int  # of urls.txt before it
    last_seen: str  # when these were collected
    journal_bytes: int = 0  # length of its journal
    ended: bool = False  # the walk has come to its end
    known: int = 0  # of the lines before: those that the source still gives
    new: int = 0
    gone: int = 0
    newly_gone: int | None = None  # None: not counted yet
    changed: int = 0  # lines with a newer form


class Replacing(NamedTuple):
    """The replacement of urls.txt at the end of an update: what it was, and what it becomes."""

    old_bytes: int
    old_digest: str  # SHA-256
    new_bytes: int
    new_digest: str


class Checkpoint(NamedTuple):
    """How far a collection has got."""

    complete: bool
    counts: Counts
    bytes: int  # length of urls.txt
    rejected_bytes: int  # length of rejected.txt
    position: Mapping[str, Any] | None  # what to read next; None: at the end of the source
    settings: Mapping[str, str]  # the settings that all this belongs to
    evidence: str = ""  # what confirms the end of a complete list; empty: nothing does
    doubts: tuple[str, ...] = ()  # why it may be incomplete all the same
    ending: Ending | None = None  # how it ended, to judge again; None: not known (an older version)
    finished_at: str = ""  # when it was complete
    again: bool = False  # the walk began again with the URLs that there were: they come as duplicates
    update: Update | None = None  # the update that goes on, or was the last one
    replacing: Replacing | None = None  # the step at the end of an update that may not be done
    notes: Mapping[str, Note] = {}  # what was done to the URLs, with an example of each

    @property
    def is_blank(self) -> bool:
        """Whether the collection has nothing yet; the API may have reported its total."""
        return self.counts._replace(api_total=None) == Counts()


def source_settings(settings: CollectionSettings) -> dict[str, str]:
    """Return the settings that a collection belongs to, as text without secrets."""
    names = [*_EVERY_SOURCE, *_OF_SOURCE[settings.source]]
    if settings.source == "api":
        names += _OF_STYLE[settings.api_pagination]
    names += [name for name in _WHERE_SET if getattr(settings, name.lower())]
    return {name: _without_query(_text(getattr(settings, name.lower()))) for name in names}


def _text(value: Any) -> str:
    if isinstance(value, Secret):
        return _fingerprint(value.reveal()) if value else ""
    return ",".join(value) if isinstance(value, tuple) else str(value)


def _without_query(value: str) -> str:
    """Return value with the query of a URL, which may contain a key, replaced by its fingerprint."""
    if "://" not in value or redact(value) == value:
        return value
    hidden = redact(value)
    return f"{hidden} {_fingerprint(value)}"


def _fingerprint(value: str) -> str:
    return f"({hashlib.sha256(value.encode()).hexdigest()[:12]})"


def save(path: Path, checkpoint: Checkpoint) -> None:
    """Replace path; raise FatalError when the disk does not take it."""
    counts = checkpoint.counts._asdict()
    fields = {"complete": checkpoint.complete, **counts, **checkpoint._asdict()}
    del fields["counts"]
    ending = checkpoint.ending
    fields["ending"] = None if ending is None else {**ending._asdict(), "refusal": None}
    for name, part in (("update", checkpoint.update), ("replacing", checkpoint.replacing)):
        fields[name] = None if part is None else part._asdict()
    with replacing(path) as file:
        file.write(json.dumps(fields, indent=1).encode() + b"\n")


def load(path: Path) -> Checkpoint | None:
    """Return the checkpoint in path, None when there is no such file.

    Raise UsageError when it cannot be read, FatalError when it is not a complete checkpoint.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise cannot_read(path, error, "CHECKPOINT_FILE") from error
    try:
        return _checked(json.loads(content))
    except (ValueError, RecursionError) as error:
        raise damaged(path, str(error) if type(error) is _NotOurs else "it is not complete JSON") from error


class _NotOurs(ValueError):
    pass


def _checked(found: Any) -> Checkpoint:
    """Return the checkpoint in parsed JSON, or raise _NotOurs."""
    if not isinstance(found, dict):
        raise _NotOurs("it is not a JSON object")
    found = {**_WHEN_ABSENT, **found}
    for name in (*Counts._fields, "bytes", "rejected_bytes"):
        value = found.get(name)
        is_unknown = name == "api_total" and name in found and value is None
        if not (type(value) is int and value >= 0) and not is_unknown:
            raise _NotOurs(f"`{name}` is not a count")
    settings, position = found.get("settings"), found.get("position")
    if type(found.get("complete")) is not bool:
        raise _NotOurs("`complete` is not true or false")
    if not isinstance(settings, dict) or not all(isinstance(value, str) for value in settings.values()):
        raise _NotOurs("`settings` are not all text")
    update = _part_in(found["update"], Update(0, ""), "update")
    is_at_the_end = found["complete"] or (update is not None and update.ended)
    if not (isinstance(position, dict) or (position is None and is_at_the_end)):
        raise _NotOurs("`position` is missing")
    if type(found["again"]) is not bool:
        raise _NotOurs("`again` is not true or false")
    counts = Counts(**{name: found[name] for name in Counts._fields})
    return Checkpoint(
        *(found["complete"], counts, found["bytes"], found["rejected_bytes"], position, settings),
        evidence=_text_in(found, "evidence"),
        doubts=_texts_in(found, "doubts"),
        ending=_ending_in(found["ending"]),
        finished_at=_text_in(found, "finished_at"),
        again=found["again"],
        update=update,
        replacing=_part_in(found["replacing"], Replacing(0, "", 0, ""), "replacing"),
        notes=_notes_in(found["notes"]),
    )


def _notes_in(found: Any) -> dict[str, Note]:
    if not isinstance(found, dict):
        raise _NotOurs("`notes` are not an object")
    for note in found.values():
        if not (
            isinstance(note, list) and len(note) == 2 and type(note[0]) is int and isinstance(note[1], str)
        ):
            raise _NotOurs("one of `notes` is not a count and an example")
    return {what: Note(*note) for what, note in found.items()}


_Part = TypeVar("_Part", Update, Replacing)


def _part_in(found: Any, default: _Part, name: str) -> _Part | None:
    """Return a part of a checkpoint whose fields have the types of default's; None where there is none."""
    if found is None:
        return None
    if not isinstance(found, dict) or set(found) != set(default._fields):
        raise _NotOurs(f"`{name}` has other fields")
    for field, usual in default._asdict().items():
        value = found[field]
        wanted = int if usual is None else type(usual)
        if not (type(value) is wanted or (usual is None and value is None)):
            raise _NotOurs(f"`{field}` of `{name}` is wrong")
        if wanted is int and value is not None and value < 0:
            raise _NotOurs(f"`{field}` of `{name}` is negative")
    return default._replace(**found)


def _text_in(found: Mapping[str, Any], name: str) -> str:
    if not isinstance(found.get(name), str):
        raise _NotOurs(f"`{name}` is not text")
    return str(found[name])


def _texts_in(found: Mapping[str, Any], name: str) -> tuple[str, ...]:
    texts = found.get(name, [])
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise _NotOurs(f"`{name}` is not a list of texts")
    return tuple(texts)


def _ending_in(found: Any) -> Ending | None:
    if found is None:
        return None
    if not isinstance(found, dict):
        raise _NotOurs("`ending` is not an object")
    return Ending(_text_in(found, "said"), _text_in(found, "evidence"), doubts=_texts_in(found, "doubts"))


def written_at(path: Path) -> str:
    """Return when path was written: for a checkpoint that does not say when its collection was complete."""
    return timestamp(path.stat().st_mtime)


def damaged(path: Path, why: str) -> FatalError:
    """Return the error for a checkpoint that a run cannot resume from."""
    return FatalError(f"the checkpoint {path} is damaged: {why}. Restore a good copy, or {start_over()}.")


def start_over() -> str:
    """Return how to collect from the beginning, as the end of a message's sentence."""
    return f"start over with `{command('collect_urls.py', '--restart')}` (the files so far are kept as *.bak)"


def has_grown(before: Mapping[str, str], now: Mapping[str, str]) -> bool:
    """Return whether URL_PREFIX covers more than it did, and all that it did."""
    old, new = before.get("URL_PREFIX", ""), now.get("URL_PREFIX", "")
    return old != new and is_only_extended(old, new)


def check_settings(path: Path, before: Mapping[str, str], now: Mapping[str, str]) -> None:
    """Raise UsageError with the old and new values when a checkpoint belongs to a different source.

    A setting that an older version did not know had its default.
    """
    before = {**{name: value for name, value in _NEWER.items() if name in now}, **before}
    changed = [
        f"  - {name}: {before.get(name, '(not set)')} before, {now.get(name, '(not set)')} now"
        for name in [*now, *(name for name in before if name not in now)]
        if before.get(name) != now.get(name) and not (name == "URL_PREFIX" and has_grown(before, now))
    ]
    if changed:
        raise UsageError(
            f"the checkpoint {path} belongs to different settings:\n" + "\n".join(changed) + "\n"
            f"Restore them to continue, or {start_over()}."
        )
