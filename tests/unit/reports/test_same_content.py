"""Contents that several URLs have are counted by the last row of each key, whatever their number."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

from cdn2s3.reports.same_content import among, in_completed
from cdn2s3.state.ledger import Completed
from cdn2s3.state.lines import encode


def row(name: str, content: str, digest: str = "", etag: str = "-", key: str = "") -> Completed:
    found = digest or md5(content.encode()).hexdigest()
    key = key or f"images/{name}"
    return Completed(
        f"https://cdn.example/{name}?sig=s3cret", key, "5", etag, found, "image/gif", "2026-11-27T00:00:00Z"
    )


def ledger(path: Path, *rows: Completed) -> Path:
    file = path / "completed.txt"
    file.write_bytes(b"".join(map(encode, rows)))
    return file


def test_nothing_is_the_same(tmp_path: Path) -> None:
    found = in_completed(ledger(tmp_path, *(row(f"{n}.gif", str(n)) for n in range(300))))
    assert found == (0, 0, 0, [])
    assert found.text() == ""


def test_no_ledger_has_nothing(tmp_path: Path) -> None:
    assert in_completed(tmp_path / "completed.txt") == (0, 0, 0, [])


def test_placeholder_is_counted_with_examples(tmp_path: Path) -> None:
    rows = [row(f"{n}.gif", "placeholder" if n % 3 else str(n)) for n in range(300)]
    rows += [row("a.gif", "twin"), row("b.gif", "twin")]
    found = in_completed(ledger(tmp_path, *rows))
    assert (found.urls, found.contents, found.unknown) == (202, 2, 0)
    first, second = found.most
    assert (first.urls, first.md5, first.size, first.media_type) == (200, rows[1].md5, 5, "image/gif")
    assert first.examples == [rows[1].url, rows[2].url, rows[4].url]
    assert second.urls == 2
    assert "202 URLs share 2 contents" in found.text()
    assert "https://cdn.example/1.gif?***" in found.text()
    assert "s3cret" not in str(found.as_json()) + found.text()


def test_row_that_was_superseded_does_not_count(tmp_path: Path) -> None:
    old = [row(f"{n}.gif", "placeholder") for n in range(5)]
    new = [row(f"{n}.gif", str(n)) for n in range(3)]
    found = in_completed(ledger(tmp_path, *old, *new))
    assert (found.urls, found.contents) == (2, 1)
    assert found.most[0].examples == [old[3].url, old[4].url]


def test_url_that_was_stored_twice_is_not_two(tmp_path: Path) -> None:
    assert in_completed(ledger(tmp_path, row("a.gif", "x"), row("a.gif", "x"))).urls == 0


def test_etag_tells_where_no_md5_is_recorded(tmp_path: Path) -> None:
    etag = md5(b"x").hexdigest()
    rows = [
        row("a.gif", "", "-", etag),
        row("b.gif", "x"),
        row("c.gif", "", "-", f"{etag}-2"),
        row("d.gif", "", "-"),
    ]
    found = in_completed(ledger(tmp_path, *rows))
    assert (found.urls, found.unknown) == (2, 2)


def test_ten_most_frequent_contents_are_shown(tmp_path: Path) -> None:
    rows = [row(f"{n}-{m}.gif", str(n)) for n in range(15) for m in range(n + 2)]
    found = in_completed(ledger(tmp_path, *rows))
    assert found.contents == 15
    assert [shared.urls for shared in found.most] == [16, 15, 14, 13, 12, 11, 10, 9, 8, 7]


def test_line_that_is_no_record_is_skipped(tmp_path: Path) -> None:
    file = ledger(tmp_path, row("a.gif", "x"), row("b.gif", "x"))
    file.write_bytes(b"rubbish\n" + file.read_bytes() + b"https://cdn.example/torn")
    assert in_completed(file).urls == 2


def test_rows_of_a_sample() -> None:
    rows = [[b"u%d" % n, b"k%d" % n, b"7", b"-", b"%x" % (n // 2 + 1) * 32, b"image/png"] for n in range(5)]
    found = among(rows)
    assert (found.urls, found.contents) == (4, 2)


def test_rows_that_were_undone_are_none(tmp_path: Path) -> None:
    rows = [
        f"https://c/{name}\t{name}\t3\t{'e' * 32}\t{'e' * 32}\timage/jpeg\t2026-11-20T10:00:05Z"
        for name in "abc"
    ]
    (tmp_path / "completed.txt").write_text("".join(f"{row}\n" for row in rows))
    (tmp_path / "undone.txt").write_text(f"https://c/b\tb\t3\t{'e' * 32}\t-\t2026-11-20T10:00:06Z\n")
    assert in_completed(tmp_path / "completed.txt").urls == 2
