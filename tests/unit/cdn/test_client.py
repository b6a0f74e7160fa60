"""The CDN's client: which headers go where, which redirects are followed, what each answer means."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Callable, NamedTuple

import pytest

from cdn2s3.cdn.sources import Sources
from cdn2s3.cdn.validators import Validators, age_of
from cdn2s3.errors import PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import Address
from tests.fakes.images import jpeg
from tests.fakes.proxy import ProxyServer
from tests.fakes.scripted_cdn import ScriptedCdn
from tests.fakes.wire import Request, response

JPEG = jpeg("a.jpg", 2000)
TOKEN = "t0ken-of-the-user"
HEADERS = (("Referer", "https://www.example.com/"), ("Authorization", f"Bearer {TOKEN}"))
IMAGE = Address("/images/a.jpg", "images/a.jpg", True)

Answer = Callable[[Request], bytes]


def image(*headers: tuple[str, str], body: bytes = JPEG, status: int = 200) -> bytes:
    return response(status, [("Content-Type", "image/jpeg"), *headers], body)


def moved(location: str, status: int = 302, *headers: tuple[str, str]) -> bytes:
    return response(status, [("Location", location), *headers])


class World(NamedTuple):
    cdn: ScriptedCdn
    other: ScriptedCdn  # another server, which has the image
    sources: Sources

    def get(self) -> bytes:
        with self.sources.get(IMAGE, Deadline(5)) as answer:
            return answer.body()

    def refused(self) -> PermanentError:
        with pytest.raises(PermanentError) as caught:
            self.get()
        return caught.value


@pytest.fixture
def make() -> Iterator[Callable[..., World]]:
    with ExitStack() as stack:

        def world(answer: Answer, redirects: str = "prefix", headers: object = (), more: str = "") -> World:
            cdn = stack.enter_context(ScriptedCdn(answer))
            other = stack.enter_context(ScriptedCdn(lambda request: image()))
            adapter = PooledAdapter(2)
            stack.callback(adapter.close)
            prefixes = f"{cdn.url_prefix} {more.format(other=other.url)}"
            sources = Sources(prefixes, adapter, threading.Event(), headers, redirects)  # type: ignore[arg-type]
            return World(cdn, other, sources)

        yield world


def away(world: World) -> str:
    """Return the image's URL at the other server, under another name of this machine."""
    return f"http://localhost:{world.other.network.port}/bucket/a.jpg?X-Signature=s3cret"


# --- headers


def test_image_is_asked_for_as_curl_does(make: Callable[..., World]) -> None:
    world = make(lambda request: image())
    assert world.get() == JPEG
    headers = dict(world.cdn.log[0].headers)
    assert headers.pop("host").startswith("127.0.0.1")
    assert headers == {"user-agent": "cdn2s3/1", "accept": "*/*", "accept-encoding": "identity"}


def test_source_headers_join_the_request_and_replace_its_own(make: Callable[..., World]) -> None:
    world = make(lambda request: image(), headers=(*HEADERS, ("accept", "image/jpeg"), ("User-Agent", "me")))
    world.get()
    headers = world.cdn.log[0].headers
    assert headers["authorization"] == f"Bearer {TOKEN}"
    assert (headers["referer"], headers["accept"], headers["user-agent"]) == (
        "https://www.example.com/",
        "image/jpeg",
        "me",
    )


def test_head_has_the_source_headers_too(make: Callable[..., World]) -> None:
    world = make(lambda request: response(405, []), headers=HEADERS)
    world.sources.head(IMAGE, Deadline(5))
    assert [request.method for request in world.cdn.log] == ["HEAD", "GET"]
    assert all(request.headers["authorization"] == f"Bearer {TOKEN}" for request in world.cdn.log)


def test_source_headers_do_not_follow_a_redirect_to_another_server(make: Callable[..., World]) -> None:
    world = make(lambda request: moved(away(world)), "any", HEADERS)
    assert world.get() == JPEG
    assert world.other.log[0].headers.keys() == {"host", "user-agent", "accept", "accept-encoding"}


