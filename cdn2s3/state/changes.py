"""changes.txt: what the last delta has found changed, and what became of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cdn2s3.atomic_file import replacing
from cdn2s3.file_names import CHANGES_FILE
from cdn2s3.keys import KEY_FIELD
from cdn2s3.state.lines import encode, whole_lines

# What became of a changed URL, besides `failed:CAUSE`.
RENEWED = "renewed"
REPLACED = "replaced"  # an object that was not ours, under ON_EXISTING=overwrite
NOT_OURS = "changed, not ours"
BOTH_ENDS = "changed at both ends"
GONE = "gone"  # at the source; the object stays
LOST = "lost"  # at the destination; it is not created again
FAILED = "failed:"  # and the cause


class Change(NamedTuple):
    """A line of changes.txt."""

    line: str  # of the input: a field key=NAME comes last in the file
    key: str
    what: str
    old_md5: str  # 32 hex digits, "-" where unknown
    new_md5: str  # likewise
    modified: str  # the CDN's Last-Modified as it sent it, "-" without one
    at: str  # UTC, ISO 8601


def read(state_dir: Path) -> Iterator[Change]:
    """Yield what the last delta has written; skip lines that are no changes."""
    path = state_dir / CHANGES_FILE
    if not path.exists():
        path = _backup(path)  # a delta was killed while it replaced the file
    for raw in whole_lines(path):
        fields = raw.decode("utf-8", "surrogateescape").split("\t")
        if len(fields) == len(Change._fields) + 1 and fields[-1].startswith(KEY_FIELD):
            fields[0] += "\t" + fields.pop()
        if len(fields) == len(Change._fields):
            yield Change(*fields)


def begin(state_dir: Path, changes: Iterator[Change]) -> Path:
    """Replace the file with changes, the old one kept as .bak; return its path. Raise FatalError."""
    path = state_dir / CHANGES_FILE
    if path.exists():
        with replacing(_backup(path)) as backup:
            backup.writelines(raw + b"\n" for raw in whole_lines(path))
    with replacing(path) as file:
        file.writelines(map(encode, changes))
    return path


def _backup(path: Path) -> Path:
    return path.with_name(path.name + ".bak")
