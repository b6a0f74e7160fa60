"""The ledger's lines: what is written is read back, and what is read is a record or is none, never an error."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import CAUSES
from cdn2s3.file_names import COMPLETED_FILE, FAILED_FILE
from cdn2s3.records import Stored
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import ledger
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import (
    Completed,
    Failed,
    Ledger,
    completed,
    completed_fields,
    decode_line,
    failed,
    failed_line,
    timestamp,
)
from cdn2s3.state.lines import encode, field
from cdn2s3.transfer.outcome import Result, SourceVersion
from tests.properties import examples

ROW = Completed(
    "https://h/a b.jpg", "k/ä", "7", "e-tag", "0" * 32, "image/jpeg", "2026-11-20T11:00:00Z",
    "stored", '"v1"', "Fri, 20 Nov 2026 11:00:00 GMT", "s3",
)  # fmt: skip
_TEXT = st.text(st.characters(exclude_categories=("Cs",)), max_size=20)
_LINES = st.one_of(
    st.binary(max_size=60),
    st.lists(
        st.sampled_from([b"", b"7", b"\xc2\xb2", b"9" * 5000, b"-1", b" 7", b"u", b"\xff", b"\r"]), max_size=9
    ).map(b"\t".join),
)


@examples(200)
@given(_TEXT, _TEXT, st.integers(0, 10**15), _TEXT)
def test_completed_row_is_read_back(url: str, key: str, size: int, etag: str) -> None:
    row = ROW._replace(url=field("u" + url), key=field(key), size=str(size), etag=field(etag))
    line, older = encode(row)[:-1], encode(row[:7])[:-1]
    assert completed(line) == row
    assert completed_fields(line) == [part.encode() for part in row]
    assert completed(older) == row._replace(how="-", source_etag="-", source_modified="-", place="-")
    assert completed_fields(older) == [part.encode() for part in row[:7]]


@examples(500)
@given(_LINES)
def test_any_line_is_a_record_or_none_and_what_is_taken_is_reproduced(line: bytes) -> None:
    row, failure = completed(line), failed(line)
    assert completed_fields(line) == ([] if row is None else line.split(b"\t"))
    for record, size in ((row, row and row.size), (failure, failure and failure.attempts)):
        if record is None:
            continue
        assert int(str(size)) >= 0
        text = decode_line(line)
        fields = record[: text.count("\t") + 1]
        assert "\t".join(fields) == text
        if all(field(part) == part for part in fields):
            assert encode(fields) == line + b"\n"


@pytest.mark.parametrize(
    "line",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"https://h/a.jpg", id="a bare URL"),
        pytest.param(encode(ROW)[:-1] + b"\tx", id="a field more"),
        *(pytest.param(encode(ROW[:count])[:-1], id=f"{count} fields") for count in (6, 8, 9, 10)),
        pytest.param(encode(ROW._replace(url=""))[:-1], id="no url"),
        pytest.param(encode(ROW._replace(size="x"))[:-1], id="size no number"),
        pytest.param(encode(ROW._replace(size="\u00b2"))[:-1], id="size superscript"),
        pytest.param(encode(ROW._replace(size="9" * 5000))[:-1], id="size endless"),
        pytest.param(encode(Failed("u", "timeout", "4", "m", "t"))[:-1], id="a failure"),
    ],
)
def test_line_that_is_no_completed_row(line: bytes) -> None:
    assert completed(line) is None
    assert completed_fields(line) == []


@pytest.mark.parametrize(
    ("how", "is_ours"),
    [("stored", True), ("renewed", True), ("replaced", False), ("found", False), ("adopted", False), ("-", False),
     ("Stored", False)],
)  # fmt: skip
def test_only_what_was_stored_where_nothing_was_is_ours(how: str, is_ours: bool) -> None:
    assert ROW._replace(how=how).is_ours is is_ours


KEYS = key_maker(MigrationSettings(url_prefix="https://h/", preserve_path_structure=True))


def row_of(name: str, etag: str = "e", how: str = "stored") -> Completed:
    return ROW._replace(url=f"https://h/{name}", key=f"images/{name}", etag=etag, how=how)


def test_last_row_of_each_url_and_key_counts(tmp_path: Path) -> None:
    path = tmp_path / "completed.txt"
    older = encode(row_of("c")[:7])
    named = row_of("a")._replace(key="images/other")
    rows = [row_of("a", "1"), row_of("b", "1"), named, row_of("a", "2", "renewed"), row_of("b", "2")]
    path.write_bytes(b"".join(map(encode, rows)) + b"no record\n" + older + encode(row_of("d"))[:-1])
    found = list(ledger.last_rows(path, KEYS, older_place="local"))
    as_older = row_of("c")._replace(how="-", source_etag="-", source_modified="-", place="local")
    assert found == [named, row_of("a", "2", "renewed"), row_of("b", "2"), as_older]
    some = Fingerprints()
    some.add(KEYS.object_id(b"https://h/b"))
    assert list(ledger.last_rows(path, KEYS, some)) == [row_of("b", "2")]
    assert list(ledger.last_rows(tmp_path / "absent", KEYS)) == []


def test_failed_row_hides_queries_and_keeps_its_line() -> None:
    line = failed_line("https://h/a.jpg?token=t", "timeout", 3, "https://u:p@h/a?token=canary\tslow", 0)
    assert line == b"https://h/a.jpg?token=t\ttimeout\t3\thttps://***@h/a?***%09slow\t1970-01-01T00:00:00Z\n"


def test_timestamp_is_utc_to_the_second() -> None:
    assert timestamp(784111777.9) == "1994-11-06T08:49:37Z"


def test_records_that_are_appended_together_are_as_those_appended_one_by_one(tmp_path: Path) -> None:
    results = [
        Result("https://cdn.example/1.jpg", "1.jpg", Stored("e", 5, "-", already_there=False), "image/jpeg"),
        Result("https://cdn.example/2.jpg", "", cause="not_found", message="404"),
        Result("https://cdn.example/3.jpg\tkey=c.jpg", "c.jpg", Stored("e", 6, "-", False), "image/jpeg"),
    ]
    for name in ("single", "together"):
        (tmp_path / name).mkdir()
    single, together = Ledger(tmp_path / "single"), Ledger(tmp_path / "together")
    for result in results:
        single.record(result.record(7))
    together.record_all(result.record(7) for result in results)
    for book in (single, together):
        book.completed.close()
        book.failed.close()
    for name in (COMPLETED_FILE, FAILED_FILE):
        content = (tmp_path / "together" / name).read_bytes()
        assert content == (tmp_path / "single" / name).read_bytes() != b""


def test_ledger_appends_results_to_their_files(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    ledger.record(Result("u1", "k1", Stored("", 5, "-", already_there=False)).record(0))
    version = SourceVersion('W/"v 1"', "Fri, 20 Nov 2026 11:00:00 GMT")
    found = Stored("e", 6, "0" * 32, already_there=True, how="found", place="local")
    ledger.record(Result("u2", "k2", found, "image/png", source=version).record(1))
    ledger.record(Result("u3", "k3", cause="not_found", message="the CDN answered 404").record(2))
    ledger.completed.close()
    ledger.failed.close()
    assert (tmp_path / "completed.txt").read_bytes() == (
        b"u1\tk1\t5\t-\t-\t-\t1970-01-01T00:00:00Z\tstored\t-\t-\ts3\n"
        b"u2\tk2\t6\te\t" + b"0" * 32 + b"\timage/png\t1970-01-01T00:00:01Z\t"
        b'found\tW/"v 1"\tFri, 20 Nov 2026 11:00:00 GMT\tlocal\n'
    )
    assert (tmp_path / "failed_transfers.txt").read_bytes() == (
        b"u3\tnot_found\t1\tthe CDN answered 404\t1970-01-01T00:00:02Z\n"
    )


_URLS = [f"https://h/{n}.jpg" for n in range(6)]
_JUNK = st.one_of(
    st.binary(max_size=20).map(lambda line: line.replace(b"\n", b"")),
    st.sampled_from(
        [b"https://h/1.jpg", b"https://h/1.jpg\r", b"https://h/1.jpgX", b"https://h/1.jpg\ttimeout", b""]
    ),
)
_Record = Optional[tuple]  # type: ignore[type-arg]
_STEPS = st.lists(
    st.one_of(
        st.tuples(st.sampled_from(_URLS), st.sampled_from(["timeout", "not_found"]), st.integers(0, 9)),
        _JUNK,
    ),
    max_size=25,
)


def lines_of(steps: list[object]) -> bytes:
    content = b""
    for step in steps:
        content += (
            failed_line(step[0], step[1], step[2], "m", 0) if isinstance(step, tuple) else bytes(step) + b"\n"
        )  # type: ignore[call-overload]
    return content


@examples(300)
@given(_STEPS, st.sets(st.sampled_from(_URLS)), st.booleans())
def test_rebuild_is_a_dict_of_the_last_records(
    tmp_path: Path, steps: list[object], settled: set[str], torn: bool
) -> None:
    path = tmp_path / "failed_transfers.txt"
    path.write_bytes(lines_of(steps) + (b"https://h/2.jpg\ttim" if torn else b""))
    naive: dict[str, tuple[str, str]] = {}
    for step in steps:
        if isinstance(step, tuple):
            naive.pop(step[0], None)
            naive[step[0]] = (step[1], str(step[2]))
    expected = {url: record for url, record in naive.items() if url not in settled}

    kept: list[str] = []
    causes = ledger.rebuild(
        path, {url.encode() for url in settled}.__contains__, lambda record: kept.append(record.url)
    )
    got = [(record.url, (record.cause, record.attempts)) for record in ledger.records(path)]
    assert got == list(expected.items())
    assert kept == list(expected)
    assert sum(causes.values()) == len(expected)
    assert causes["timeout"] == sum(cause == "timeout" for cause, _ in expected.values())
    before = path.read_bytes()
    assert ledger.rebuild(path, settled.__contains__) == causes
    assert path.read_bytes() == before


def test_rebuild_without_a_file_makes_none(tmp_path: Path) -> None:
    path = tmp_path / "failed_transfers.txt"
    assert not ledger.rebuild(path, lambda url: False)
    assert not path.exists()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "failed_transfers.txt"
    path.write_bytes(
        b"".join(failed_line(f"https://h/{cause}.jpg", cause, 1, "m", 0) for cause in CAUSES) + b"junk\n"
    )
    return path


def test_urls_of_one_cause_or_of_all(path: Path) -> None:
    assert len(ledger.urls_in(path)) == len(CAUSES)
    one = ledger.urls_in(path, "timeout")
    assert (len(one), b"https://h/timeout.jpg" in one) == (1, True)


def test_transient_records_are_those_that_may_pass(path: Path) -> None:
    causes = [record.cause for record in ledger.transient(path, 0)]
    assert causes == [name for name, cause in CAUSES.items() if cause.transient]
    assert list(ledger.transient(path, path.stat().st_size)) == []


def test_record_of_a_cause_from_another_version_is_kept_and_not_transient(tmp_path: Path) -> None:
    path = tmp_path / "failed_transfers.txt"
    path.write_bytes(failed_line("https://h/1.jpg", "gremlins", 1, "m", 0))
    assert ledger.rebuild(path, lambda url: False) == {"gremlins": 1}
    assert list(ledger.transient(path, 0)) == []
