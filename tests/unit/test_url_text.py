"""The read rule: which URLs a text holds."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3 import url_text
from cdn2s3.url_text import are_whole, doubt_about, found_in, schemes_in, urls_in

A, B, C = "https://cdn.example/a.png?v=1", "https://cdn.example/b%20c.png?v=2", "http://img.example/ü/c"

ONE = [
    pytest.param(A, id="plain"),
    pytest.param("HTTPS://cdn.example/A.JPG", id="upper-case-scheme"),
    pytest.param("https://cdn.example/my photo (1), final.jpg", id="blanks-commas-and-brackets"),
    pytest.param("https://proxy.example/?url=https://cdn.example/a.jpg", id="url-in-the-query"),
    pytest.param("https://proxy.example/resize/https://cdn.example/a.jpg", id="url-in-the-path"),
    pytest.param("https://cdn.example/image;s=1280x1024", id="semicolon"),
    pytest.param("https://cdn.example/a?fit=around|750:500", id="bar"),
    pytest.param("https://cdn.example/w_300,h_200/a.jpg", id="comma"),
    pytest.param("https://en.example/wiki/File:Foo_(bar)", id="brackets"),
    pytest.param("https://cdn.example/it's.jpg'", id="quote-that-nothing-opened"),
    pytest.param("https://cdn.example/a|https", id="no-second-scheme"),
]


@pytest.mark.parametrize("text", ONE)
def test_url_stays_as_it_is(text: str) -> None:
    assert found_in(text) == ([text], [], False)
    assert schemes_in(text) == 1


TRIMMED = [" ", "\xa0", "\u200b", "\ufeff", "\r\n", "\t", "\u2003", "\u3000", "\x00", ",", " ;", "|"]


@pytest.mark.parametrize("end", TRIMMED, ids=ascii)
def test_ends_are_trimmed_and_counted(end: str) -> None:
    assert found_in(A + end) == ([A], [], True)
    assert found_in(end + A) == ([A], [], True)


SEVERAL = [
    pytest.param(f"{A}, {B}, {C}", id="woocommerce"),
    pytest.param(f"{A},{B},{C}", id="commas"),
    pytest.param(f"{A};{B} ;{C};", id="semicolons"),
    pytest.param(f"{A}|{B}|{C}|", id="bars"),
    pytest.param(f"{A} {B} {C}", id="blanks"),
    pytest.param(f"{A}\n{B}\r\n\r\n{C}\n", id="lines"),
    pytest.param(f"{A} 1x, {B} 2x,{C} 2.5x", id="srcset-densities"),
    pytest.param(f"{A} 300w,\n {B} 600w, {C} 1200w 800h", id="srcset-widths"),
    pytest.param(f"['{A}', '{B}', '{C}']", id="python-list"),
    pytest.param(f'["{A}","{B}","{C}"]', id="json-list"),
    pytest.param(f"{{'a':'{A}','b':'{B}','c':'{C}'}}", id="python-dict"),
    pytest.param(f'a:2:{{i:0;s:30:"{A}";i:1;s:9:"{B}";i:2;s:1:"{C}";}}', id="php"),
    pytest.param(f"<{A}>, <{B}>, <{C}>", id="angle-brackets"),
    pytest.param(f"{A} | {B} | {C}", id="bars-and-blanks"),
    pytest.param(f"{{{A},{B},{C}}}", id="postgres-array"),
    pytest.param(f"[{A}, {B}, {C}]", id="list-without-quotes"),
]


@pytest.mark.parametrize("text", SEVERAL)
def test_several_are_cut_before_the_next_scheme(text: str) -> None:
    assert urls_in(text) == [A, B, C]
    assert schemes_in(text) == 3


def test_one_scheme_in_a_list_of_urls_that_hold_urls() -> None:
    nested = "https://proxy.example/?a,b=https://cdn.example/a.jpg"
    assert urls_in(f"{nested}, {A} {nested}") == [nested, A, nested]


REST = [
    pytest.param("//cdn.example/a.jpg", ["//cdn.example/a.jpg"], id="protocol-relative"),
    pytest.param(" a.jpg ", ["a.jpg"], id="name"),
    pytest.param(
        "/resize?url=https://cdn.example/a.jpg", ["/resize?url=https://cdn.example/a.jpg"], id="path"
    ),
    pytest.param("n/a", ["n/a"], id="no-address"),
    pytest.param("", [], id="empty"),
    pytest.param(" \xa0\n", [], id="blank"),
]


@pytest.mark.parametrize(("text", "rest"), REST)
def test_text_without_a_scheme_is_given_back(text: str, rest: list[str]) -> None:
    found = found_in(text)
    assert (found.urls, found.rest) == ([], rest)


def test_names_before_a_url_are_not_lost_and_labels_are_none() -> None:
    assert found_in(f"a.jpg, {A}")[:2] == ([A], ["a.jpg"])
    assert found_in(f"//cdn.example/x, {A}")[:2] == ([A], ["//cdn.example/x"])
    assert found_in(f"Photo: {A}")[:2] == ([A], [])
    assert found_in(f"url={A}")[:2] == ([A], [])


DOUBTS = [
    ("https://cdn.example/a.jpg,cat", "image's ending"),
    ("https://cdn.example/a.jpg;v=2", "image's ending"),
    ("https://cdn.example/a.JPEG%20cat", "image's ending"),
    ("https://cdn.example/a.png b.png", "image's ending"),
    ("https://cdn.example/a?w=300&amp;h=200", "&amp;"),
    ("https://cdn.example/a?w=300&#038;h=200", "&amp;"),
    (A, ""),
    ("https://cdn.example/a.jpg?x=1,2", ""),
    ("https://cdn.example/v1.png/2,3/a.jpg", ""),
]


@pytest.mark.parametrize(("url", "doubt"), DOUBTS)
def test_what_is_odd_about_a_url(url: str, doubt: str) -> None:
    assert doubt in doubt_about(url)
    assert bool(doubt_about(url)) == bool(doubt)


@given(st.text("ab/:,;| '\"[]()<>.?=\n\xa0htps", max_size=60))
def test_any_text_is_read_and_read_again_the_same(text: str) -> None:
    for url in urls_in(text):
        assert url.lower().startswith(("http://", "https://"))
        assert "\n" not in url
        assert urls_in(url) == [url]


def test_whole_texts_have_the_characters_of_one_url() -> None:
    for code in range(0x21, 0x100):
        text = f"https://cdn.test/{chr(code)}.jpg"
        assert are_whole([text]) == bool(url_text._ONE_URL.fullmatch(text)), text
