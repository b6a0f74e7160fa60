"""undone.txt: which rows of completed.txt it voids, to the second."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdn2s3.file_names import UNDONE_FILE
from cdn2s3.state import ledger, undone
from cdn2s3.state.files import AppendFile
from cdn2s3.state.ledger import Completed, encode_line
from cdn2s3.state.undone import UndoneRows

ROW = Completed("https://c/a.jpg", "img/a.jpg", "3", "e" * 32, "e" * 32, "image/jpeg", "2026-11-20T10:00:05Z")
LINE = b"https://c/a.jpg\timg/a.jpg\t3\t" + b"e" * 32 + b"\t-\t2026-11-20T10:00:05Z\n"


def fields(row: Completed) -> list[bytes]:
    return [encode_line(text) for text in row]


@pytest.mark.parametrize(
    ("row", "is_undone"),
    [
        (ROW._replace(finished_at="2026-11-20T10:00:04Z"), True),
        (ROW, False),
        (ROW._replace(finished_at="2026-11-20T10:00:06Z"), False),
        (ROW._replace(finished_at="yesterday"), True),
        (ROW._replace(finished_at="2026-11-20T10:00:04Z", etag="f" * 32), False),
        (ROW._replace(finished_at="2026-11-20T10:00:04Z", key="img/b.jpg"), False),
        (ROW._replace(finished_at="2026-11-20T10:00:04Z", url="https://c/b.jpg"), False),
    ],
)
def test_voids_the_row_that_it_names_when_that_is_older(
    tmp_path: Path, row: Completed, is_undone: bool
) -> None:
    (tmp_path / UNDONE_FILE).write_bytes(b"no record\n" + LINE + b"torn")
    assert UndoneRows(tmp_path).has(fields(row)) is is_undone


def test_without_a_file_nothing_is_undone(tmp_path: Path) -> None:
    assert not UndoneRows(tmp_path)


def test_line_is_always_later_than_its_row(tmp_path: Path) -> None:
    file = AppendFile(tmp_path / UNDONE_FILE)
    for row in (ROW, ROW._replace(key="future", finished_at="2090-01-01T00:00:00Z")):
        undone.append(file, row, "-")
        assert UndoneRows(tmp_path).has(fields(row))
    file.close()
    assert len(undone.ObjectsSince(tmp_path, 0)) == 2
    assert ROW in undone.ObjectsSince(tmp_path, 0)
    again = ROW._replace(finished_at=ledger.timestamp(undone.last_at(tmp_path)))
    assert again not in undone.ObjectsSince(tmp_path, 0), "it was stored again since"
