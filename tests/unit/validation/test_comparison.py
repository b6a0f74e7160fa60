"""Expected against found: each kind of line, and the verdict that comes of them."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from cdn2s3.destinations.base import Found
from cdn2s3.errors import CAUSES, FatalError
from cdn2s3.keys import KeyMaker, Naming
from cdn2s3.planning.survey import completed_before, survey
from cdn2s3.state.ledger import Completed, Failed
from cdn2s3.state.lines import encode
from cdn2s3.validation.comparison import (
    COMPLETE,
    COMPLETE_EXCEPT_KNOWN,
    INCOMPLETE,
    KNOWN,
    Mismatch,
    Records,
    advice,
    known,
    repairs,
    success_rate,
    verdict,
)
from cdn2s3.validation.expected import DIFFERS, Counts, Expected, Missing, RecordedObjects

PREFIX = "https://cdn.example/"
KEYS = KeyMaker(Naming(PREFIX, "images/", preserve=False))
WHEN = "2026-11-20T10:00:00Z"
NOTHING = Counts(0, 0, 0, 0, 0, {}, {})


def completed(name: str, size: str = "7", etag: str = "abc", key: str = "", md5: str = "abc") -> bytes:
    media_type = "image/jpeg" if md5 != "-" else "-"
    return encode(Completed(PREFIX + name, key or f"images/{name}", size, etag, md5, media_type, WHEN))


def failed(name: str, cause: str) -> bytes:
    return encode(Failed(PREFIX + name, cause, "4", "message", WHEN))


class World(NamedTuple):
    """Files of a migration, read."""

    expected: Expected
    records: Records

    def see(self, name: str, size: int = 7, etag: str = "abc") -> Mismatch | None:
        """Show an object, as validate.py does; return its mismatch."""
        number = self.expected.see(Found(f"images/{name}", size, etag))
        if number is None or not self.expected.states[number] & DIFFERS:
            return None
        row = self.records.mismatch(number, Found(f"images/{name}", size, etag))
        if row is None:
            self.expected.clear(number)
        return row

    def missing(self) -> list[Missing]:
        return [row for _, row in self.expected.missing()]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    return tmp_path


def world(folder: Path, urls: str, done: list[bytes] = [], lost: list[bytes] = []) -> World:  # noqa: B006
    """Write the files (urls: names with blanks between, a whole URL where it holds ://) and read them."""
    lines = [line if "://" in line else PREFIX + line for line in urls.split()]
    path = folder / "urls.txt"
    path.write_bytes("".join(line + "\n" for line in lines).encode())
    (folder / "completed.txt").write_bytes(b"".join(done))
    (folder / "failed_transfers.txt").write_bytes(b"".join(lost))
    return read(folder)


def read(folder: Path) -> World:
    path, recorded = folder / "urls.txt", RecordedObjects()
    before = completed_before(folder / "completed.txt", KEYS, observer=recorded)
    work = survey(path, KEYS, before, lambda *_: None, lambda *_: None)
    expected = Expected(KEYS, work, before, recorded)
    expected.read_failed(folder / "failed_transfers.txt")
    return World(expected, Records(expected))


# --- objects that are there ---


@pytest.mark.parametrize(
    ("record", "found", "mismatch"),
    [
        pytest.param(("7", "abc"), (7, "abc"), None, id="the same"),
        pytest.param(("7", "abc"), (8, "abc"), ("7", "8", "abc", "abc"), id="other size"),
        pytest.param(("7", "abc"), (7, "abd"), ("7", "7", "abc", "abd"), id="other etag"),
        pytest.param(("7", "abc"), (7, "W/abc"), None, id="weak etag"),
        pytest.param(("7", "W/abc"), (7, "abc"), None, id="weak etag in the record"),
        pytest.param(("7", "W/abc"), (8, "abc"), ("7", "8", "W/abc", "abc"), id="weak etag, other size"),
        pytest.param(("7", "opaque"), (7, "abc"), None, id="the MD5 that was recorded"),
        pytest.param(("7", "abc"), (7, ""), None, id="store without etags"),
        pytest.param(("7", "abc"), (8, ""), ("7", "8", "abc", "-"), id="other size, store without etags"),
        pytest.param(("7", "-"), (7, "abc"), None, id="record without etag"),
        pytest.param(("7", "-"), (70, "abc"), ("7", "70", "-", "abc"), id="other size, record without etag"),
    ],
)
def test_completed_compared_with_its_object(
    files: Path, record: tuple[str, str], found: tuple[int, str], mismatch: tuple[str, ...] | None
) -> None:
    w = world(files, "a b", [completed("b"), completed("a", *record)])
    row = w.see("a", *found)
    assert row == (mismatch and Mismatch(PREFIX + "a", "images/a", *mismatch))
    counts = w.expected.counts()
    assert (counts.complete, counts.mismatched, counts.lost) == (int(row is None), int(row is not None), 1)


def test_adopted_compared_with_its_object(files: Path) -> None:
    w = world(files, "a b", [completed("a", md5="-"), completed("b", md5="-")])
    assert w.see("a") is None
    assert w.see("b", 8) == Mismatch(PREFIX + "b", "images/b", "7", "8", "abc", "abc")
    assert w.expected.counts() == NOTHING._replace(complete=1, mismatched=1)


def test_conflict_whose_object_is_there(files: Path) -> None:
    w = world(files, "a", lost=[failed("a", "conflict")])
    assert w.see("a") == Mismatch(PREFIX + "a", "images/a", "-", "7", "-", "abc")
    assert w.expected.counts() == NOTHING._replace(mismatched=1)


def test_conflict_whose_object_is_gone(files: Path) -> None:
    w = world(files, "a", lost=[failed("a", "conflict")])
    assert w.missing() == [Missing(PREFIX + "a", "images/a", "failed:conflict")]
    assert verdict(w.expected.counts()) == INCOMPLETE


def test_object_without_a_record(files: Path) -> None:
    w = world(files, "a")
    assert w.see("a") is None
    assert w.expected.counts() == NOTHING._replace(unrecorded=1)
    assert w.missing() == []


def test_object_of_a_failed_url(files: Path) -> None:
    w = world(files, "a b", lost=[failed("a", "unverified"), failed("b", "not_found")])
    assert w.see("a") is None
    assert w.see("b") is None
    assert w.expected.counts() == NOTHING._replace(unproven={"unverified": 1, "not_found": 1})
    assert known(w.expected.counts()) == 1


def test_object_that_no_url_leads_to(files: Path) -> None:
    w = world(files, "a", [completed("a")])
    assert w.expected.see(Found("images/b", 7, "abc")) is None


def test_object_listed_twice(files: Path) -> None:
    w = world(files, "a", [completed("a")])
    w.see("a")
    with pytest.raises(FatalError, match="twice"):
        w.see("a")


def test_records_of_a_file_that_changed(files: Path) -> None:
    w = world(files, "a", [completed("a")])
    (files / "completed.txt").write_bytes(b"")
    with pytest.raises(FatalError, match="was changed"):
        w.see("a", 8)


# --- objects that are not there ---


def test_missing_of_every_kind(files: Path) -> None:
    broken = "https://elsewhere.example/x.jpg"
    w = world(
        files,
        f"done lost tried x/one y/one new {broken} new",
        [completed("done"), completed("lost"), completed("x/one", key="images/one")],
        [failed("tried", "timeout"), encode(Failed(broken, "malformed", "0", "why", WHEN))],
    )
    w.see("done")
    w.see("one")
    assert w.missing() == [
        Missing(PREFIX + "lost", "images/lost", "lost"),
        Missing(PREFIX + "tried", "images/tried", "failed:timeout"),
        Missing(PREFIX + "y/one", "images/one", "failed:collision"),
        Missing(PREFIX + "new", "images/new", "not tried"),
        Missing(broken, "-", "failed:other_host"),
    ]
    counts = w.expected.counts()
    assert counts == Counts(2, 1, 0, 1, 0, {"timeout": 1, "other_host": 1, "collision": 1}, {})
    assert counts.urls == 7
    assert counts.missing == 5


@pytest.mark.parametrize("cause", CAUSES)
def test_missing_names_the_cause(files: Path, cause: str) -> None:
    w = world(files, "a", lost=[failed("a", cause)])
    assert w.missing() == [Missing(PREFIX + "a", "images/a", f"failed:{cause}")]
    assert w.expected.counts() == NOTHING._replace(failed={cause: 1})


def test_absent_lines_lost_ones_first(files: Path) -> None:
    w = world(files, "a b c d e", [completed("c"), completed("e")], [failed("b", "timeout")])
    w.see("e")
    assert [w.expected.absent(most) for most in (0, 1, 2, 9)] == [set(), {2}, {0, 2}, {0, 1, 2, 3}]


# --- which record counts ---


def test_completed_wins_over_failed(files: Path) -> None:
    w = world(files, "a", [completed("a")], [failed("a", "timeout")])
    w.see("a")
    assert w.expected.counts() == NOTHING._replace(complete=1)


def test_last_record_of_a_url_counts(files: Path) -> None:
    w = world(
        files,
        "a b",
        [completed("a", "1"), completed("a", "2")],
        [failed("b", "timeout"), failed("b", "not_found")],
    )
    assert w.see("a", 2) is None
    assert w.missing() == [Missing(PREFIX + "b", "images/b", "failed:not_found")]


@pytest.mark.parametrize(
    ("record", "why"),
    [
        pytest.param(completed("a", key="old/a"), "not tried", id="yesterday's key"),
        pytest.param(
            completed("x/a", key="images/a"), "failed:collision", id="another url with the same key"
        ),
        pytest.param(completed("b"), "not tried", id="url that is not in the list"),
    ],
)
def test_completed_record_that_does_not_count(files: Path, record: bytes, why: str) -> None:
    w = world(files, "a", [record])
    assert w.missing() == [Missing(PREFIX + "a", "images/a", why)]
    assert (w.expected.elsewhere, w.expected.unreadable) == (1, 0)


def test_lines_of_the_ledger_that_are_no_records(files: Path) -> None:
    torn = completed("a")[:-9]
    w = world(files, "a", [b"\n", b"a\tb\n", torn], [failed("a", "bad_luck"), b"x\n"])
    assert w.missing() == [Missing(PREFIX + "a", "images/a", "not tried")]
    assert w.expected.unreadable == 4


def test_lines_of_the_list_are_read_as_migrate_reads_them(files: Path) -> None:
    (files / "urls.txt").write_bytes(
        b"\xef\xbb\xbfhttps://cdn.example/a\r\n\r\nhttps://cdn.example/b\tnot_found\t1"
    )
    assert [row.url for row in read(files).missing()] == [PREFIX + "a", PREFIX + "b"]


def test_line_has_its_own_record_where_several_urls_were_completed_under_its_key(files: Path) -> None:
    done = [completed("x/a", size="5", key="images/a"), completed("a"), completed("b"), completed("a", "9")]
    w = world(files, "a b", done)
    assert w.see("a", 9) is None
    assert w.see("b") is None
    assert (w.expected.counts().complete, w.expected.elsewhere) == (2, 1)


# --- the verdict ---


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        pytest.param({"complete": 9}, COMPLETE, id="all there"),
        pytest.param({"complete": 9, "failed": {"not_found": 1}}, COMPLETE_EXCEPT_KNOWN, id="404"),
        pytest.param({"failed": {"malformed": 1, "collision": 2}}, COMPLETE_EXCEPT_KNOWN, id="bad lines"),
        pytest.param(
            {"complete": 9, "unproven": {"not_found": 1}}, COMPLETE_EXCEPT_KNOWN, id="404 and there"
        ),
        pytest.param({"complete": 9, "failed": {"not_found": 1, "timeout": 1}}, INCOMPLETE, id="timeout"),
        pytest.param({"complete": 9, "unproven": {"unverified": 1}}, INCOMPLETE, id="unverified"),
        pytest.param({"complete": 9, "lost": 1}, INCOMPLETE, id="lost"),
        pytest.param({"complete": 9, "mismatched": 1}, INCOMPLETE, id="mismatched"),
        pytest.param({"complete": 9, "not_tried": 1}, INCOMPLETE, id="not tried"),
        pytest.param({"complete": 9, "unrecorded": 1}, INCOMPLETE, id="object without a record"),
    ],
)
def test_verdict(counts: dict[str, object], expected: str) -> None:
    assert verdict(NOTHING._replace(**counts)) == expected


