"""CACHE_CONTROL: which value an object of a type gets, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from cdn2s3.errors import UsageError
from cdn2s3.settings.cache_control import policy
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build

RULES = "IMAGE/*: public, max-age=2592000; image/svg+xml : no-cache;*: max-age=604800"


@pytest.mark.parametrize(
    ("text", "media_type", "value"),
    [
        ("", "image/jpeg", ""),
        ("public, max-age=60", "image/jpeg", "public, max-age=60"),
        ("public, max-age=60", "", "public, max-age=60"),
        ('private="a:b; c", max-age=1', "image/png", 'private="a:b; c", max-age=1'),
        (RULES, "image/jpeg", "public, max-age=2592000"),
        (RULES, "Image/JPEG; q=1", "public, max-age=2592000"),
        (RULES, "image/svg+xml", "no-cache"),
        (RULES, "imagery/jpeg", "max-age=604800"),
        (RULES, "", "max-age=604800"),
        ("*: a; image/*: b; image/png: c", "image/png", "c"),
        ("image/png: c; image/*: b; *: a", "image/png", "c"),
        ("image/png: c", "image/gif", ""),
        ('image/png: private="x:;y", max-age=5; *: b', "image/png", 'private="x:;y", max-age=5'),
        ("text/html:no-store", "text/html; charset=utf-8", "no-store"),
    ],
)
def test_most_specific_rule_wins(text: str, media_type: str, value: str) -> None:
    assert policy(text).of(media_type) == value


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("public; max-age=60", "separated by commas"),
        ("image/*: a; image/*: b", "image/* has two"),
        ("image/*: a; IMAGE/*: b", "image/* has two"),
        ("image/*: a; max-age=5", "'max-age=5' has no type"),
        ("image/*: a;", "one of them is empty"),
        ("; image/*: a", "one of them is empty"),
        ("image/*: ; *: b", "image/* has none"),
        ("image: a", "'image' is none"),
        ("*/jpeg: a", "'*/jpeg' is none"),
        ("image/jpg: a", "write image/jpeg, not image/jpg"),
        ("*/*: a", "write *, not */*"),
        ("image/*: a image/png: b", "second colon"),
        (": a", "'' is none"),
    ],
)
def test_what_cannot_be_meant_is_refused_with_a_reason(text: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        build(
            MigrationSettings,
            {"DESTINATION_BUCKET": "bucket", "CACHE_CONTROL": text},
            {},
            Path("migration.env"),
        )
    assert why in str(refused.value)
    assert refused.value.exit_code == 2


def test_lines_say_what_applies_to_everything() -> None:
    assert policy("").lines() == []
    assert policy("max-age=5").lines() == ["all objects: max-age=5"]
    assert policy(RULES).lines() == [
        "image/svg+xml: no-cache",
        "image/*: public, max-age=2592000",
        "all other types: max-age=604800",
    ]
    assert policy("image/png: a").lines()[-1] == "all other types: no Cache-Control"
