"""Which lines are one URL, and what a line may say of its object."""

from __future__ import annotations

import pytest

from cdn2s3.keys import InvalidUrl, KeyMaker, Naming, divided, url_of

KEYS = KeyMaker(
    Naming(
        "https://cdn.example/ http://img.example:8080/a/=shop/", "images/", True, ignored_params=("Expires",)
    )
)


@pytest.mark.parametrize(
    "twin",
    [
        "http://cdn.example/a%20b.jpg",
        "HTTPS://CDN.Example/a%20b.jpg",
        "https://cdn.example:443/a%20b.jpg",
        "http://cdn.example:80/a%20b.jpg",
        "https://cdn.example/a b.jpg",
        "https://cdn.example/%61%20b.jpg",
        "https://cdn.example/a%20b.jpg#x",
        "https://cdn.example/a%20b.jpg?",
        "https://cdn.example/a%20b.jpg?Expires=5",
        "https://cdn.example/a%20b.jpg?Expires=6#y",
    ],
)
def test_twins_are_one_url(twin: str) -> None:
    assert KEYS.object_id(twin.encode()) == KEYS.object_id(b"https://cdn.example/a%20b.jpg")
    assert KEYS.address(twin).source == 0


@pytest.mark.parametrize(
    "other",
    [
        "https://cdn.example/A%20b.jpg",
        "https://cdn.example/a+b.jpg",
        "https://cdn.example/a%2520b.jpg",
        "https://cdn.example/a%20b.jpg?w=1",
        "https://cdn.example//a%20b.jpg",
    ],
)
def test_others_are_others(other: str) -> None:
    assert KEYS.identity(other.encode()) != KEYS.identity(b"https://cdn.example/a%20b.jpg")


def test_each_prefix_has_its_origin_and_place() -> None:
    address = KEYS.address("https://IMG.example:8080/a/1.jpg")
    assert (address.source, address.key) == (1, "images/shop/a/1.jpg")
    assert KEYS.origins == ("https://cdn.example", "http://img.example:8080")
    with pytest.raises(InvalidUrl) as elsewhere:
        KEYS.address("http://img.example:8080/b/1.jpg")
    assert (elsewhere.value.cause, elsewhere.value.is_elsewhere) == ("malformed", True)


def test_longest_prefix_counts() -> None:
    keys = KeyMaker(Naming("https://h/ https://h/a/=x/ https://h/a/b/=y/", "", True))
    assert [keys.address(f"https://h/{path}1").key for path in ("", "a/", "a/b/", "b/")] == [
        "1", "x/a/1", "y/a/b/1", "b/1",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("line", "host"),
    [
        ("https://elsewhere.example/a.jpg", "elsewhere.example"),
        ("http://u:secret@other.example:81/a.jpg", "other.example:81"),
        ("https://[::1]/a.jpg", "[::1]"),
    ],
)
def test_url_of_another_host_names_it(line: str, host: str) -> None:
    with pytest.raises(InvalidUrl) as error:
        KEYS.address(line)
    assert (error.value.cause, error.value.other_host) == ("other_host", host)
    assert "secret" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ("https://cdn.example/a.png?v=1, https://cdn.example/b.png?v=2", "holds 2 URLs"),
        ("https://cdn.example/a.png|https://cdn.example/b.png|https://x/c.png", "holds 3 URLs"),
        ("//cdn.example/a.jpg", "no scheme; put https: before it"),
    ],
)
def test_line_that_cannot_be_one_url_says_why(line: str, why: str) -> None:
    with pytest.raises(InvalidUrl, match=why):
        KEYS.address(line)


@pytest.mark.parametrize(
    "line", ["https://cdn.example/r?url=https://x/a.jpg", "https://cdn.example/a,b;w=3|4.jpg"]
)
def test_url_that_holds_another_or_separators_stays_whole(line: str) -> None:
    assert KEYS.address(line).target.startswith("/")


def test_line_names_its_object() -> None:
    line = b"https://cdn.example/uc?id=1\tkey=cats/tom 1.jpg"
    key, stripped, reversible, identity = KEYS.known(line)
    assert (key, stripped, reversible) == (b"images/cats/tom 1.jpg", True, False)
    assert identity == KEYS.identity(b"http://cdn.example/uc?id=1")
    assert KEYS.address(line.decode()).target == "/uc?id=1"
    assert (
        KEYS.address("https://cdn.example/?id=1\tkey=b").key == "images/b"
    )  # no file name of its own is needed
    assert (url_of(line), divided(line.decode())[1]) == (b"https://cdn.example/uc?id=1", "key=cats/tom 1.jpg")


def test_name_that_the_rule_gives_too_is_the_same_object() -> None:
    plain, named = b"https://cdn.example/a.jpg", b"https://cdn.example/a.jpg\tkey=a.jpg"
    assert KEYS.object_id(plain) == KEYS.object_id(named)
    assert KEYS.known(plain)[2] is KEYS.known(named)[2] is True
    assert KEYS.identity_in_list(plain) != KEYS.identity_in_list(named)  # a collection does not know the rule


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "no file name"),
        ("a/", "no file name"),
        ("../a", "a .. segment"),
        ("a\\..\\b", "a .. segment"),
        ("a\x01", "a control character"),
        ("a\tb", "a control character"),
        ("x" * 1020, "longer than 1024"),
    ],
)
def test_name_is_checked_like_any_key(name: str, why: str) -> None:
    with pytest.raises(InvalidUrl, match=why):
        KEYS.known(f"https://cdn.example/a.jpg\tkey={name}".encode())
