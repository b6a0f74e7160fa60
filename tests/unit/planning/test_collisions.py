"""What a person is told of URLs with one key: what tells them apart, and the settings that end it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdn2s3.planning.collisions import Collision, collisions_text, remedies
from cdn2s3.planning.query_differences import told_apart
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.loading import build

PREFIX = "https://cdn.example/"


def settings(folder: Path, **values: str) -> MigrationSettings:
    given = {"DESTINATION_BUCKET": "bucket", "URL_PREFIX": PREFIX, "STATE_DIR": str(folder), **values}
    return build(MigrationSettings, given, {}, Path("migration.env"))


def pair(first: str, second: str) -> Collision:
    return Collision("images/x", PREFIX + first, PREFIX + second)


@pytest.mark.parametrize(
    ("first", "second", "offered"),
    [
        pytest.param("uc?id=1", "uc?id=2", ["KEY_QUERY_PARAMS=id", "IGNORED_QUERY_PARAMS=id"], id="an id"),
        pytest.param(
            "a.jpg?w=3&v=1", "a.jpg?v=1", ["KEY_QUERY_PARAMS=w", "IGNORED_QUERY_PARAMS=w"], id="absent"
        ),
        pytest.param(
            "a.jpg?Expires=1&Signature=x",
            "a.jpg?Expires=2&Signature=y",
            ["IGNORED_QUERY_PARAMS=Expires,Signature"],
            id="signatures",
        ),
        pytest.param(
            "a.jpg?w=1&token=x",
            "a.jpg?w=2&token=y",
            ["KEY_QUERY_PARAMS=w", "IGNORED_QUERY_PARAMS=w,token"],
            id="a width and a token",
        ),
        pytest.param("x/a.jpg?w=1", "y/a.jpg?w=2", ["PRESERVE_PATH_STRUCTURE=true"], id="the path too"),
    ],
)
def test_settings_are_offered_by_what_differs(
    tmp_path: Path, first: str, second: str, offered: list[str]
) -> None:
    lines = [remedy.line for remedy in remedies(settings(tmp_path), [pair(first, second)])]
    assert lines == [*offered, "ON_COLLISION=first"]


def test_offer_of_key_query_params_works_and_shows_both_keys(tmp_path: Path) -> None:
    both = pair("a/uc?x=0&id=1", "a/uc?x=0&id=2")
    (line, meaning, _), *_ = remedies(settings(tmp_path), [both])
    assert meaning == "the values join the key, for example images/uc~id=1 and images/uc~id=2"
    keys = key_maker(settings(tmp_path, **dict([line.split("=")])))
    assert keys.address(both.first).key != keys.address(both.second).key


@pytest.mark.parametrize(
    ("first", "second", "shown"),
    [
        ("uc?id=1", "uc?id=2", ["uc?id=1", "uc?id=2"]),
        ("uc?k=s3cret&id=1", "uc?k=s3cret&id=2", ["uc?id=1&***", "uc?id=2&***"]),
        ("a?token=s3cret", "a?token=other", ["a?***", "a?***"]),
        ("a?X-Amz-Signature=s3cret&w=1", "a?w=2", ["a?w=1&***", "a?w=2"]),
        ("x/a?w=s3cret", "y/a?w=2", ["x/a?***", "y/a?***"]),
    ],
)
def test_urls_show_what_tells_them_apart_and_no_secret(first: str, second: str, shown: list[str]) -> None:
    assert told_apart(pair(first, second).urls) == [PREFIX + url for url in shown]


def test_text_says_that_only_the_query_differs(tmp_path: Path) -> None:
    said = "\n".join(collisions_text(settings(tmp_path), 1, [pair("uc?id=1", "uc?id=2")]))
    assert "differ only in the query, in id" in said
    assert "\nKEY_QUERY_PARAMS=id" in said
