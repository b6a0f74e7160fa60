"""A number and what it counts."""

from __future__ import annotations

import pytest

from cdn2s3.text import counted


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 URLs"), (1, "1 URL"), (2, "2 URLs"), (1_005, "1,005 URLs")], ids=str
)
def test_plural_is_of_all_numbers_but_one(number: int, said: str) -> None:
    assert counted(number, "URL") == said


def test_plural_that_is_not_one_with_an_s() -> None:
    assert counted(1, "object gone", "objects gone") == "1 object gone"
    assert counted(100, "object gone", "objects gone") == "100 objects gone"
