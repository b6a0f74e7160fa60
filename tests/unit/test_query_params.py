"""Parameters of the query in keys: readable, the extension at the end, and never two URLs with one key by them."""

from __future__ import annotations

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from cdn2s3.keys import InvalidUrl, KeyMaker, Naming
from cdn2s3.query_params import joined, normal, without
from tests.properties import examples

PREFIX = "https://cdn.example/"


def key_of(url: str, *params: str, preserve: bool = True) -> str:
    return KeyMaker(Naming(PREFIX, "", preserve, key_params=params)).address(PREFIX + url).key


@pytest.mark.parametrize(
    ("url", "key"),
    [
        pytest.param("uc?id=1", "uc~id=1", id="no extension"),
        pytest.param(
            "a/photo.jpg?v=2&w=300", "a/photo~w=300.jpg", id="before the extension, others left out"
        ),
        pytest.param("photo.jpg?id=5&w=300", "photo~id=5~w=300.jpg", id="two"),
        pytest.param("photo.jpg?w=300&id=5", "photo~w=300~id=5.jpg", id="in the order of the URL"),
        pytest.param("photo.jpg", "photo.jpg", id="none of them"),
        pytest.param("photo.jpg?w", "photo~w.jpg", id="without a value"),
        pytest.param("photo.jpg?w=", "photo~w=.jpg", id="empty"),
        pytest.param("a~b.jpg", "a~~b.jpg", id="tilde in a plain name"),
        pytest.param("~u/a.jpg?w=1", "~u/a~w=1.jpg", id="tilde in a folder"),
        pytest.param("img/?id=7", "img/~id=7", id="no file name"),
        pytest.param("get?id=a/b.c", "get~id=a%2fb%2ec", id="slash and dot"),
        pytest.param("get?id=a%2Fb", "get~id=a%2Fb", id="slash, encoded"),
        pytest.param("get?id=caf%c3%a9%20x", "get~id=café x", id="readable"),
        pytest.param("get?id=cat.jpg", "get~id=cat~.jpg", id="an image's name in the value"),
        pytest.param(
            "get.php?id=cat.JPG", "get.php~id=cat~.JPG", id="an image's name in the value of a script"
        ),
        pytest.param("get.png?id=cat.jpg", "get~id=cat%2ejpg.png", id="the path's own ending wins"),
    ],
)
def test_values_join_the_file_name(url: str, key: str) -> None:
    assert key_of(url, "id", "w") == key


_NAMES = st.text("a~.-", min_size=1, max_size=5)
_VALUES = st.lists(
    st.sampled_from(
        ["a", "~", ".", "/", "=", "?", "%2F", "%2e", "%7E", "%3F", "é", ".jpg", "%", "+", "%2B", "\\"]
    ),
    max_size=3,
)
_QUERIES = st.lists(
    st.tuples(st.sampled_from(["id", "w", "v"]), st.sampled_from(["", "="]), _VALUES.map("".join)), max_size=3
)


def _query(params: list[tuple[str, str, str]]) -> str:
    return "&".join(name + (f"{equals}{value}" if equals else "") for name, equals, value in params)


@examples(1500)
@given(_NAMES, _QUERIES, _NAMES, _QUERIES)
def test_two_urls_that_differ_in_name_or_value_have_two_keys(
    one: str, one_query: list[tuple[str, str, str]], other: str, other_query: list[tuple[str, str, str]]
) -> None:
    keys = KeyMaker(Naming(PREFIX, "", True, ignored_params=("v",), key_params=("id", "w")))
    lines = [
        f"{PREFIX}{name}?{_query(query)}".encode() for name, query in ((one, one_query), (other, other_query))
    ]
    try:
        first, second = (keys.known(line) for line in lines)
    except InvalidUrl:
        assume(False)
    assert (first[0] == second[0]) is (first[3] == second[3])


@pytest.mark.parametrize(
    ("query", "left"),
    [
        ("Expires=1&Signature=x", ""),
        ("w=3&Expires=1", "w=3"),
        ("expires=1", "expires=1"),
        ("Key%2DPair-Id=1&w=3", "w=3"),
        ("&&w=3", "&&w=3"),
        ("Expires", ""),
    ],
)
def test_ignored_parameters_go(query: str, left: str) -> None:
    assert without(query, frozenset({"Expires", "Signature", "Key-Pair-Id"})) == left


@given(st.text("a%2f7eE/~"))
def test_normal_form_is_one(target: str) -> None:
    assert normal(normal(target.replace("%", "%25"))) == normal(target.replace("%", "%25"))


def test_name_without_parameters_only_doubles_its_tildes() -> None:
    assert joined("a~.jpg", []) == "a~~.jpg"
