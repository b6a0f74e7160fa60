"""The rows of completed.txt that count, against a naive reading with a dict."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import FatalError
from cdn2s3.keys import KeyMaker, Naming
from cdn2s3.validation.stored_rows import StoredRow, StoredRows
from tests.properties import examples

KEYS = KeyMaker(Naming("https://h/i/", "", preserve=True, ignored_params=("sig",)))
# Spellings of three URLs.
URLS = {
    "https://h/i/a.jpg": 0, "http://H:80/i/a.jpg": 0, "https://h/i/%61.jpg?sig=1": 0, "https://h/i/a.jpg#top": 0,
    "https://h/i/b.jpg": 1, "https://h/i/b.jpg?v=1": 2, "https://h/i/b.jpg?v=1&sig=2": 2,
}  # fmt: skip
ROWS = st.lists(
    st.tuples(
        st.sampled_from(sorted(URLS)),
        st.sampled_from(["i/a.jpg", "i/b.jpg", "named.jpg"]),
        st.integers(0, 9),
        st.sampled_from([(), ("stored", "-", "-", "s3"), ("found", "-", "-", "local"), ("-", "-", "-", "-")]),
    ),
    max_size=30,
)


def write(path: Path, rows: list[tuple[str, str, int, tuple[str, ...]]]) -> None:
    fields = ((url, key, str(size), "e", "m", "image/jpeg", "t", *more) for url, key, size, more in rows)
    path.write_text("".join("\t".join(row) + "\n" for row in fields), encoding="utf-8")


@given(ROWS, st.sampled_from(["s3", "local"]))
@examples(200)
def test_last_row_of_each_url_and_key_counts(
    rows: list[tuple[str, str, int, tuple[str, ...]]], place: str
) -> None:
    last, elsewhere = {}, 0
    for number, (url, key, size, more) in enumerate(rows):
        where = more[3] if more and more[3] != "-" else place
        if where == "s3":
            how = more[0] if more else "-"
            last[URLS[url], key] = number, StoredRow(url, key, size, "e", "m", "image/jpeg", how)
        else:
            elsewhere += 1
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder) / "completed.txt", rows)
        found = StoredRows(Path(folder) / "completed.txt", KEYS, place)
        assert list(found) == [row for _, row in sorted(last.values())]
        assert list(found) == list(found)
        assert (len(found), found.elsewhere, found.unreadable) == (len(last), elsewhere, 0)


def test_lines_that_are_no_rows_are_counted(tmp_path: Path) -> None:
    good = ["https://h/i/a.jpg", "i/a.jpg", "5", "e", "m", "t", "at"]
    bad = [good[:6], [*good, "stored"], ["", *good[1:]], [good[0], "", *good[2:]], [*good[:2], "five", *good[3:]],
           [*good[:2], "-1", *good[3:]], [*good[:2], "9" * 19, *good[3:]]]  # fmt: skip
    lines = ["\t".join(row).encode() for row in [good, *bad]] + [
        b"https://h/i/\xff.jpg\t" + "\t".join(good[1:]).encode()
    ]
    (tmp_path / "completed.txt").write_bytes(b"\n".join(lines) + b"\ntorn")
    found = StoredRows(tmp_path / "completed.txt", KEYS, "s3")
    assert ([row.key for row in found], found.unreadable) == (["i/a.jpg"], len(bad) + 1)


def test_rows_that_are_undone_are_left_out(tmp_path: Path) -> None:
    def row(name: str, etag: str, at: str) -> tuple[str, ...]:
        return (f"https://h/i/{name}", f"i/{name}", "5", etag, "m", "t", at, "stored", "-", "-", "s3")

    early, late = "2026-11-20T10:00:00Z", "2026-11-20T12:00:00Z"
    rows = [
        row("a.jpg", "e", early),
        row("b.jpg", "e", late),
        row("c.jpg", "other", early),
        row("d.jpg", "e", early),
    ]
    (tmp_path / "completed.txt").write_text("".join("\t".join(fields) + "\n" for fields in rows))
    lines = (
        f"https://h/i/{name}\ti/{name}\t5\te\t-\t2026-11-20T11:00:00Z\n"
        for name in ("a.jpg", "b.jpg", "c.jpg")
    )
    (tmp_path / "undone.txt").write_text("".join(lines))
    found = StoredRows(tmp_path / "completed.txt", KEYS, "s3")
    assert [row.key for row in found] == ["i/b.jpg", "i/c.jpg", "i/d.jpg"]
    assert (len(found), found.elsewhere, found.unreadable) == (3, 0, 0)


def test_no_file_has_no_rows(tmp_path: Path) -> None:
    assert list(StoredRows(tmp_path / "completed.txt", KEYS, "s3")) == []


def test_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "completed.txt").mkdir()
    with pytest.raises(FatalError, match="cannot read"):
        StoredRows(tmp_path / "completed.txt", KEYS, "s3")
