"""What a redo forgets, and when: nothing before its end, and then no more than is shown to be wrong."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from cdn2s3.destinations.base import Found, ReadRefused
from cdn2s3.errors import FatalError, TransientError
from cdn2s3.keys import KeyMaker
from cdn2s3.planning import redo
from cdn2s3.records import S3
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import build
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import Completed
from cdn2s3.state.lines import encode

PREFIX = "https://cdn.example/"
THEN, NOW = "2026-11-20T10:15:00Z", "2026-11-27T10:15:00Z"


def row(name: str, etag: str = "e", at: str = THEN) -> bytes:
    return encode(Completed(PREFIX + name, f"images/{name}", "5", etag, "m", "image/jpeg", at))


class State:
    """A state in whose completed.txt a redo has begun."""

    def __init__(self, folder: Path, before: list[bytes], names: str) -> None:
        given = {
            "DESTINATION_BUCKET": "bucket",
            "URL_PREFIX": PREFIX,
            "STATE_DIR": str(folder),
            "MAX_RETRIES": "0",
        }
        self.folder = folder
        self.settings: MigrationSettings = build(MigrationSettings, given, {}, Path("migration.env"))
        self.keys: KeyMaker = key_maker(self.settings)
        self.write(before)
        redo.begin(folder, "missing.txt", ((PREFIX + name).encode() for name in names))
        self.before = before

    def write(self, rows: list[bytes]) -> None:
        (self.folder / "completed.txt").write_bytes(b"".join(rows))

    def rows(self, name: str = "completed.txt") -> list[bytes]:
        return (self.folder / name).read_bytes().splitlines(keepends=True)

    def add(self, *rows: bytes) -> None:
        self.write([*self.rows(), *rows])

    def objects(self, names: str) -> Fingerprints:
        found = Fingerprints()
        for name in names:
            found.add(self.keys.object_id((PREFIX + name).encode()))
        return found

    def row_id(self, name: str, place: str = S3) -> bytes:
        return self.keys.object_id((PREFIX + name).encode()) + f"\t{place}".encode()

    def rows_of(self, name: str) -> Fingerprints:
        found = Fingerprints()
        found.add(self.row_id(name))
        return found


def test_rows_since_the_beginning_are_what_is_done(tmp_path: Path) -> None:
    state = State(tmp_path, [row("a"), row("b"), row("c")], "ab")
    opened = redo.open_redo(tmp_path)
    assert opened is not None and opened.file == "missing.txt"
    assert len(redo.objects_left(tmp_path, state.keys, opened)) == 2
    state.add(row("a", at=NOW), row("c", at=NOW))
    left = redo.objects_left(tmp_path, state.keys, opened)
    assert (len(left), state.keys.object_id(b"https://cdn.example/b") in left) == (1, True)
    said = redo.reminder(tmp_path, state.keys)
    assert said is not None and "redo of missing.txt is not finished, 1 URLs are left" in said
    assert "`python migrate.py --redo`" in said


def test_there_is_no_redo_where_none_has_begun(tmp_path: Path) -> None:
    assert redo.open_redo(tmp_path) is None


@pytest.mark.parametrize("content", [b"", b"\n", b"what\n", b"{}\n", b'{"file": 1, "more": 2}\n', b"[]\n"])
def test_damaged_redo_is_said(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "unfinished_redo.txt").write_bytes(content)
    with pytest.raises(FatalError, match=r"redo\.txt cannot be read.*validate\.py"):
        redo.open_redo(tmp_path)


def test_new_row_takes_the_place_of_the_old_one_at_the_end(tmp_path: Path) -> None:
    state = State(tmp_path, [row("a"), row("b")], "a")
    new = row("a", "other", NOW)
    state.add(new)
    redo.finish(tmp_path, state.keys, Fingerprints())
    assert state.rows() == [row("b"), new]
    assert {path.name for path in tmp_path.iterdir()} == {"completed.txt", "completed.txt.bak"}
    assert state.rows("completed.txt.bak") == [*state.before, new]  # meanwhile the last row of a URL counted


def test_redo_that_met_its_own_bytes_keeps_the_row(tmp_path: Path) -> None:
    state = State(tmp_path, [row("a", "older"), row("a"), row("b")], "ab")
    state.add(row("a", at=NOW), row("b", "other", NOW), row("c", at=NOW))
    full = state.rows()
    redo.finish(tmp_path, state.keys, Fingerprints())
    assert state.rows() == [*state.before[:2], row("b", "other", NOW), row("c", at=NOW)]
    assert state.rows("completed.txt.bak") == full


@pytest.mark.parametrize("how", ["-", "stored", "renewed", "replaced", "found", "adopted"])
def test_redo_that_met_its_own_bytes_keeps_the_row_whatever_the_source_says_now(
    tmp_path: Path, how: str
) -> None:
    was = Completed(PREFIX + "a", "images/a", "5", "e", "m", "image/jpeg", THEN, how, '"1"', "then", "s3")
    before = encode(was if how != "-" else was[:7])
    state = State(tmp_path, [before], "a")
    state.add(encode(was._replace(finished_at=NOW, source_etag='"2"', source_modified="now")))
    redo.finish(tmp_path, state.keys, Fingerprints())
    assert state.rows() == [before]


def test_row_that_is_no_longer_ours_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    was = Completed(PREFIX + "a", "images/a", "5", "e", "m", "image/jpeg", THEN, "stored", place="s3")
    state = State(tmp_path, [encode(was)], "a")
    new = encode(was._replace(finished_at=NOW, how="replaced"))
    state.add(new)
    redo.finish(tmp_path, state.keys, Fingerprints())
    assert state.rows() == [new]


def test_new_row_that_equals_an_older_one_than_the_last_stays(tmp_path: Path) -> None:
    state = State(tmp_path, [row("a", "1"), row("a", "2")], "a")
    state.add(row("a", "1", NOW))
    redo.finish(tmp_path, state.keys, Fingerprints())
    assert state.rows()[-1] == row("a", "1", NOW)


def test_lost_object_loses_all_its_rows(tmp_path: Path) -> None:
    state = State(tmp_path, [row("a", "1"), row("b"), row("a")], "ab")
    redo.finish(tmp_path, state.keys, state.rows_of("a"))
    assert state.rows() == [row("b")]
    assert not (tmp_path / "unfinished_redo.txt").exists()


def test_end_that_fails_leaves_everything_as_it_was(tmp_path: Path) -> None:
    state = State(tmp_path, [row("a")], "a")
    (tmp_path / "completed.txt.bak").mkdir()
    with pytest.raises(FatalError, match="cannot write"):
        redo.finish(tmp_path, state.keys, state.rows_of("a"))
    assert state.rows() == [row("a")]
    assert redo.open_redo(tmp_path) is not None


class Shown:
    """A destination that shows what it is told to."""

    def __init__(self, objects: dict[str, Found | Exception | None]) -> None:
        self._objects = objects

    def head(self, key: str, deadline: object) -> Found | None:
        found = self._objects[key.rpartition("/")[2]]
        if isinstance(found, Exception):
            raise found
        return found


def test_objects_that_are_gone_or_differ_are_lost_and_no_others(tmp_path: Path) -> None:
    names = "abcdefg"
    state = State(tmp_path, [row("b", "older"), *map(row, names)], names)
    shown: dict[str, Any] = {
        "a": Found("images/a", 5, "e"),
        "b": Found("images/b", 5, "older"),  # not what its last row says
        "c": None,
        "d": Found("images/d", 6, "e"),
        "e": ReadRefused("HEAD", "grant it"),
        "f": TransientError("server_error", "busy"),
        "g": Found("images/g", 5, ""),
    }
    destination: Any = Shown(shown)
    lost = redo.lost_objects(state.settings, state.keys, {S3: destination}, state.objects(names))
    assert [name for name in names if state.row_id(name) in lost] == [*"bcd"]
