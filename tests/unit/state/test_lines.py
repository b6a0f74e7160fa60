"""Whatever a field holds, its line stays one line with as many fields."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.state.lines import encode, field
from tests.properties import examples


@examples(300)
@given(st.lists(st.text(st.characters(), max_size=20), min_size=1, max_size=7))
def test_encoded_fields_are_one_line_and_as_many_fields(fields: list[str]) -> None:
    line = encode(tuple(fields))
    assert line.endswith(b"\n") and line.count(b"\n") == 1 and line.count(b"\t") == len(fields) - 1
    assert line[:-1].decode().split("\t") == [field(text) for text in fields]


@pytest.mark.parametrize(
    ("text", "encoded"),
    [
        ("a\tb\nc", "a%09b%0Ac"),
        ("\x7f\x00", "%7F%00"),
        pytest.param("\x85\x9b", "%C2%85%C2%9B", id="C1 controls, which a terminal obeys"),
        pytest.param("\udce9", "%E9", id="a byte that is not UTF-8"),
        pytest.param("\ud800", "%ED%A0%80", id="a surrogate of a JSON text"),
        ("ä€😀\u2028", "ä€😀\u2028"),
        ("100%", "100%"),
    ],
)
def test_field(text: str, encoded: str) -> None:
    assert field(text) == encoded
