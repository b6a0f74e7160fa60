"""failed_transfers.txt rebuilt: each URL once, the last record, nothing that is settled; against a dict."""

from __future__ import annotations

from pathlib import Path
from typing import Optional

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import CAUSES
from cdn2s3.state import ledger
from cdn2s3.state.ledger import failed_line
from tests.properties import examples

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
