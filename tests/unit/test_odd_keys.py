"""Which keys are odd to stores other than AWS, and what of them is named."""

from __future__ import annotations

import pytest

from cdn2s3.odd_keys import oddity


@pytest.mark.parametrize(
    "key",
    [
        "a.jpg",
        "images/a b.jpg",
        "images/.hidden",
        "images/a..b/c",
        ".cdn2s3",
        "a/" + "n" * 255,
        "ü" * 127,
        "..a/b",
    ],
)
def test_plain_key(key: str) -> None:
    assert oddity(key) == ""


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("images//a.jpg", "//"),
        ("/a.jpg", "//"),
        ("a///b", "//"),
        ("images/./a.jpg", "/./"),
        ("./a.jpg", "/./"),
        ("images/.", "/./"),
        ("images/..", "/./"),
        ("images/a/", "at its end"),
        ("a/" + "n" * 256, "over 255 bytes"),
        ("ü" * 128, "over 255 bytes"),
        ("n" * 256 + "/a", "over 255 bytes"),
    ],
)
def test_odd_key_is_named(key: str, named: str) -> None:
    assert named in oddity(key)