def test_source_headers_go_to_every_host_of_url_prefix(make: Callable[..., World]) -> None:
    world = make(lambda request: moved(f"{world.other.url}/media/a.jpg"), "prefix", HEADERS, "{other}/media/")
    assert world.get() == JPEG
    assert world.other.log[0].headers["authorization"] == f"Bearer {TOKEN}"


def test_token_that_the_cdn_repeats_is_not_shown(make: Callable[..., World]) -> None:
    world = make(lambda request: moved(f"https://sso.example/login/{TOKEN}"), headers=HEADERS)
    message = world.refused().message
    assert "https://sso.example/login/***" in message
    assert TOKEN not in message


# --- redirects


@pytest.mark.parametrize(
    ("location", "rule"),
    [
        pytest.param("https://127.0.0.1/images/a.jpg", "same-host", id="https of the same host"),
        pytest.param("/other/a.jpg", "same-host", id="another folder"),
        pytest.param("https://storage.example/bucket/a.jpg?sig=s3cret", "any", id="storage host"),
        pytest.param("//storage.example/a.jpg", "any", id="another host with the same scheme"),
        pytest.param("images/../../secret.jpg", "same-host", id="dots"),
    ],
)
def test_redirect_that_is_not_followed_says_where_it_leads_and_what_follows_it(
    make: Callable[..., World], location: str, rule: str
) -> None:
    world = make(lambda request: moved(location))
    error = world.refused()
    assert error.cause == "forbidden"
    assert error.doubtful
    host = "storage.example" if "storage" in location else "127.0.0.1"
    assert f"//{host}" in error.message
    assert f"SOURCE_REDIRECTS={rule} does" in error.message
    assert f"SOURCE_REDIRECTS={rule}" in error.remedy
    assert "s3cret" not in error.message + error.remedy


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_redirect_to_a_storage_host_is_followed_where_that_is_allowed(
    make: Callable[..., World], status: int
) -> None:
    world = make(lambda request: moved(away(world), status), "any")
    assert world.get() == JPEG
    assert world.other.log[0].target == "/bucket/a.jpg?X-Signature=s3cret"


def test_same_host_allows_another_port_but_no_other_host(make: Callable[..., World]) -> None:
    world = make(lambda request: moved(f"{world.other.url}/b.jpg"), "same-host")
    assert world.get() == JPEG
    world = make(lambda request: moved(away(world)), "same-host")
    assert "SOURCE_REDIRECTS=any does" in world.refused().message
    assert world.other.log == []


@pytest.mark.parametrize(
    "address",
    [
        "169.254.169.254",
        "[fe80::1]",
        "[fd00:ec2::254]",
        "2852039166",
        "0xa9fea9fe",
        "[::ffff:169.254.169.254]",
    ],
)
def test_redirect_to_an_instances_credentials_is_never_followed(
    make: Callable[..., World], address: str
) -> None:
    world = make(lambda request: moved(f"http://{address}/latest/meta-data/iam/security-credentials/"), "any")
    assert "link-local" in world.refused().message


@pytest.mark.parametrize(
    ("location", "said"),
    [
        pytest.param("", "without a Location", id="empty"),
        pytest.param("ftp://files.example/a.jpg", "to what is no http(s) URL", id="ftp"),
        pytest.param("data:image/gif;base64,R0lG", "to what is no http(s) URL", id="data"),
        pytest.param("http://[broken", "to what is no http(s) URL", id="broken"),
        pytest.param("http://user:password@127.0.0.1/images/b.jpg", "to what is no http(s) URL", id="user"),
        pytest.param("https:", "to what is no http(s) URL", id="scheme alone"),
    ],
)
def test_redirect_that_leads_nowhere(make: Callable[..., World], location: str, said: str) -> None:
    error = make(lambda request: moved(location), "any").refused()
    assert (error.cause, said in error.message) == ("forbidden", True), error.message


