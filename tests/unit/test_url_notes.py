"""What is odd about URLs is counted by kind, shown with one example, and has no secret in it."""

from __future__ import annotations

import pytest

from cdn2s3.url_notes import UrlNotes, oddities

U = "https://cdn.example/"


@pytest.mark.parametrize(
    ("rest", "says"),
    [
        ("a.jpg,cat", ["more text after the image's ending"]),
        ("a.jpg;v=2", ["more text after the image's ending"]),
        ("a.jpg?w=300&amp;h=200", ["&amp;"]),
        ("a.jpg#x", ["a #"]),
        ("a\\b.jpg", ["%5C"]),
        ("a b.jpg#x", ["a #", "%20"]),
        ("a.jpg", []),
        ("a%20b.jpg?w=1&h=2", []),
        ("a.jpg\tkey=b c#.jpg", []),
    ],
)
def test_odd_urls_are_told(rest: str, says: list[str]) -> None:
    found = oddities(U + rest)
    assert len(found) == len(says)
    assert all(part in what for part, what in zip(says, found))


def test_each_kind_has_its_count_and_its_first_example() -> None:
    notes = UrlNotes()
    for name in ("one", "two"):
        notes.look(f"{U}{name}.jpg?token=s3cret#x")
    notes.look(f"{U}a\\b.jpg")
    assert notes.lines() == [
        f"2 with a #: the part after it is not requested; for example {U}one.jpg?***#x",
        f"1 with a \\ in the path, requested as %5C; for example {U}a\\b.jpg",
    ]
