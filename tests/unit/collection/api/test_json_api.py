"""One page of the API: what is repeated and how long is waited, what is final, what is never shown."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.collection.api.client import Api, api_session
from cdn2s3.collection.api.json_api import STALE_PAGES, ApiSource
from cdn2s3.collection.api.page_request import ApiResponse, PageRequest
from cdn2s3.collection.api.position import PagePosition
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from tests.fakes.api import TOKEN, Answer, ApiServer, Fault

ITEMS = [{"url": f"https://cdn.test/{number}.jpg"} for number in range(25)]
OK = None


def settings_for(server: ApiServer, **more: str) -> CollectionSettings:
    values = {
        "API_BASE_URL": server.url,
        "API_AUTH_TOKEN": TOKEN,
        "API_URLS_FIELD": "items[].url",
        "API_RATE_LIMIT": "10000",
        "API_TIMEOUT": "5",
        "RESULTS_PER_PAGE": "10",
    }
    return build(CollectionSettings, {**values, **more}, {}, Path("collection.env"))


Get = Callable[..., "tuple[ApiResponse, list[float]]"]


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer(ITEMS) as running:
        yield running


def get(server: ApiServer, url: str | None = None, **settings: str) -> tuple[ApiResponse, list[float]]:
    waits: list[float] = []
    built = settings_for(server, **settings)
    with api_session(built) as session:
        request = PageRequest(url or server.url + "?page=1")
        reply = Api(built, session, waits.append).get(request, "page 1")
    if reply.refusal is not None:
        raise reply.refusal
    return reply, [wait for wait in waits if wait > 0.01]


def first(count: int, answer: Answer) -> Fault:
    """Return a fault that answers the first `count` requests."""
    return lambda number, query: answer if number <= count else OK


def test_page_is_the_parsed_json_with_its_link(server: ApiServer) -> None:
    reply, waits = get(server)
    assert reply.content["items"] == ITEMS[:10]
    assert 'rel="next"' in reply.headers["link"]
    assert waits == []


CHARSETS = [
    pytest.param('{"a": "ü€"}'.encode(), "application/json; charset=ISO-8859-1", id="utf-8-that-is-called-latin-1"),
    pytest.param('{"a": "ü€"}'.encode("cp1252"), "application/json; charset=windows-1252", id="windows-1252"),
    pytest.param('{"a": "ü€"}'.encode("utf-8-sig"), "text/html", id="byte-order-mark"),
    pytest.param('{"a": "ü€"}'.encode("utf-16"), "application/json", id="utf-16"),
    pytest.param('{"a": "ü€"}'.encode("shift_jis", "xmlcharrefreplace"), "text/plain; charset=x", id="no-charset"),
]  # fmt: skip


@pytest.mark.parametrize(("body", "kind"), CHARSETS)
def test_json_is_read_in_the_charset_that_it_comes_in(server: ApiServer, body: bytes, kind: str) -> None:
    server.fault = first(1, Answer(200, body, (("Content-Type", kind),)))
    reply, waits = get(server)
    assert "&#" in str(reply.content) or reply.content == {"a": "ü€"}
    assert waits == []


def test_body_in_no_charset_is_no_page(server: ApiServer) -> None:
    server.fault = first(
        9, Answer(200, b'{"a": "\xfc"}', (("Content-Type", "application/json; charset=x-none"),))
    )
    with pytest.raises(FatalError, match="not with JSON"):
        get(server, MAX_RETRIES="0")


def test_method_that_is_not_taken_is_named_with_those_that_are(server: ApiServer) -> None:
    server.fault = first(1, Answer(405, b"{}", (("Allow", "POST, OPTIONS"),)))
    with pytest.raises(FatalError, match="it does not take GET there, but POST, OPTIONS") as caught:
        get(server)
    assert "API_END_STATUS" not in str(caught.value)


def test_token_goes_in_its_header_and_nothing_else_is_sent(server: ApiServer) -> None:
    get(server)
    sent = server.headers[0]
    assert sent.pop("authorization") == f"Bearer {TOKEN}"
    assert set(sent) == {"host", "user-agent", "accept", "accept-encoding"}
    assert sent["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("settings", "header", "value"),
    [
        ({"API_AUTH_HEADER": "X-Api-Key", "API_AUTH_SCHEME": ""}, "x-api-key", TOKEN),
        ({"API_AUTH_SCHEME": "Token"}, "authorization", f"Token {TOKEN}"),
        ({"API_AUTH_TOKEN": ""}, "authorization", None),
    ],
    ids=["own-header", "own-scheme", "no-token"],
)
def test_token_is_sent_as_set(
    server: ApiServer, settings: dict[str, str], header: str, value: str | None
) -> None:
    server.token = ""
    get(server, **settings)
    assert server.headers[0].get(header) == value


REPEATED = [
    pytest.param(Answer(500), id="500"),
    pytest.param(Answer(502), id="502"),
    pytest.param(Answer(503), id="503"),
    pytest.param(Answer(408), id="408"),
    pytest.param(Answer(200, b"<html>maintenance</html>"), id="html"),
    pytest.param(Answer(200, b'{"items": [1, 2'), id="cut-json"),
    pytest.param(Answer(200, b""), id="no-body"),
    pytest.param(Answer(200, b"\xff\xfe\x00"), id="not-utf-8"),
    pytest.param(Answer(200, b"[" * 100_000), id="nested-without-end"),
    pytest.param(Answer(200, b"not gzip", (("Content-Encoding", "gzip"),)), id="broken-gzip"),
    pytest.param(Answer(0, hang_up=True), id="hang-up"),
]


@pytest.mark.parametrize("answer", REPEATED)
def test_failure_that_may_pass_is_repeated_with_backoff(server: ApiServer, answer: Answer) -> None:
    server.fault = first(3, answer)
    reply, waits = get(server)
    assert reply.content["total"] == 25
    assert [least <= wait <= 2 * least for wait, least in zip(waits, (0.5, 1, 2))] == [True] * 3


@pytest.mark.parametrize("answer", REPEATED)
def test_failure_that_stays_stops_the_run(server: ApiServer, answer: Answer) -> None:
    server.fault = first(99, answer)
    with pytest.raises(FatalError, match="did not return page 1 in 3 attempts") as caught:
        get(server, MAX_RETRIES="2")
    assert caught.value.exit_code == 3
    assert len(server.queries) == 3 or answer.hang_up


def test_answer_that_is_no_json_is_told_with_its_url_and_beginning(server: ApiServer) -> None:
    body = b"<html>\n <h1>Sign in</h1>" + b"x" * 200
    server.fault = first(99, Answer(200, body))
    with pytest.raises(FatalError) as caught:
        get(server, MAX_RETRIES="0")
    said = str(caught.value)
    assert f"bytes from {server.url}?***): a login page? It begins with <html> <h1>Sign in</h1>xxx" in said
    assert "x" * 52 + "…" in said
    assert "x" * 60 not in said


def test_beginning_that_is_shown_has_not_the_token(server: ApiServer) -> None:
    server.fault = first(99, Answer(200, b"x" * 75 + TOKEN.encode()))
    with pytest.raises(FatalError, match="begins with xxx") as caught:
        get(server, MAX_RETRIES="0")
    assert TOKEN[:5] not in str(caught.value)
    assert "login" not in str(caught.value)


@pytest.mark.parametrize(("status", "wants"), [(401, "wants"), (403, "may want")])
def test_refusal_without_a_token_says_that_there_is_none(server: ApiServer, status: int, wants: str) -> None:
    server.fault = first(99, Answer(status))
    server.token = ""
    with pytest.raises(FatalError, match=f"API_AUTH_TOKEN is empty, and the API {wants} a token") as caught:
        get(server, API_AUTH_TOKEN="")
    assert "accept" not in str(caught.value)
    assert ("API_HEADERS=User-Agent" in str(caught.value)) == (status == 403)


def test_https_spoken_to_a_server_of_plain_http_is_told(server: ApiServer) -> None:
    with pytest.raises(FatalError, match=r"does not speak TLS: http instead of https\?"):
        get(server, server.url.replace("http:", "https:"), MAX_RETRIES="0")


@pytest.mark.parametrize("status", [204, 400, 404, 410, 416, 422])
def test_refusal_that_may_be_the_end_is_returned(server: ApiServer, status: int) -> None:
    server.fault = first(1, Answer(status))
    built = settings_for(server)
    with api_session(built) as session:
        reply = Api(built, session).get(PageRequest(server.url), "page 5")
    assert (reply.status, reply.content) == (status, None)
    assert f"the API answered {status}" in str(reply.refusal)
    assert f"API_END_STATUS={status}" in str(reply.refusal)


@pytest.mark.parametrize("status", [403, 500, 503])
def test_end_status_is_returned_whatever_it_is(server: ApiServer, status: int) -> None:
    server.fault = first(1, Answer(status))
    built = settings_for(server, API_END_STATUS=str(status))
    with api_session(built) as session:
        assert Api(built, session).get(PageRequest(server.url), "page 5").status == status


FINAL = [
    pytest.param(Answer(401), "API_AUTH_TOKEN", id="401"),
    pytest.param(Answer(403), "API_AUTH_TOKEN", id="403"),
    pytest.param(Answer(404), "API_BASE_URL", id="404"),
    pytest.param(Answer(400), "API_BASE_URL", id="400"),
    pytest.param(Answer(204), "API_BASE_URL", id="204"),
    pytest.param(
        Answer(302, b"", (("Location", "https://login.test/?x=s3cret-canary"),)), "login.test", id="302"
    ),
    pytest.param(
        Answer(301, b"", (("Location", "http://[broken"),)), "cannot be read|redirect", id="301-broken"
    ),
]


@pytest.mark.parametrize(("answer", "said"), FINAL)
def test_refusal_stops_the_run_at_once_and_names_the_remedy(
    server: ApiServer, answer: Answer, said: str
) -> None:
    server.fault = first(99, answer)
    with pytest.raises(FatalError, match=said) as caught:
        get(server)
    assert "s3cret" not in str(caught.value)
    assert caught.value.exit_code == 3


@pytest.mark.parametrize(
    ("body", "words"),
    [
        pytest.param(
            b'{"error": "token unknown\n  or expired"}', '{"error": "token unknown or expired"}', id="json"
        ),
        pytest.param(b"see https://api.test/help?key=secret-1", "see https://api.test/help?***", id="query"),
        pytest.param(f"no such token: {TOKEN}".encode(), "no such token: ***", id="the token itself"),
        pytest.param(b"x" * 200, "x" * 80 + "\u2026", id="long"),
        pytest.param(b"\xff\x00bad", "\ufffd\x00bad", id="bytes that are no text"),
    ],
)
@pytest.mark.parametrize("status", [401, 403, 404])
def test_refusal_quotes_the_api(server: ApiServer, status: int, body: bytes, words: str) -> None:
    server.fault = first(99, Answer(status, body))
    with pytest.raises(FatalError) as caught:
        get(server)
    assert str(caught.value).endswith(f". The API's response begins: {words}")


def test_redirect_is_not_quoted(server: ApiServer) -> None:
    server.fault = first(1, Answer(302, b"moved to /s3cret", (("Location", server.url),)))
    with pytest.raises(FatalError) as caught:
        get(server)
    assert "response begins" not in str(caught.value)


def test_redirect_is_not_followed(server: ApiServer) -> None:
    server.fault = first(1, Answer(302, b"", (("Location", server.url),)))
    with pytest.raises(FatalError, match="redirect"):
        get(server)
    assert len(server.queries) == 1


def test_timeout_is_the_total_of_a_drip(server: ApiServer) -> None:
    server.fault = lambda number, query: Answer(200, b"{}", (("Content-Length", "9"),)) if number == 1 else OK
    reply, waits = get(server, API_TIMEOUT="0.3")
    assert reply.content["total"] == 25
    assert len(waits) == 1


def test_connection_refused_is_repeated_then_stops_the_run(server: ApiServer) -> None:
    with ApiServer([]) as gone:
        url = gone.url
    with pytest.raises(FatalError, match=r"in 4 attempts.*(refused|ECONNREFUSED)"):
        get(server, url)


def test_cookies_are_not_kept(server: ApiServer) -> None:
    server.fault = first(1, Answer(200, b"[]", (("Set-Cookie", "session=1; Path=/"),)))
    built = settings_for(server)
    with api_session(built) as session:
        api = Api(built, session)
        api.get(PageRequest(server.url), "page 1")
        api.get(PageRequest(server.url), "page 2")
    assert "cookie" not in server.headers[1]


def test_secrets_are_in_no_log_line(server: ApiServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    server.fault = first(99, Answer(500, TOKEN.encode(), (("X-Echo", TOKEN),)))
    with pytest.raises(FatalError) as caught:
        get(server, server.url + "?key=s3cret-canary")
    assert "attempt 1 of 4".lower() in caplog.text.lower()
    assert "s3cret" not in caplog.text + str(caught.value) + repr(caught.value)


def test_rate_is_held(server: ApiServer) -> None:
    waits: list[float] = []
    built = settings_for(server, API_RATE_LIMIT="0.5")
    with api_session(built) as session:
        api = Api(built, session, waits.append)
        for _ in range(3):
            api.get(PageRequest(server.url), "page")
    assert [round(wait) for wait in waits] == [2, 4]  # nothing was slept, so the debt adds up


def test_source_reads_page_after_page(server: ApiServer) -> None:
    built = settings_for(server)
    with api_session(built) as session:
        source = ApiSource(built, session)
        position, urls = source.first(), []
        while position is not None:
            batch = source.read(position)
            urls += batch.urls
            position = batch.following
    assert urls == [item["url"] for item in ITEMS]
    assert [query["page"] for query in server.queries] == ["1", "2", "3", "4", "4", "5", "0"]


@pytest.mark.parametrize(
    ("pages", "stale", "circling"),
    [(400, 300, False), (400, 400, False), (401, 401, True), (10, STALE_PAGES, False)],
    ids=["listed-three-times", "at-the-limit", "over-the-limit", "few-pages"],
)
def test_source_that_gives_only_known_urls_is_found_out(
    server: ApiServer, pages: int, stale: int, circling: bool
) -> None:
    built = settings_for(server)
    with api_session(built) as session:
        source = ApiSource(built, session)
        if not circling:
            source.check_circle(PagePosition(pages, pages), stale)
            return
        with pytest.raises(FatalError, match="in a loop"):
            source.check_circle(PagePosition(pages, pages), stale)


EXPIRED = [
    pytest.param(Answer(401), id="401"),
    pytest.param(Answer(403, b'{"error": "The access token has expired"}'), id="403, the body says so"),
    pytest.param(
        Answer(403, b"", (("WWW-Authenticate", 'Bearer error="invalid_token"'),)), id="403, a header says so"
    ),
    pytest.param(Answer(400, b'{"error": {"code": 190, "message": "Session has expired"}}'), id="400"),
    pytest.param(Answer(498, b"invalid token"), id="498"),
]


@pytest.fixture
def command(tmp_path: Path) -> str:
    """Return a command that prints a new token each time: t1, t2 …"""
    count = tmp_path / "count"
    return f"sh -c 'echo >> {count}; echo t$(wc -l < {count} | tr -d \" \")'"


@pytest.mark.parametrize("answer", EXPIRED)
def test_expired_token_is_renewed_by_its_command(server: ApiServer, command: str, answer: Answer) -> None:
    server.token = ""
    server.fault = lambda number, query: answer if number == 2 else OK
    built = settings_for(server, API_AUTH_TOKEN="", API_TOKEN_COMMAND=command, MAX_RETRIES="0")
    with api_session(built) as session:
        source = ApiSource(built, session)
        second = source.read(source.first()).following
        assert source.read(second).urls == [item["url"] for item in ITEMS[10:20]]
    assert [sent["authorization"] for sent in server.headers] == ["Bearer t1", "Bearer t1", "Bearer t2"]


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        pytest.param(Answer(401), "the token that API_TOKEN_COMMAND prints", id="401 for ever"),
        pytest.param(Answer(403, b"not your album"), "the token that API_TOKEN_COMMAND prints", id="403"),
        pytest.param(Answer(404, b"expired"), "404", id="404"),
    ],
)
def test_refusal_of_a_fresh_token_is_final(
    server: ApiServer, command: str, answer: Answer, said: str
) -> None:
    server.token = ""
    server.fault = first(99, answer)
    with pytest.raises(FatalError, match=said):
        get(server, API_AUTH_TOKEN="", API_TOKEN_COMMAND=command)
    assert len(server.queries) == (2 if answer.status == 401 else 1)


def test_headers_and_the_key_in_the_query_are_sent(server: ApiServer) -> None:
    server.token = ""
    reply, _ = get(server, API_AUTH_PARAM="api key", API_HEADERS="Accept: a/b | X-Shop: 5")
    assert (server.queries[0]["api key"], server.queries[0]["page"]) == (TOKEN, "1")
    assert (server.headers[0]["accept"], server.headers[0]["x-shop"]) == ("a/b", "5")
    assert "authorization" not in server.headers[0]
    assert TOKEN not in reply.url


def test_secret_of_a_next_link_is_in_no_position(server: ApiServer) -> None:
    key = "s3cret-canary"
    server.token = ""
    page = {"items": ITEMS[:2], "next": f"/images?api_key={key}&after=2"}
    server.fault = lambda number, query: Answer(200, json.dumps(page).encode()) if number == 1 else OK
    built = settings_for(
        server, API_PAGINATION="next_url", API_AUTH_TOKEN="", API_BASE_URL=f"{server.url}?api_key={key}"
    )
    with api_session(built) as session:
        source = ApiSource(built, session)
        position = source.read(source.first()).following
        assert key not in str(position._asdict())
        assert "after=2" in str(position._asdict())
        source.read(source.resume(position._asdict()))
    assert (server.queries[1]["api_key"], server.queries[1]["after"]) == (key, "2")


def test_page_of_which_a_part_is_missing_names_what_graphql_says(
    server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    page = {
        "data": {"nodes": [{"url": "https://cdn.test/1.jpg"}, None]},
        "errors": [{"message": "no access to 2"}],
    }
    server.fault = first(1, Answer(200, json.dumps(page).encode()))
    built = settings_for(server, API_URLS_FIELD="data.nodes[].url")
    with api_session(built) as session:
        source = ApiSource(built, session)
        urls = source.read(source.first()).urls
    assert urls == ["https://cdn.test/1.jpg", {"item": "page 1", "error": "no access to 2"}]
    assert "no access to 2" in caplog.text


def test_item_that_an_expression_fails_on_is_named(
    server: ApiServer, caplog: pytest.LogCaptureFixture
) -> None:
    server.items = [*ITEMS[:2], {"id": 3, "url": 5}, ITEMS[3]]
    built = settings_for(server, API_URLS_FIELD="items[].join('', [url, ''])")
    with api_session(built) as session:
        source = ApiSource(built, session)
        urls = source.read(source.first()).urls
    assert [isinstance(url, str) for url in urls] == [True, True, False, True]
    assert "page 1, item 3 (id 3): API_URLS_FIELD: join() takes a list of string, not a number" in caplog.text


@pytest.mark.parametrize("status", [200, 201, 203, 206])
def test_good_status_is_a_page(server: ApiServer, status: int) -> None:
    server.fault = first(1, Answer(status, b'{"items": []}'))
    reply, waits = get(server)
    assert (reply.content, waits) == ({"items": []}, [])


def test_walk_that_began_again_is_no_loop(server: ApiServer) -> None:
    server.fault = lambda number, query: Answer(410) if query.get("cursor") == "gone" else OK
    with api_session(built := settings_for(server, API_PAGINATION="cursor")) as session:
        source = ApiSource(built, session)
        batch = source.read(source.resume(PagePosition("gone", 4000)._asdict()))
        assert batch.begins_again
        source.check_circle(PagePosition("x", 3900), 3900)
        with pytest.raises(FatalError, match="in a loop"):
            source.check_circle(PagePosition("x", 20000), 20000)