@pytest.mark.parametrize(
    ("location", "target"),
    [
        pytest.param("/images/Gr\u00fc\u00dfe 1.jpg", "/images/Gr%FC%DFe%201.jpg", id="blank and Latin-1"),
        pytest.param("b.jpg", "/images/b.jpg", id="relative"),
        pytest.param("?size=large", "/images/a.jpg?size=large", id="query alone"),
        pytest.param("b.jpg#top", "/images/b.jpg", id="fragment"),
        pytest.param("  /images/b.jpg  ", "/images/b.jpg", id="blanks around"),
        pytest.param("/images/b.jpg\r\nLocation: /images/b.jpg", "/images/b.jpg", id="twice"),
    ],
)
def test_redirect_within_the_prefix(make: Callable[..., World], location: str, target: str) -> None:
    world = make(lambda request: image() if request.target == target else moved(location))
    assert world.get() == JPEG


def test_redirect_to_itself_that_ends_is_followed(make: Callable[..., World]) -> None:
    world = make(lambda request: image() if len(world.cdn.log) > 3 else moved(request.target))
    assert world.get() == JPEG


@pytest.mark.parametrize("cookie", [False, True])
def test_redirects_without_end(make: Callable[..., World], cookie: bool) -> None:
    more = [("Set-Cookie", "seen=1")] if cookie else []
    world = make(lambda request: moved(request.target, 302, *more))
    error = world.refused()
    assert "more than 5 redirects" in error.message
    assert ("SOURCE_HEADERS" in error.message) is cookie
    assert len(world.cdn.log) == 6


def test_redirects_to_many_servers_keep_few_connections(make: Callable[..., World]) -> None:
    client = make(lambda request: image(), "any").sources.clients[0]
    pools = [client._pool_of(f"http://storage{number}.example/a.jpg") for number in range(40)]
    assert [pool._most_idle for pool in pools] == [2] * 32 + [0] * 8
    assert client._pool_of("http://storage0.example/b.jpg") is pools[0]


def test_refusal_behind_a_redirect_is_the_urls(make: Callable[..., World]) -> None:
    world = make(lambda request: moved(away(world)), "any")
    world.other.answer = lambda request: response(404, [])
    assert world.refused().cause == "not_found"


# --- statuses


@pytest.mark.parametrize(
    ("status", "cause", "said"),
    [
        (206, "server_error", "a part of the file"),
        (300, "server_error", "300"),
        (304, "server_error", "not modified"),
        (401, "forbidden", "SOURCE_HEADERS"),
        (402, "forbidden", "402"),
        (406, "forbidden", "SOURCE_HEADERS accepts"),
        (414, "forbidden", "414"),
        (416, "forbidden", "416"),
        (421, "server_error", "421"),
        (511, "server_error", "a network on the way"),
        (520, "server_error", "520"),
    ],
)
def test_what_a_status_means(make: Callable[..., World], status: int, cause: str, said: str) -> None:
    world = make(lambda request: image(status=status))
    with pytest.raises((PermanentError, TransientError)) as caught:
        world.get()
    assert caught.value.cause == cause
    assert said in caught.value.message
    assert caught.value.status == status


# --- what is asked without a body


