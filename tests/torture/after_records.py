"""What the state files say of each URL, read with nothing of the tool's own code, as docs/design.md describes them."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any, NamedTuple


class Row(NamedTuple):
    """The row of completed.txt that counts for a URL."""

    url: str
    key: str
    size: int  # bytes
    etag: str
    md5: str  # "-" if unknown
    at: int  # seconds since the epoch
    how: str  # "-" in a row of seven fields
    place: str  # s3 | local
    source_etag: str = "-"

    @property
    def has_validator(self) -> bool:
        """Whether it is recorded what the CDN is asked with, whatever is tried besides."""
        return self.source_etag != "-"


class Change(NamedTuple):
    """A line of changes.txt."""

    what: str
    new_md5: str


class OpenUndo(NamedTuple):
    """What unfinished_undo.txt remembers."""

    file: str  # "": all that was stored
    since: int | None
    began_at: int
    newest: int
    lines: tuple[str, ...]  # of the file


def lines_of(path: Path) -> list[str]:
    """Return the lines of a file, [] where there is none; fail where the last one is torn."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    assert text == "" or text.endswith("\n"), f"{path.name} ends in a torn line"
    return text.splitlines()


def whole_lines_of(path: Path) -> list[str]:
    """Return the lines of a file that a kill may have torn, without its torn end."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return text[: text.rfind("\n") + 1].splitlines()


def rows_of(folder: Path) -> dict[tuple[str, str], Row]:
    """Return the last row of each URL and place, those left out that undone.txt names after they were written."""
    undone: dict[tuple[str, ...], int] = {}
    for url, key, _, etag, version, at in undone_of(folder):
        undone[url, key, etag, "local" if version == "local" else "s3"] = seconds(at)
    last: dict[tuple[str, str], Row] = {}
    for line in whole_lines_of(folder / "completed.txt"):
        row = _row(line.split("\t"))
        last[row.url, row.place] = row
    return {
        name: row
        for name, row in last.items()
        if undone.get((row.url, row.key, row.etag, row.place), 0) <= row.at
    }


def _row(fields: list[str]) -> Row:
    assert len(fields) in (7, 11), f"completed.txt has a row of {len(fields)} fields: {fields}"
    url, key, size, etag, md5, _, at = fields[:7]
    how, source_etag, place = (fields[7], fields[8], fields[10]) if len(fields) == 11 else ("-", "-", "s3")
    return Row(url, key, int(size), etag, md5, seconds(at), how, place, source_etag)


def undone_of(folder: Path) -> list[list[str]]:
    """Return the fields of each whole line of undone.txt."""
    return [line.split("\t") for line in whole_lines_of(folder / "undone.txt")]


def changes_of(folder: Path) -> dict[str, Change]:
    """Return what changes.txt says, by URL; fail where a URL is there twice."""
    fields = [line.split("\t") for line in whole_lines_of(folder / "changes.txt")]
    found = {url: Change(what, new_md5) for url, _, what, _, new_md5, _, _ in fields}
    assert len(found) == len(fields), "changes.txt names a URL twice"
    return found


def failed_in(folder: Path) -> dict[str, str]:
    """Return the cause of each URL in failed_transfers.txt."""
    return {
        fields[0]: fields[1]
        for fields in (line.split("\t") for line in lines_of(folder / "failed_transfers.txt"))
    }


def open_undo_of(folder: Path) -> OpenUndo | None:
    """Return the undo that is not finished, None if there is none."""
    found = lines_of(folder / "unfinished_undo.txt")
    if not found:
        return None
    asked: dict[str, Any] = json.loads(found[0])
    return OpenUndo(asked["file"], asked["since"], asked["began_at"], asked["newest"], tuple(found[1:]))


def seconds(text: str) -> int:
    """Return a time of a state file in seconds since the epoch."""
    return int(datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=timezone.utc).timestamp())


def moment(at: int) -> str:
    """Return seconds since the epoch as --since takes them."""
    return datetime.fromtimestamp(at, timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ")
