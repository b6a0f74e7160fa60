"""How the API learns who asks, and that nobody else does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import requests

from cdn2s3.collection.api import token_command
from cdn2s3.collection.api.auth import Auth
from cdn2s3.collection.api.client import api_session
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build

BASE = "https://api.test/images?type=upload&api_key=s3cr%65t&tag=a&tag=b"


def auth(base: str = BASE, **settings: str) -> Auth:
    return Auth(build(CollectionSettings, {"API_BASE_URL": base, **settings}, {}, Path("collection.env")))


def sent(**settings: str) -> dict[str, str]:
    """Return the headers that a request goes out with, without those of every request."""
    built = build(CollectionSettings, {"API_BASE_URL": BASE, **settings}, {}, Path("collection.env"))
    with api_session(built) as session:
        headers = dict(session.prepare_request(requests.Request("GET", BASE)).headers)
    usual = {"User-Agent", "Accept-Encoding"} | (
        {"Accept"} if headers["Accept"] == "application/json" else set()
    )
    return {name: value for name, value in headers.items() if name not in usual}


def header(mine: Auth) -> str:
    return mine(requests.Request("GET", BASE).prepare()).headers["Authorization"]


TOKEN = {"API_AUTH_TOKEN": "t"}
BASIC = {"API_AUTH_TOKEN": "u:p", "API_AUTH_SCHEME": "Basic"}
KEY = {"API_AUTH_TOKEN": "key:", "API_AUTH_SCHEME": "basic"}
ENCODED = {"API_AUTH_TOKEN": "dTpw", "API_AUTH_SCHEME": "Basic"}
MORE = {"API_HEADERS": "X-Shop: 5|Accept: a/b ; q=1 | c"}
BOTH = {"API_HEADERS": "Cookie: a=b", **TOKEN, "API_AUTH_HEADER": "X-Key", "API_AUTH_SCHEME": ""}
HEADERS: list[Any] = [
    pytest.param(TOKEN, {"Authorization": "Bearer t"}, id="bearer"),
    pytest.param(BASIC, {"Authorization": "Basic dTpw"}, id="basic"),
    pytest.param(KEY, {"Authorization": "basic a2V5Og=="}, id="a key as the user"),
    pytest.param(ENCODED, {"Authorization": "Basic dTpw"}, id="encoded already"),
    pytest.param({"API_AUTH_TOKEN": "u:p"}, {"Authorization": "Bearer u:p"}, id="a colon elsewhere"),
    pytest.param({**TOKEN, "API_AUTH_PARAM": "key"}, {}, id="in the query"),
    pytest.param(MORE, {"X-Shop": "5", "Accept": "a/b ; q=1 | c"}, id="further ones"),
    pytest.param(BOTH, {"Cookie": "a=b", "X-Key": "t"}, id="both"),
]


@pytest.mark.parametrize(("settings", "headers"), HEADERS)
def test_headers(settings: dict[str, str], headers: dict[str, str]) -> None:
    assert sent(**settings) == headers


NEXT = "https://api.test/images?type=upload&api_key=s3cret&page=2&token=t%2F0ken"


def test_url_is_kept_without_what_is_secret_and_sent_with_it() -> None:
    mine = auth(API_AUTH_TOKEN="t/0ken")
    hidden = mine.hidden(NEXT)
    assert hidden == "https://api.test/images?type=***&api_key=***&page=2&token=***"
    assert mine.hidden(hidden) == hidden
    assert (
        mine.revealed(hidden) == "https://api.test/images?type=upload&api_key=s3cr%65t&page=2&token=t%2F0ken"
    )


def test_other_values_of_the_same_name_are_kept() -> None:
    url = "https://api.test/images?type=video&tag=a&tag=c&api_key=other"
    assert auth().hidden(url) == url
    assert auth().revealed(url) == url


@pytest.mark.parametrize(
    "url", ["https://api.test/images", "https://api.test/images?page=2", "https://api.test/i?api_key=***"]
)
def test_token_in_the_query_is_added_once(url: str) -> None:
    mine = auth("https://api.test/images", API_AUTH_TOKEN="a b&c", API_AUTH_PARAM="api_key")
    sent = mine.revealed(url)
    assert sent.count("api_key=a%20b%26c") == 1
    assert "***" not in sent
    assert "a%20b" not in mine.hidden(sent)


def test_secrets_are_named_in_each_form_that_the_api_may_quote() -> None:
    mine = auth(API_AUTH_TOKEN="user:pass/word", API_AUTH_SCHEME="Basic", API_HEADERS="X-Key: h3ader")
    assert {"user:pass/word", "pass/word", "dXNlcjpwYXNzL3dvcmQ=", "h3ader", "s3cret"} <= set(mine.secrets())
    assert "upload" not in set(mine.secrets())


@pytest.mark.parametrize(
    "output",
    [
        "abc.def",
        "abc.def\n",
        "  abc.def\r\n",
        "Bearer abc.def",
        '{"access_token": "abc.def", "expires_in": 3600}',
    ],
)
def test_output_of_the_command_is_the_token(output: str) -> None:
    mine = auth(API_TOKEN_COMMAND=f"printf %s '{output.strip()}'")
    assert header(mine) == "Bearer abc.def"
    assert token_command._token_in(output.encode(), "Bearer", "x") == "abc.def"


@pytest.mark.parametrize(
    ("output", "said"),
    [
        ("", "printed nothing"),
        ("a b", "something other"),
        ("a\nb", "something other"),
        ("é", "something other"),
        ("{}", "something other"),
    ],
)
def test_output_that_is_no_token_is_said_without_it(output: str, said: str) -> None:
    with pytest.raises(FatalError, match=f"{said}.*the token alone") as caught:
        token_command._token_in(output.encode(), "Bearer", "x")
    assert "a b" not in str(caught.value)


def test_command_that_fails_is_quoted() -> None:
    with pytest.raises(
        FatalError, match=r"\(sh\) ended with exit code 3 and said: no login\. Run it by hand"
    ) as caught:
        auth(API_TOKEN_COMMAND="sh -c 'echo first >&2; echo no login >&2; exit 3'")
    assert caught.value.exit_code == 3


def test_command_that_is_not_there_is_fixable() -> None:
    with pytest.raises(UsageError, match="no-such-program cannot be run"):
        auth(API_TOKEN_COMMAND="no-such-program --password s3cret")


def test_command_that_hangs_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(token_command, "SECONDS", 0.1)
    with pytest.raises(FatalError, match="did not end within"):
        auth(API_TOKEN_COMMAND="sleep 60")


def test_token_is_renewed_by_the_command_alone(tmp_path: Path) -> None:
    counter = tmp_path / "n"
    counter.write_text("")
    mine = auth(API_TOKEN_COMMAND=f"sh -c 'echo >> {counter}; wc -l < {counter} | tr -d \" \"'")
    assert header(mine) == "Bearer 1"
    assert mine.renew()
    assert header(mine) == "Bearer 2"
    assert not auth(API_AUTH_TOKEN="t").renew()
    assert not auth(API_TOKEN_COMMAND="echo same").renew()