@pytest.mark.parametrize(
    "refusal",
    [
        pytest.param(response(405, []), id="405"),
        pytest.param(response(403, []), id="403"),
        pytest.param(response(404, []), id="404"),
        pytest.param(response(501, [("Connection", "close")]), id="501"),
        pytest.param(b"", id="closed"),
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", id="size 0"),
        pytest.param(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", id="no size"),
        pytest.param(b"220 smtp.example ESMTP\r\n\r\n", id="no HTTP"),
    ],
)
def test_head_that_tells_nothing_is_followed_by_a_get(make: Callable[..., World], refusal: bytes) -> None:
    world = make(lambda request: refusal if request.method == "HEAD" else image())
    head = world.sources.head(IMAGE, Deadline(5))
    assert (head.status, head.size, head.why) == (200, len(JPEG), "")


def test_head_that_tells_all_is_asked_alone(make: Callable[..., World]) -> None:
    world = make(lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\nX-Amz-Cf-Pop: SEA1-C1\r\n\r\n")
    head = world.sources.head(IMAGE, Deadline(5))
    assert (head.status, head.size, head.edge) == (200, 99, "SEA1-C1")
    assert len(world.cdn.log) == 1


def test_head_that_is_never_answered_leaves_time_for_a_get(make: Callable[..., World]) -> None:
    stop = threading.Event()
    world = make(lambda request: image() if request.method == "GET" else (stop.wait(9) and b"") or b"")
    head = world.sources.head(IMAGE, Deadline(1))
    stop.set()
    assert (head.status, head.size) == (200, len(JPEG))


def test_head_of_a_redirect_that_is_not_followed(make: Callable[..., World]) -> None:
    world = make(lambda request: moved("https://127.0.0.1/images/a.jpg", 301, ("X-Amz-Cf-Pop", "SEA1-C1")))
    head = world.sources.head(IMAGE, Deadline(5))
    assert (head.status, head.size, head.edge) == (301, None, "SEA1-C1")
    assert "https://127.0.0.1/images/a.jpg" in head.why
    assert "SOURCE_REDIRECTS=same-host" in head.remedy


def test_head_follows_redirects_as_a_get_does(make: Callable[..., World]) -> None:
    world = make(lambda request: moved(away(world)), "any")
    world.other.answer = lambda request: b"HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n"
    assert world.sources.head(IMAGE, Deadline(5)).size == 77
    assert [request.method for request in world.other.log] == ["HEAD"]


# --- the probe


@pytest.mark.parametrize(
    ("then", "works"),
    [
        (image(), True),
        (response(404, []), True),
        (response(403, []), False),
        (response(503, []), False),
        (moved("/maintenance.html"), False),
        (moved("https://elsewhere.example/"), False),
    ],
    ids=["200", "404", "403", "503", "maintenance page", "another host"],
)
def test_probe_of_what_worked(make: Callable[..., World], then: bytes, works: bool) -> None:
    world = make(lambda request: then)
    world.sources.note_success(IMAGE)
    assert world.sources.clients[0].probe() is works


@pytest.mark.parametrize(
    ("then", "works"),
    [(image(), True), (response(403, []), None), (moved("/login.html"), None), (b"", False)],
    ids=["200", "403", "login page", "closed"],
)
def test_probe_of_what_an_earlier_run_received(
    make: Callable[..., World], then: bytes, works: bool | None
) -> None:
    world = make(lambda request: then)
    world.sources.note_success_before(IMAGE)
    assert world.sources.clients[0].probe() is works


def test_probe_before_anything_worked_shows_nothing(make: Callable[..., World]) -> None:
    assert make(lambda request: response(403, [])).sources.clients[0].probe() is None


@pytest.mark.parametrize(
    ("status", "header", "said"),
    [
        (403, ("Set-Cookie", "visit=1"), "it sets a cookie and may wait for it"),
        (401, ("Set-Cookie", "visit=1"), "it sets a cookie and may wait for it"),
        (403, ("CF-Mitigated", "challenge"), "Cloudflare wants a browser to pass a challenge"),
        (503, ("CF-Mitigated", "challenge"), "Cloudflare wants a browser to pass a challenge"),
    ],
)
def test_refusal_says_what_the_cdn_waits_for(
    make: Callable[..., World], status: int, header: tuple[str, str], said: str
) -> None:
    world = make(lambda request: response(status, [header]))
    with pytest.raises((PermanentError, TransientError), match=said):
        world.get()


def test_check_by_get_asks_as_a_run_does(make: Callable[..., World]) -> None:
    world = make(lambda request: response(403, []) if request.method == "GET" else image())
    assert world.sources.head(IMAGE, Deadline(5), by_get=True).status == 403
    assert [request.method for request in world.cdn.log] == ["GET"]


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", id="ended by the connection"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: %d\r\n\r\n" % len(JPEG), id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200\r\nContent-Length: %d\r\n\r\n" % len(JPEG), id="without a reason"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Type:\r\nContent-Length: %d\r\n\r\n" % len(JPEG), id="empty type"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Range: bytes 0-1999/2000\r\nContent-Length: %d\r\n\r\n" % len(JPEG),
            id="200 with a range",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nContent-Length: %d\r\n\r\n" % (len(JPEG), len(JPEG)),
            id="length twice",
        ),
    ],
)
def test_odd_answer_is_the_image(make: Callable[..., World], answer: bytes) -> None:
    head = answer.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    assert make(lambda request: head + JPEG).get() == JPEG


