"""Each parser of a setting's text: its bounds, and that it says what is allowed."""

from __future__ import annotations

import pickle
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.settings import parsers, url_parsers
from cdn2s3.settings.parsers import Parser, Secret
from tests.properties import examples

LONG_NUMBER = "9" * 5000  # int() refuses it with words of its own
NO_NUMBERS = ("-1", "+1", " 1", "1 ", "1\n", "1_0", "1e1", "0x1", "٣", LONG_NUMBER)


def _rows(parser: Parser, *texts: str) -> list[Any]:
    return [
        pytest.param(parser, text, id=f"{parser.__qualname__.split('.')[0]} {text[:40]!r}") for text in texts
    ]


@pytest.mark.parametrize(
    ("parser", "text", "value"),
    [
        pytest.param(parsers.whole(0, 20), "0", 0, id="whole, least"),
        pytest.param(parsers.whole(0, 20), "020", 20, id="whole, most"),
        pytest.param(parsers.number(0.1, 3600), "0.1", 0.1, id="number, least"),
        pytest.param(parsers.number(0.1, 3600), "3600", 3600.0, id="number, most"),
        pytest.param(parsers.number(0, 1), ".5", 0.5, id="number without a zero"),
        pytest.param(parsers.flag, "TRUE", True, id="flag, upper case"),
        pytest.param(parsers.flag, "false", False, id="flag"),
        pytest.param(parsers.empty_or(parsers.whole(1, 9)), "", None, id="empty"),
        pytest.param(parsers.empty_or(parsers.whole(1, 9)), "9", 9, id="not empty"),
        pytest.param(parsers.names, "image_url, thumb_url", ("image_url", "thumb_url"), id="names"),
        pytest.param(parsers.path, "a/b", Path("a/b"), id="path"),
        pytest.param(parsers.file_path, "a/b.txt", Path("a/b.txt"), id="file's path"),
        pytest.param(parsers.processes, "auto", "auto", id="processes, auto"),
        pytest.param(parsers.processes, "64", 64, id="processes, most"),
        pytest.param(parsers.key_part, "", "", id="key part, empty"),
        pytest.param(parsers.key_part, "é" * 450, "é" * 450, id="key part of 900 bytes"),
        pytest.param(
            url_parsers.http_url, "http://[::1]:1/a?b=c", "http://[::1]:1/a?b=c", id="URL, IPv6 and port"
        ),
        pytest.param(url_parsers.url_prefix, "https://h/a%20b/", "https://h/a%20b/", id="URL prefix"),
        pytest.param(url_parsers.expression, "", "", id="expression, empty"),
        pytest.param(
            url_parsers.expression, "not_null(a, b, c)", "not_null(a, b, c)", id="expression, any number"
        ),
        pytest.param(url_parsers.url_template, "h/{a || ''}{b}", "h/{a || ''}{b}", id="template"),
        pytest.param(url_parsers.expression, "items[].[a, b][]", "items[].[a, b][]", id="expression"),
        pytest.param(parsers.header_name, "X-Api-Key", "X-Api-Key", id="header's name"),
        pytest.param(parsers.header_text, "", "", id="header's text, empty"),
        pytest.param(parsers.header_text, "public, max-age=1", "public, max-age=1", id="header's text"),
        pytest.param(parsers.text, " any #thing ", " any #thing ", id="text"),
        pytest.param(parsers.one_of("", "a"), "", "", id="one of, empty"),
        pytest.param(url_parsers.endpoint, "http://h:9000/s3", "http://h:9000/s3", id="endpoint"),
    ],
)
def test_parser_takes(parser: Parser, text: str, value: object) -> None:
    result = parser(text)
    assert result == value
    assert type(result) is type(value) or isinstance(value, Path)


