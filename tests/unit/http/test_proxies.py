"""Which proxy a server is reached through: what requests would choose, and never a password in what is shown."""

from __future__ import annotations

from base64 import b64decode

import pytest
from requests.utils import get_environ_proxies, select_proxy

from cdn2s3.errors import FatalError, MigrationError, TransientError, UsageError
from cdn2s3.http.dialing import Origin
from cdn2s3.http.proxies import Proxy, is_from_proxy, proxy_for, refusal
from cdn2s3.text import redact

CDN = "https://img.cdn.example/a.jpg"
CANARY = "s3cret-canary"


@pytest.fixture
def env(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    return monkeypatch


def shown(url: str) -> str:
    return str(proxy_for(url))


def test_without_variables_everything_is_direct() -> None:
    assert proxy_for(CDN) is None


@pytest.mark.parametrize(
    ("variables", "url", "expected"),
    [
        ({"HTTPS_PROXY": "http://p:3128"}, CDN, "http://p:3128 (HTTPS_PROXY)"),
        ({"https_proxy": "http://p:3128"}, CDN, "http://p:3128 (https_proxy)"),
        ({"https_proxy": "http://low:1", "HTTPS_PROXY": "http://up:2"}, CDN, "http://low:1 (https_proxy)"),
        ({"HTTP_PROXY": "http://p:3128"}, CDN, "None"),
        ({"HTTP_PROXY": "http://p:3128"}, "http://cdn.example/", "http://p:3128 (HTTP_PROXY)"),
        ({"ALL_PROXY": "http://p:3128"}, CDN, "http://p:3128 (ALL_PROXY)"),
        ({"ALL_PROXY": "http://all:1", "HTTPS_PROXY": "http://own:2"}, CDN, "http://own:2 (HTTPS_PROXY)"),
        ({"ALL_PROXY": "socks5://s:1", "HTTPS_PROXY": "http://own:2"}, CDN, "http://own:2 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "p:3128"}, CDN, "http://p:3128 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "http://p"}, CDN, "http://p:80 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "https://p"}, CDN, "https://p:443 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "http://[2001:db8::1]:3128"}, CDN, "http://[2001:db8::1]:3128 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": "http://p:3128/"}, CDN, "http://p:3128 (HTTPS_PROXY)"),
        ({"HTTPS_PROXY": ""}, CDN, "None"),
    ],
)
def test_variable_names_the_proxy(
    variables: dict[str, str], url: str, expected: str, env: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        env.setenv(name, value)
    assert shown(url) == expected


@pytest.mark.parametrize(
    ("no_proxy", "url", "is_direct"),
    [
        ("*", CDN, True),
        ("cdn.example", CDN, True),
        (".cdn.example", CDN, True),
        ("img.cdn.example", CDN, True),
        ("other.example, cdn.example", CDN, True),
        ("cdn.example:443", "https://cdn.example:443/", True),
        ("cdn.example:8443", "https://cdn.example:443/", False),
        ("10.0.0.0/8", "https://10.1.2.3/", True),
        ("10.0.0.0/8", "https://11.1.2.3/", False),
        ("10.1.2.3", "https://10.1.2.3/", True),
        ("127.0.0.1,localhost", "http://localhost:9000/", True),
        ("", CDN, False),
    ],
)
@pytest.mark.parametrize("name", ["NO_PROXY", "no_proxy"])
def test_no_proxy_means_what_it_means_for_requests(
    name: str, no_proxy: str, url: str, is_direct: bool, env: pytest.MonkeyPatch
) -> None:
    env.setenv("ALL_PROXY", "http://p:3128")
    env.setenv(name, no_proxy)
    assert (proxy_for(url) is None) is is_direct
    assert (select_proxy(url, get_environ_proxies(url)) is None) is is_direct


@pytest.mark.parametrize(
    ("userinfo", "pair"),
    [
        ("user:password", b"user:password"),
        ("user", b"user:"),
        ("user:p%40ss%3Aw%2Frd", b"user:p@ss:w/rd"),
        ("us%C3%A9r:p", "usér:p".encode("latin-1")),
        ("user:%E2%82%AC", "user:€".encode()),
    ],
)
def test_user_and_password_are_sent_decoded(userinfo: str, pair: bytes, env: pytest.MonkeyPatch) -> None:
    env.setenv("HTTPS_PROXY", f"http://{userinfo}@p:3128")
    proxy = proxy_for(CDN)
    assert proxy is not None
    scheme, _, value = proxy.authorization.partition(" ")
    assert (scheme, b64decode(value)) == ("Basic", pair)


@pytest.mark.parametrize("value", [f"http://u:{CANARY}@p:3128", f"u:{CANARY}@p:3128", f"https://{CANARY}@p"])
def test_no_password_is_ever_shown(value: str, env: pytest.MonkeyPatch) -> None:
    env.setenv("HTTPS_PROXY", value)
    proxy = proxy_for(CDN)
    assert CANARY not in f"{proxy} {proxy!r} {proxy and proxy.origin}"
    assert "***@p:" in str(proxy)


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("socks5://u:s3cret-canary@p:1080", "SOCKS"),
        ("socks5h://p:1080", "SOCKS"),
        ("ftp://p:21", "isn't the URL of a proxy"),
        ("http://u:s3cret-canary/@p:3128", "percent-encoded"),  # the slash ends the host
        ("http://p:port", "isn't the URL of a proxy"),
        ("http://", "isn't the URL of a proxy"),
        ("http://p:99999", "isn't the URL of a proxy"),
    ],
)
@pytest.mark.parametrize("name", ["HTTPS_PROXY", "ALL_PROXY"])
def test_value_that_is_no_http_proxy_is_refused_by_its_name(
    name: str, value: str, said: str, env: pytest.MonkeyPatch
) -> None:
    env.setenv(name, value)
    with pytest.raises(UsageError, match=said) as caught:
        proxy_for(CDN)
    assert name in str(caught.value)
    assert CANARY not in str(caught.value)


# what a proxy's refusal means

PROXY = Proxy(Origin("http", "p.example", 3128, is_proxy=True), "", "HTTPS_PROXY", None)
KNOWN = PROXY._replace(authorization="Basic dTpw")
ORIGIN = Origin("https", "cdn.example", 443)


@pytest.mark.parametrize(
    ("proxy", "status", "kind", "said"),
    [
        (PROXY, 407, FatalError, r"wants a user and password: put them into HTTPS_PROXY"),
        (KNOWN, 407, FatalError, r"does not accept this user and password: correct them in HTTPS_PROXY"),
        (
            PROXY,
            401,
            FatalError,
            r"wants a user and password: put them into HTTPS_PROXY \(user:password@ before",
        ),
        (KNOWN, 401, FatalError, r"does not accept this user and password: correct them in HTTPS_PROXY"),
        (PROXY, 403, FatalError, r"allow cdn\.example:443, or put cdn\.example into NO_PROXY"),
        (PROXY, 405, FatalError, "administrator"),
        (PROXY, 502, TransientError, "answered 502 for cdn.example:443"),
        (PROXY, 503, TransientError, "answered 503"),
        (PROXY, 504, TransientError, "answered 504"),
        (PROXY, 429, TransientError, "answered 429"),
    ],
)
def test_refusal_is_the_run_s_or_the_side_s(
    proxy: Proxy, status: int, kind: type[MigrationError], said: str
) -> None:
    found = refusal(proxy, ORIGIN, status, {}, b"")
    assert type(found) is kind
    assert "the proxy http://" in str(found)
    assert redact(str(found)) == str(found)  # as the log shows it
    assert not isinstance(found, TransientError) or (found.cause, found.status) == ("connection", None)
    with pytest.raises(kind, match=said):
        raise found


def test_refusal_has_the_proxy_s_words_on_one_line() -> None:
    page = (
        b"<head><style>p {}</style></head><h1>Access\ndenied</h1><p>see http://u:canary@wiki/?token=canary</p>"
        + b"x" * 999
    )
    said = str(refusal(PROXY, ORIGIN, 403, {"x-squid-error": "ERR_ACCESS_DENIED 0"}, page))
    assert "(ERR_ACCESS_DENIED 0: Access denied see http://***@wiki/?***" in said
    assert "\n" not in said and "canary" not in said and len(said) < 500


@pytest.mark.parametrize(
    ("status", "headers", "is_its_own"),
    [
        (407, {}, True),
        (403, {"x-squid-error": "ERR_ACCESS_DENIED 0"}, True),
        (502, {"proxy-status": "p.example; error=connection_refused"}, True),
        (500, {"server": "tinyproxy/1.11.1"}, True),
        (403, {"server": "CloudFront", "via": "1.1 p (squid/6.1)"}, False),
        (502, {"proxy-status": "p.example; received-status=502"}, False),
        (404, {"server": "nginx"}, False),
        (200, {"server": "squid/6.1"}, False),
    ],
)
def test_forwarded_error_is_the_server_s_unless_it_says_otherwise(
    status: int, headers: dict[str, str], is_its_own: bool
) -> None:
    assert is_from_proxy(status, headers) is is_its_own
