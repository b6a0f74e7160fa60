"""The secrets of SOURCE_HEADERS are in no text, however the CDN repeats them."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

from cdn2s3.cdn.source_headers import Concealer, rest_of_head
from cdn2s3.errors import UsageError
from cdn2s3.http.dialing import Origin
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build, redacted_values

SECRETS = "Authorization: Bearer t0ken-1234 | Cookie: session=c00kie-55; lang=de | Referer: https://www.example.com/"


def settings(value: str) -> MigrationSettings:
    given = {"DESTINATION_BUCKET": "bucket", "SOURCE_HEADERS": value}
    return build(MigrationSettings, given, {}, Path("migration.env"))


def test_headers_are_read_and_their_values_are_secret() -> None:
    found = settings(SECRETS)
    assert found.source_headers.pairs == (
        ("Authorization", "Bearer t0ken-1234"),
        ("Cookie", "session=c00kie-55; lang=de"),
        ("Referer", "https://www.example.com/"),
    )
    shown = redacted_values(found)["SOURCE_HEADERS"]
    assert shown == "Authorization: *** | Cookie: *** | Referer: ***"
    assert "t0ken" not in repr(found) + str(found)
    assert pickle.loads(pickle.dumps(found)).source_headers.pairs == found.source_headers.pairs  # ours


@pytest.mark.parametrize(
    "value",
    [
        "Range: bytes=0-9",
        "If-None-Match: x",
        "if-modified-since: x",
        "Accept-Encoding: gzip",
        "Host: elsewhere.example",
        "Connection: close",
        "Content-Length: 5",
        "Expect: 100-continue",
        "TE: trailers",
        "no colon",
        "Cookie:",
        "A: 1 | a: 2",
    ],
)
def test_headers_that_would_change_what_comes_are_refused_without_their_value(value: str) -> None:
    with pytest.raises(UsageError, match=r"SOURCE_HEADERS=\*\*\*: must be headers") as caught:
        settings(value)
    assert "bytes=0-9" not in str(caught.value)


@pytest.mark.parametrize(
    ("said", "shown"),
    [
        ("no access for t0ken-1234", "no access for ***"),
        ("https://sso.example/session/c00kie-55/", "https://sso.example/***/***/"),
        ("https://www.example.com/login", "https://www.example.com/login"),
        ("lang de", "lang de"),
    ],
)
def test_what_the_cdn_says_is_concealed(said: str, shown: str) -> None:
    assert Concealer(settings(SECRETS).source_headers.pairs)(said) == shown


def test_nothing_is_concealed_without_headers() -> None:
    assert Concealer()("anything") == "anything"


def test_head_keeps_host_first_and_replaces_by_any_case() -> None:
    head = rest_of_head(Origin("https", "cdn.example", 443), (("user-agent", "me"), ("X-Key", "1")))
    assert head.split(b"\r\n") == [
        b"Host: cdn.example",
        b"Accept: */*",
        b"Accept-Encoding: identity",
        b"user-agent: me",
        b"X-Key: 1",
        b"",
        b"",
    ]