@pytest.mark.parametrize(
    ("parser", "text"),
    [
        *_rows(parsers.whole(1, 20), "", "0", "21", "1.0", *NO_NUMBERS),
        *_rows(parsers.number(0.1, 20), "", "0.09", "20.1", "1.", ".", "nan", "inf", *NO_NUMBERS),
        *_rows(parsers.one_of("a", "b"), "", "A", "a ", "c"),
        *_rows(parsers.flag, "", "1", "yes", "true "),
        *_rows(parsers.names, "", ",", "a,", "a,,b", " "),
        *_rows(parsers.path, "", "a\0b"),
        *_rows(parsers.file_path, "", ".", "/", "a\0b"),
        *_rows(parsers.processes, "", "0", "65", "AUTO", LONG_NUMBER),
        *_rows(parsers.key_part, "é" * 450 + "a", "a\tb", "a\nb", "\x7f", "\x85", "\udcff"),
        *_rows(parsers.matching(r"[a-z]+", "letters"), "", "a1", "a\n", "é"),
        *_rows(parsers.header_name, "", "A B", "A:", "Ä", "A\r\nB"),
        *_rows(parsers.header_text, " a", "a ", " ", "a\nb", "ä", "a\tb"),
        *_rows(parsers.secret, " a", "a\r\nb", "ä"),
        *_rows(parsers.headers, "a", "a:", ": b", "a b: c", "a: b | a: c", "A: b | a: c"),
        *_rows(parsers.headers, "a: ä", "Host: h", "content-length: 5"),
        *_rows(parsers.command, "a 'b", " ", "a\nb", '"'),
        *_rows(url_parsers.expression, "a[", "[", "a..b", "a[" + LONG_NUMBER + "]", "(" * 20_000,
              "joi('', a)", "a[].length(@, b)", "not_null()", "a[?starts_with(b)]"),
        *_rows(url_parsers.url_template, "https://h/", "h/{}", "h/{a", "h/a}", "h/{{a}}",
               "h /{a}", "h/{a[}", "h/{joi(a)}"),
        *_rows(
            url_parsers.http_url, "", "h", "ftp://h/", "//h/", "https://", "https:///a", "HTTPS://h/", "https://u@h/",
            "https://u:p@h/", "https://h:0/", "https://h:99999/", "https://h:x/", "https://[::1/",
            "https://h/a b", "https://h/\n", "https://h/\x01", "\x01https://h/", "https://h\\@g/",
            "https://ü.example/", "https://h/\udcff",
        ),
        *_rows(url_parsers.endpoint, "", "h", "http://h?", "https://h/a?b=c", "https://h/#a", "ftp://h/"),
        *_rows(url_parsers.detail_url, "x", "{id}/x", "https://h/x", "https://{id}.h/", "https://h/#{id}", "ftp://h/{id}"),
        *_rows(url_parsers.url_base, "", "cdn.example", "//h/a", "https://h/?a", "https://h/#a", "ftp://h/"),
        *_rows(url_parsers.url_prefix, "", "https://h", "https://h/a", "https://h/?a/", "https://h/#a/", "h/"),
    ],
)  # fmt: skip
def test_parser_refuses_saying_what_is_allowed(parser: Parser, text: str) -> None:
    with pytest.raises(ValueError, match=r"^(?!Exceeds|could not|invalid|'utf)") as refused:
        parser(text)
    assert type(refused.value) is ValueError
    assert str(refused.value).isprintable()


_PARSERS = [
    parsers.whole(0, 10**12), parsers.number(0, 10**6), parsers.one_of("", "a"), parsers.flag, parsers.names,
    parsers.path, parsers.file_path, parsers.processes, parsers.key_part, parsers.header_name, parsers.header_text,
    parsers.secret, url_parsers.url_template, parsers.headers, parsers.command,
    url_parsers.expression, url_parsers.http_url, url_parsers.url_prefix, parsers.text,
    parsers.empty_or(url_parsers.http_url),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::PendingDeprecationWarning")  # jmespath's, for `literals` without quotes
@examples(600)
@given(st.one_of(st.text(max_size=30), st.text("0123456789.[]()'`\"&@|!<>=*?:/\\ ahtps-", max_size=30)))
def test_parsers_of_any_text_raise_nothing_but_value_error(text: str) -> None:
    for parser in _PARSERS:
        try:
            parser(text)
        except ValueError as error:
            assert type(error) is ValueError, parser


@pytest.mark.parametrize(
    ("parser", "words"),
    [
        pytest.param(parsers.number(0.01, 1_000_000), "a number from 0.01 to 1000000", id="number"),
        pytest.param(parsers.whole(1, 10**12), "a whole number from 1 to 1000000000000", id="whole"),
        pytest.param(parsers.one_of("", "a"), "one of (empty), a", id="one of"),
        pytest.param(parsers.file_path, "a file path", id="file's path"),
        pytest.param(parsers.processes, "auto, or a whole number from 1 to 64", id="processes"),
    ],
)
def test_parser_says_what_is_allowed(parser: Parser, words: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(words)}$"):
        parser("\0")


def test_url_prefix_says_that_it_ends_in_a_slash() -> None:
    with pytest.raises(ValueError, match="ends in / and has no query"):
        url_parsers.url_prefix("ftp://h")


def test_secret_shows_in_no_form_but_reveal() -> None:
    token = parsers.secret("CANARY")
    assert token.reveal() == "CANARY"
    for shown in (str(token), repr(token), f"{token}", f"{token!r}", f"{[token]}"):
        assert "CANARY" not in shown


def test_secret_is_true_when_there_is_one() -> None:
    assert Secret("x")
    assert not Secret("")
    assert repr(Secret("")) == "(not set)"


def test_secret_survives_the_way_to_another_process() -> None:
    assert pickle.loads(pickle.dumps(Secret("x"))).reveal() == "x"


def test_headers_are_pairs_whose_values_are_not_shown() -> None:
    parsed = parsers.headers("X-Shop: 5 | Cookie: a=b; c=d | e|Accept: text/*")
    assert parsed.pairs == (("X-Shop", "5"), ("Cookie", "a=b; c=d | e"), ("Accept", "text/*"))
    assert repr(parsed) == "X-Shop: *** | Cookie: *** | Accept: ***"
    assert parsers.headers("").pairs == ()
    assert repr(parsers.headers("")) == "(not set)"
