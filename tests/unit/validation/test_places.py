"""What a validation expects in the bucket and in the folder, where completed.txt has rows of both."""

from __future__ import annotations

from pathlib import Path

from cdn2s3.destinations.base import Found
from cdn2s3.records import LOCAL, S3
from cdn2s3.settings.declarations import key_maker
from cdn2s3.validation import inputs
from cdn2s3.validation.expected import Expected
from tests.unit.planning.test_share import IN, OUT, row, settings_of, urls


def expected_of(folder: Path, names: list[str], rows: list[bytes]) -> Expected:
    settings = settings_of(folder, urls(names), rows)
    return inputs.expected(settings, key_maker(settings))


def found(name: str, place: str) -> Found:
    return Found(f"images/{name}", 5, f"e-{place}")


def test_the_last_row_that_counts_says_where_the_object_is(tmp_path: Path) -> None:
    rows = [row(IN[0], S3), row(IN[0], LOCAL), row(OUT[0], LOCAL), row(OUT[0], S3), row(OUT[1], LOCAL)]
    expected = expected_of(tmp_path, [IN[0], OUT[0], OUT[1], IN[1], OUT[2]], rows)
    assert [expected.place_of(number) for number in range(5)] == [S3, S3, LOCAL, S3, LOCAL]
    assert expected.elsewhere == 0
    for number, (name, place) in enumerate([(IN[0], S3), (OUT[0], S3), (OUT[1], LOCAL)]):
        assert expected.see(found(name, place), place) == number
    assert expected.counts().complete == 3


def test_file_with_a_row_is_superfluous_once_its_url_is_in_the_bucket(tmp_path: Path) -> None:
    rows = [row(IN[0], LOCAL), row(IN[0], S3), row(IN[1], LOCAL), row(OUT[0], LOCAL), row(OUT[0], S3)]
    expected = expected_of(tmp_path, [IN[0], IN[1], OUT[0], IN[2]], rows)
    files = [found(name, LOCAL) for name in (IN[0], IN[1], OUT[0], IN[2])]
    assert [expected.see(file, LOCAL) for file in files] == [None] * 4
    assert [expected.has_row(file, LOCAL) for file in files] == [True, True, True, False]
    # The second is still the only copy; the third belongs in the folder today.
    assert [expected.is_superfluous(file, LOCAL) for file in files] == [True, False, False, False]
    assert (expected.elsewhere, expected.counts().not_tried) == (0, 2)