def test_trailers_after_the_chunks_are_skipped(make: Callable[..., World]) -> None:
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: ETag\r\n\r\n"
    chunks = b'%x\r\n%s\r\n0\r\nETag: "late"\r\n\r\n' % (len(JPEG), JPEG)
    world = make(lambda request: head + chunks)
    assert (world.get(), world.get()) == (JPEG, JPEG)
    assert world.cdn.network.connections == 1


# --- conditional requests


KNOWN = Validators('"v1"', "Wed, 01 Oct 2025 07:28:00 GMT")


def test_validators_are_sent_to_the_letter_and_304_is_an_answer(make: Callable[..., World]) -> None:
    asked: list[Request] = []

    def answer(request: Request) -> bytes:
        asked.append(request)
        return response(304, [("ETag", '"v1"'), ("Age", "60")])

    world = make(answer)
    with world.sources.get(IMAGE, Deadline(5), KNOWN) as found:
        assert (found.status, found.body(), age_of(found.headers)) == (304, b"", 60)
    (request,) = asked
    assert request.headers["if-none-match"] == '"v1"'
    assert request.headers["if-modified-since"] == KNOWN.modified


def test_changed_file_comes_with_its_body(make: Callable[..., World]) -> None:
    world = make(lambda request: image(("ETag", '"v2"')))
    with world.sources.get(IMAGE, Deadline(5), KNOWN) as found:
        assert (found.status, found.body()) == (200, JPEG)


def test_validators_go_along_each_redirect_that_is_followed(make: Callable[..., World]) -> None:
    asked: list[tuple[str, str]] = []

    def answer(request: Request) -> bytes:
        asked.append((request.target, request.headers.get("if-none-match", "")))
        return moved("/images/b.jpg") if request.target.endswith("a.jpg") else response(304, [])

    with make(answer).sources.get(IMAGE, Deadline(5), KNOWN) as found:
        assert found.status == 304
    assert asked == [("/images/a.jpg", '"v1"'), ("/images/b.jpg", '"v1"')]


def test_304_to_a_request_without_validators_is_still_a_failure(make: Callable[..., World]) -> None:
    world = make(lambda request: response(304, []))
    with pytest.raises(TransientError, match="not modified, although nothing was said to be known"):
        world.get()


@pytest.mark.parametrize("etag", ['"a\r\nX: y"', '"ä"', ""])
def test_what_no_header_may_hold_is_not_sent(etag: str) -> None:
    assert Validators(etag, "").lines() == b""


@pytest.mark.parametrize(
    ("age", "seconds"), [("82800", 82800), ("5, 9", 5), ("-1", 0), ("soon", 0), ("9" * 40, 0), ("", 0)]
)
def test_age_is_read_where_it_is_one(age: str, seconds: int) -> None:
    assert age_of({"age": age}) == seconds


# --- through a proxy


@pytest.mark.parametrize(
    ("status", "names_it"), [(403, True), (418, True), (500, True), (503, True), (404, False), (410, False)]
)
def test_answer_that_a_proxy_may_have_given_names_it(
    make: Callable[..., World], status: int, names_it: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Many proxies do not show that a page is their own; what they know nothing of is whether a file is there."""
    with ProxyServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url_with("me:canary"))
        proxy.answers = response(status, [("Connection", "close")], b"blocked")
        world = make(lambda request: image())
        with pytest.raises((PermanentError, TransientError)) as caught:
            world.get()
        said = caught.value.message
        named = f"the CDN, or the proxy http://***@127.0.0.1:{proxy.network.port} (HTTP_PROXY) before it, answered"
        assert said.startswith(f"{named if names_it else 'the CDN answered'} {status}")


def test_redirects_go_through_the_proxy_however_many_servers_they_lead_to(
    make: Callable[..., World], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdn2s3.cdn.client._MOST_SERVERS", 0)
    with ProxyServer() as proxy:
        monkeypatch.setenv("HTTP_PROXY", proxy.url)
        world = make(lambda request: moved(f"{world.other.url}/b.jpg"), redirects="any")
        assert world.get() == JPEG
        assert [seen.target for seen in proxy.log] == [
            f"{world.cdn.url}/images/a.jpg",
            f"{world.other.url}/b.jpg",
        ]
