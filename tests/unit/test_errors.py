"""The error tree, the table of causes, and what redact hides."""

from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3 import errors
from cdn2s3.errors import CAUSES, OUTAGE_CAUSES, FatalError, MigrationError, UsageError
from cdn2s3.text import printable, redact
from tests.properties import examples

CANARY = "CANARY7f3a"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a b.jpg", "a b.jpg"),
        ("ü 😀", "ü 😀"),
        ("a\udcff\udc80.jpg", "a%FF%80.jpg"),
        ("\x1b[2J\x85", "\\x1b[2J\\x85"),
        ("\ud800", "\\ud800"),
    ],
    ids=["plain", "letters", "bytes that are not UTF-8", "control characters", "a surrogate that is no byte"],
)
def test_printable_escapes_what_a_terminal_would_not_show(text: str, said: str) -> None:
    assert printable(text) == said


def test_causes_are_the_documented_ones() -> None:
    documented = (
        "malformed other_host collision not_found forbidden throttled server_error timeout connection truncated empty "
        "not_an_image conflict unverified key_refused destination unstable"
    )
    assert " ".join(CAUSES) == documented
    assert all(name == cause.name for name, cause in CAUSES.items())


def test_causes_outside_the_error_rate_are_the_documented_ones() -> None:
    expected = {name for name, cause in CAUSES.items() if not cause.unexpected}
    assert expected == {
        "not_found", "forbidden", "malformed", "other_host", "not_an_image", "empty", "conflict", "collision",
        "key_refused",
    }  # fmt: skip


def test_outage_causes_are_causes() -> None:
    assert set(CAUSES) > OUTAGE_CAUSES


@pytest.mark.parametrize("cause", CAUSES.values(), ids=lambda cause: cause.name)
def test_cause_speaks_to_a_person_on_one_line(cause: errors.Cause) -> None:
    for words in (cause.meaning, cause.remedy):
        assert words and words.isprintable() and not words.endswith(".")


@pytest.mark.parametrize(
    "kind", [errors.PermanentError, errors.TransientError, errors.Cancelled, FatalError, UsageError]
)
def test_error_has_the_one_root(kind: type[Exception]) -> None:
    assert issubclass(kind, MigrationError)


@pytest.mark.parametrize(
    "error",
    [
        errors.PermanentError("not_found", "the CDN answered 404", status=404),
        errors.TransientError("throttled", "the bucket answered 503 SlowDown to PUT", 7.0, 503, "SlowDown"),
    ],
    ids=["permanent", "transient"],
)
def test_error_says_its_message_and_survives_pickling(error: errors.MigrationError) -> None:
    copy = pickle.loads(pickle.dumps(error))  # our own bytes
    assert str(copy) == str(error) == error.args[-1]
    assert vars(copy) == vars(error)


def test_exit_codes_stand_in_the_error_classes_and_in_help() -> None:
    assert (FatalError.exit_code, UsageError.exit_code) == (3, 2)
    assert (errors.EXIT_SIGINT, errors.EXIT_SIGTERM) == (130, 143)
    for code in ("0 ", "1 ", "2 ", "3 ", "129 / 130 / 143"):
        assert f"\n  {code}" in errors.EXIT_CODES_HELP


@pytest.mark.parametrize(
    ("text", "redacted"),
    [
        pytest.param("GET https://h/a.jpg", "GET https://h/a.jpg", id="nothing to hide"),
        pytest.param("https://u:p@h/a.jpg", "https://***@h/a.jpg", id="user and password"),
        pytest.param("https://u:p@ss@h/a.jpg", "https://***@h/a.jpg", id="password with an @"),
        pytest.param("https://h/a.jpg?t=1&u=2#f", "https://h/a.jpg?***#f", id="query before a fragment"),
        pytest.param("https://h?t=1", "https://h?***", id="query without a path"),
        pytest.param("https://h/a b.jpg?t=1", "https://h/a b.jpg?***", id="query after a blank in the path"),
        pytest.param("https://h/?a=1 https://h/?b=2", "https://h/?*** https://h/?***", id="two URLs"),
        pytest.param(
            "HTTPSConnectionPool(host='h'): Max retries exceeded with url: /a.jpg?t=1 (Caused by X)",
            "HTTPSConnectionPool(host='h'): Max retries exceeded with url: /a.jpg?*** (Caused by X)",
            id="path without its host, as urllib3 writes it",
        ),
        pytest.param("to (https://h/a?***): no", "to (https://h/a?***): no", id="redacted already"),
        pytest.param("https://h/a?***):t=1 no", "https://h/a?*** no", id="a query that begins so"),
        pytest.param("is https://h/ there? yes", "is https://h/ there? yes", id="a question"),
        pytest.param("items[?state=='sold'].url", "items[?state=='sold'].url", id="a JMESPath filter"),
        pytest.param("", "", id="empty"),
    ],
)
def test_redact(text: str, redacted: str) -> None:
    assert redact(text) == redacted


_NO_BLANKS = st.text("ab:@?&=%é/", max_size=4)


@examples(300)
@given(
    user=st.text("ab:@%é", max_size=4),
    path=st.text("ab /%é", max_size=8),
    query=_NO_BLANKS,
    around=st.text(max_size=5),
)
def test_redact_hides_the_user_part_and_the_query_wherever_the_url_stands(
    user: str, path: str, query: str, around: str
) -> None:
    url = f"https://{user}{CANARY}@h.example/{path}?{query}{CANARY}"
    hidden = redact(f"{around} {url} {around}")
    assert CANARY not in hidden
    assert "h.example" in hidden


@examples(300)
@given(st.text("ab:/@?# \n=", max_size=40))
def test_redact_twice_is_redact_once(text: str) -> None:
    assert redact(redact(text)) == redact(text)