def test_known_causes_are_those_that_no_further_run_changes() -> None:
    assert {
        "malformed",
        "collision",
        "not_found",
        "forbidden",
        "empty",
        "not_an_image",
        "key_refused",
    } == KNOWN


@pytest.mark.parametrize(
    ("complete", "lost", "rate"),
    [
        pytest.param(4_000_000, 0, 1.0, id="all"),
        pytest.param(3_999_999, 1, 0.99999, id="all but one is not all"),
        pytest.param(999, 1, 0.999, id="as promised"),
        pytest.param(0, 3, 0.0, id="none"),
    ],
)
def test_success_rate(complete: int, lost: int, rate: float) -> None:
    assert success_rate(NOTHING._replace(complete=complete, lost=lost)) == rate


@pytest.mark.parametrize(
    ("counts", "commands"),
    [
        pytest.param({}, [], id="nothing"),
        pytest.param({"failed": {"not_found": 1}}, [], id="known gap"),
        pytest.param({"lost": 1}, ["python migrate.py --redo missing.txt"], id="lost"),
        pytest.param({"lost": 1001}, ["python migrate.py --redo missing.txt --yes"], id="many lost"),
        pytest.param(
            {"mismatched": 1001},
            ["ON_EXISTING=overwrite python migrate.py --redo mismatched.txt --yes"],
            id="many mismatched",
        ),
        pytest.param({"not_tried": 1}, ["python migrate.py"], id="not tried"),
        pytest.param({"not_tried": 1, "unrecorded": 1}, ["python migrate.py"], id="not tried, unrecorded"),
        pytest.param(
            {"not_tried": 1, "lost": 1}, ["python migrate.py --redo missing.txt"], id="not tried and lost"
        ),
        pytest.param({"failed": {"timeout": 1}}, ["python migrate.py --redo missing.txt"], id="timeout"),
        pytest.param(
            {"lost": 1, "mismatched": 1},
            [
                "python migrate.py --redo missing.txt",
                "ON_EXISTING=overwrite python migrate.py --redo mismatched.txt",
            ],
            id="lost and mismatched",
        ),
        pytest.param(
            {"unproven": {"unverified": 1}}, ["python migrate.py --retry-failed unverified"], id="unverified"
        ),
        pytest.param(
            {"unproven": {"unverified": 1, "timeout": 1}},
            ["python migrate.py --retry-failed"],
            id="two causes",
        ),
        pytest.param({"unrecorded": 1}, ["python migrate.py"], id="object without a record"),
    ],
)
def test_repairs(counts: dict[str, object], commands: list[str]) -> None:
    assert [repair.command for repair in repairs(NOTHING._replace(**counts), Path())] == commands


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        pytest.param({"complete": 3}, "docs/cutover.md", id="complete"),
        pytest.param(
            {"failed": {"not_found": 1, "malformed": 1}},
            "give state/failed_transfers.txt to the CDN's owner: docs/runbook.md",
            id="the CDN's own gaps",
        ),
        pytest.param({"failed": {"malformed": 1}}, "correct or remove the lines of urls.txt", id="bad lines"),
    ],
)
def test_advice_where_no_command_repairs(counts: dict[str, object], words: str) -> None:
    assert words in advice(NOTHING._replace(**counts), Path("state"))


def test_repairs_name_what_is_not_the_default() -> None:
    commands = repairs(NOTHING._replace(lost=1, mismatched=1), Path("my state"))
    assert commands == [
        ("python migrate.py --redo 'my state/missing.txt'", False),
        ("ON_EXISTING=overwrite python migrate.py --redo 'my state/mismatched.txt'", True),
    ]
