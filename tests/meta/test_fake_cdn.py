"""The local CDN serves deterministic images, and each fault as it is named: shown with raw sockets."""

from __future__ import annotations

import email.utils
import gzip
import hashlib
import http.client
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Callable, NamedTuple

import pytest

from tests.fakes.images import SMALLEST, jpeg
from tests.fakes.process import ServerProcess
from tests.fakes.rules import Rule, RuleBook
from tests.fakes.source import SourceServer
from tests.fakes.source_bodies import BOMB
from tests.fakes.source_faults import NAMES, STATUSES
from tests.fakes.tls import TlsMaterial

Factory = Callable[..., SourceServer]


class Answer(NamedTuple):
    """What came back on a connection until it ended or the answer was whole."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@contextmanager
def connected(server: SourceServer, timeout: float = 5.0) -> Iterator[socket.socket]:
    """Open a plain connection."""
    with socket.create_connection(("127.0.0.1", server.network.port), timeout=timeout) as sock:
        yield sock


def ask(sock: socket.socket, url: str, method: str = "GET", close: bool = True) -> None:
    """Send one request."""
    target = "/" + url.split("/", 3)[3]
    end = "Connection: close\r\n" if close else ""
    sock.sendall(f"{method} {target} HTTP/1.1\r\nHost: h\r\nAccept-Encoding: identity\r\n{end}\r\n".encode())


def read_all(sock: socket.socket) -> bytes:
    """Read until the end of the connection."""
    return b"".join(iter(lambda: sock.recv(1 << 16), b""))


def get(server: SourceServer, url: str, method: str = "GET") -> Answer:
    """Make one request on a connection of its own and take everything that comes, framing untouched."""
    with connected(server) as sock:
        ask(sock, url, method)
        data = read_all(sock)
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.decode("latin-1").split("\r\n")
    pairs = [line.partition(":") for line in lines[1:]]
    return Answer(int(lines[0].split()[1]), [(name, value.strip()) for name, _, value in pairs], body)


# -- bodies -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "size", [SMALLEST, *range(SMALLEST + 1, SMALLEST + 6), 20_000, 65_700, 390_000, 10_500_000]
)
def test_image_has_its_size_and_is_whole(size: int) -> None:
    image = jpeg("a/b.jpg", size)
    assert len(image) == size
    assert image == jpeg("a/b.jpg", size)
    assert image != jpeg("a/c.jpg", size)
    assert markers(image) == {0xE0, 0xFE, 0xDB, 0xC0, 0xC4, 0xDA}
    assert image.endswith(b"\x3f\xff\xd9")
    assert image.count(b"\xff\xd9") == 1


def markers(image: bytes) -> set[int]:
    """Walk the segments of a JPEG up to its scan; fails where the structure is broken."""
    assert image[:2] == b"\xff\xd8"
    position, seen = 2, set()
    while True:
        assert image[position] == 0xFF
        code = image[position + 1]
        if code == 0xFF:  # a fill byte
            position += 1
            continue
        seen.add(code)
        position += 2 + int.from_bytes(image[position + 2 : position + 4], "big")
        if code == 0xDA:
            assert image[position:] == b"\x3f\xff\xd9"
            return seen


def test_image_too_small() -> None:
    with pytest.raises(ValueError, match="at least"):
        jpeg("a", SMALLEST - 1)


def test_body_follows_from_the_path(source_server: Factory) -> None:
    server = source_server()
    url = server.url_of("3483/1713553344/i0178-1.jpg")
    answer = get(server, url)
    assert (answer.status, answer.body) == (200, server.body(url))
    assert 8_000 <= len(answer.body) < 32_000
    assert answer.header("Content-Length") == str(len(answer.body))
    assert answer.header("ETag") == f'"{hashlib.md5(answer.body).hexdigest()}"'
    assert answer.header("x-amz-cf-pop") == "SEA19-C2"
    assert answer.header("Content-Type") == "image/jpeg"
    with source_server() as other:
        assert other.body(url.replace(server.url, other.url)) == answer.body


def test_body_size_by_path_and_by_function(source_server: Factory) -> None:
    server = source_server(sizes=lambda target: 1234)
    assert len(get(server, server.url_of("a.jpg")).body) == 1234
    assert len(get(server, server.url_of("a.jpg", size=390_000)).body) == 390_000


def test_body_of_every_spelling_of_a_path(source_server: Factory) -> None:
    server = source_server()
    spellings = [
        server.url_prefix + name for name in ("a%20%C3%BC.jpg", "a%20%c3%bc.jpg", "%61%20%c3%bc.jpg")
    ]
    assert len({get(server, url).body for url in spellings}) == 1
    assert get(server, server.url_prefix + "a%20%C3%BC.jpg?v=2").body != get(server, spellings[0]).body
    assert server.requests[spellings[1][len(server.url) :]] == 1


def test_head_and_other_methods(source_server: Factory) -> None:
    server = source_server()
    url = server.url_of("a.jpg")
    answer = get(server, url, "HEAD")
    assert (answer.status, answer.body) == (200, b"")
    assert answer.header("Content-Length") == str(len(server.body(url)))
    assert get(server, url, "DELETE").status == 405


def test_outside_the_prefix_is_html(source_server: Factory) -> None:
    server = source_server(prefix="/pictures/")
    answer = get(server, server.url + "/images/a.jpg")
    assert answer.header("Content-Type") == "text/html"
    assert get(server, server.url_of("a.jpg")).header("Content-Type") == "image/jpeg"


def test_counts_requests_bodies_and_connections(source_server: Factory) -> None:
    server = source_server()
    connection = http.client.HTTPConnection("127.0.0.1", server.network.port, timeout=5)
    for name in ("a.jpg", "b.jpg", "a.jpg"):
        connection.request("GET", f"/images/{name}")
        assert connection.getresponse().read() == server.body(f"/images/{name}")
    connection.close()
    get(server, server.url_of("b.jpg", fault="404"))
    assert server.requests == {"/images/a.jpg": 2, "/images/b.jpg": 1, "/images/fault-404/b.jpg": 1}
    assert server.bodies == {"/images/a.jpg": 2, "/images/b.jpg": 1}
    assert [entry.connection for entry in server.log] == [1, 1, 1, 2]


def test_over_tls(source_tls_server: Factory, tls_material: TlsMaterial) -> None:
    server = source_tls_server()
    trust = ssl.create_default_context(cafile=str(tls_material.ca_bundle))
    for host in ("127.0.0.1", "localhost"):
        connection = http.client.HTTPSConnection(host, server.network.port, timeout=5, context=trust)
        connection.request("GET", "/images/fault-no_length/a.jpg")
        assert connection.getresponse().read() == server.body("/images/fault-no_length/a.jpg")
        connection.close()


def test_tls_ends_with_close_notify(source_tls_server: Factory, tls_material: TlsMaterial) -> None:
    server = source_tls_server()
    trust = ssl.create_default_context(cafile=str(tls_material.ca_bundle))
    plain = socket.create_connection(("127.0.0.1", server.network.port), timeout=5)
    with trust.wrap_socket(plain, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as sock:
        ask(sock, server.url_of("a.jpg", fault="no_length"))
        assert read_all(sock).endswith(b"\xff\xd9")  # an end without close_notify would raise


# -- faults: what is on the wire ----------------------------------------------------------------------------


def unchunk(data: bytes) -> tuple[bytes, bool]:
    """Undo chunked coding as far as it goes; the flag says whether the last chunk came."""
    out = b""
    while data:
        size, _, rest = data.partition(b"\r\n")
        length = int(size, 16)
        if length == 0:
            return out, True
        out += rest[:length]
        data = rest[length + 2 :]
    return out, False


@pytest.mark.parametrize("fault", ["short_body", "no_length_cut", "short_by_one"])
def test_fault_body_cut(source_server: Factory, fault: str) -> None:
    server = source_server()
    url = server.url_of("a.jpg", fault=fault)
    good, answer = server.body(url), get(server, url)
    assert good.startswith(answer.body)
    assert len(answer.body) == (len(good) - 1 if fault == "short_by_one" else len(good) // 2)
    assert answer.header("Content-Length") == (None if fault == "no_length_cut" else str(len(good)))


@pytest.mark.parametrize(
    ("fault", "whole", "ended"),
    [("chunked", True, True), ("chunked_no_end", True, False), ("chunked_cut", False, False)],
)
def test_fault_chunked(source_server: Factory, fault: str, whole: bool, ended: bool) -> None:
    server = source_server()
    url = server.url_of("a.jpg", fault=fault)
    answer = get(server, url)
    assert (answer.header("Transfer-Encoding"), answer.header("Content-Length")) == ("chunked", None)
    body, end = unchunk(answer.body)
    assert (body == server.body(url), end) == (whole, ended)
    assert server.body(url).startswith(body)


@pytest.mark.parametrize(
    ("fault", "lengths", "surplus"),
    [
        pytest.param("no_length", [], 0, id="no length, whole"),
        pytest.param("lengths_differ", [1.0, 0.5], 0, id="two lengths"),
        pytest.param("length_garbage", ["abc"], 0, id="length that is no number"),
        pytest.param("length_negative", ["-5"], 0, id="negative length"),
        pytest.param("length_too_small", [0.5], 0, id="length of half the body"),
        pytest.param("surplus", [1.0], 700, id="bytes after the body"),
        pytest.param("http10", [1.0], 0, id="HTTP/1.0"),
        pytest.param("octet_stream", [1.0], 0, id="label without meaning"),
    ],
)
def test_fault_length(source_server: Factory, fault: str, lengths: list[float | str], surplus: int) -> None:
    server = source_server()
    url = server.url_of("a.jpg", fault=fault)
    good, answer = server.body(url), get(server, url)
    found = [value for name, value in answer.headers if name == "Content-Length"]
    assert found == [w if isinstance(w, str) else str(int(len(good) * w)) for w in lengths]
    assert answer.body[: len(good)] == good
    assert len(answer.body) - len(good) == surplus


@pytest.mark.parametrize("fault", ["gzip", "gzip_mislabelled", "gzip_cut", "gzip_bomb"])
def test_fault_gzip(source_server: Factory, fault: str) -> None:
    server = source_server()
    url = server.url_of("a.jpg", fault=fault)
    good, answer = server.body(url), get(server, url)
    assert answer.header("Content-Encoding") == "gzip"
    assert answer.header("Content-Length") == str(len(answer.body))
    if fault == "gzip_mislabelled":
        assert answer.body == good
    elif fault == "gzip_cut":
        with pytest.raises(EOFError):
            gzip.decompress(answer.body)
    elif fault == "gzip_bomb":
        assert len(answer.body) < 100_000
        assert len(gzip.decompress(answer.body)) == BOMB
    else:
        assert gzip.decompress(answer.body) == good


@pytest.mark.parametrize("fault", ["endless", "endless_no_length"])
def test_fault_endless(source_server: Factory, fault: str) -> None:
    server = source_server()
    with connected(server) as sock:
        ask(sock, server.url_of("a.jpg", fault=fault))
        received = 0
        while received < 20_000_000:
            received += len(sock.recv(1 << 20))


@pytest.mark.parametrize(
    ("fault", "least"),
    [
        pytest.param("stall_headers", 0, id="before the head"),
        pytest.param("stall_body", 4000, id="in the body"),
        pytest.param("stall_no_length", 4000, id="in a body without length"),
        pytest.param("drip_headers", 1, id="dripping head"),
        pytest.param("drip_body", 100, id="dripping body"),
    ],
)
def test_fault_slow(source_server: Factory, fault: str, least: int) -> None:
    server = source_server()
    with connected(server) as sock:
        ask(sock, server.url_of("a.jpg", fault=fault, size=8000))
        end, received = time.monotonic() + 0.5, b""
        sock.settimeout(0.1)
        while time.monotonic() < end:
            try:
                piece = sock.recv(65536)
            except socket.timeout:
                continue
            assert piece, "the server ended it"
            received += piece
    assert least <= len(received) < 8000


def test_fault_slow_body_is_whole(source_server: Factory) -> None:
    server = source_server()
    server.rules.add(Rule("slow_body", seconds=0.1))
    url = server.url_of("a.jpg")
    before = time.monotonic()
    assert get(server, url).body == server.body(url)
    assert time.monotonic() - before >= 0.1


@pytest.mark.parametrize("fault", ["huge_headers", "many_headers"])
def test_fault_headers_over_64_kb(source_server: Factory, fault: str) -> None:
    server = source_server()
    answer = get(server, server.url_of("a.jpg", fault=fault))
    assert sum(len(name) + len(value) for name, value in answer.headers) > 65536


def test_fault_cookies_are_new_each_time(source_server: Factory) -> None:
    server = source_server()
    url = server.url_of("a.jpg", fault="cookies")
    seen = {value for _ in range(2) for name, value in get(server, url).headers if name == "Set-Cookie"}
    assert len(seen) == 100


@pytest.mark.parametrize(
    ("fault", "status"), [("continue_100", b"100 Continue"), ("early_hints", b"103 Early Hints")]
)
def test_fault_informational_answer_first(source_server: Factory, fault: str, status: bytes) -> None:
    server = source_server()
    url = server.url_of("a.jpg", fault=fault)
    with connected(server) as sock:
        ask(sock, url)
        data = read_all(sock)
    assert data.startswith(b"HTTP/1.1 " + status)
    assert b"\r\n\r\nHTTP/1.1 200 OK\r\n" in data
    assert data.endswith(server.body(url))


def test_fault_garbage(source_server: Factory) -> None:
    server = source_server()
    with connected(server) as sock:
        ask(sock, server.url_of("a.jpg", fault="garbage"))
        assert not read_all(sock).startswith(b"HTTP")


@pytest.mark.parametrize("fault", ["close", "reset"])
def test_fault_closed_before_the_answer(source_server: Factory, fault: str) -> None:
    server = source_server()
    with connected(server) as sock:
        ask(sock, server.url_of("a.jpg", fault=fault))
        if fault == "reset":
            with pytest.raises(ConnectionResetError):
                sock.recv(1)
        else:
            assert sock.recv(1) == b""


@pytest.mark.parametrize("fault", ["close_reused", "close_after"])
def test_fault_kept_connection_closed(source_server: Factory, fault: str) -> None:
    server = source_server()
    server.rules.add(Rule(fault))
    connection = http.client.HTTPConnection("127.0.0.1", server.network.port, timeout=5)
    connection.request("GET", "/images/a.jpg")
    answer = connection.getresponse()
    assert (answer.read(), answer.will_close) == (server.body("/images/a.jpg"), False)
    with pytest.raises((ConnectionError, http.client.RemoteDisconnected)):
        for _ in range(2):  # the first send may still succeed
            connection.request("GET", "/images/a.jpg")
            connection.getresponse().read()
    connection.close()


@pytest.mark.parametrize("fault", STATUSES)
def test_fault_status(source_server: Factory, fault: str) -> None:
    server = source_server()
    assert get(server, server.url_of("a.jpg", fault=fault)).status == int(fault)


def test_fault_not_the_image(source_server: Factory) -> None:
    server = source_server()
    page = get(server, server.url_of("a.jpg", fault="html"))
    assert (page.status, page.header("Content-Type"), page.body[:9]) == (200, "image/jpeg", b"<!DOCTYPE")
    empty = get(server, server.url_of("a.jpg", fault="empty"))
    assert (empty.status, empty.header("Content-Length"), empty.body) == (200, "0", b"")
    url = server.url_of("a.jpg", fault="206", size=8000)
    partial = get(server, url)
    assert (partial.status, partial.header("Content-Range")) == (206, "bytes 0-3999/8000")
    assert partial.body == server.body(url)[:4000]


def test_fault_redirects(source_server: Factory) -> None:
    server = source_server()
    names = ("login_inside", "login_outside", "host", "loop", "fine")
    urls = {name: server.url_of("a.jpg", fault=f"redirect_{name}") for name in names}
    answers = {name: get(server, url) for name, url in urls.items()}
    assert {answer.status for answer in answers.values()} == {302}
    to = {name: answer.header("Location") for name, answer in answers.items()}
    assert to["loop"] == urls["loop"][len(server.url) :]
    assert to["login_outside"] == "/login?next=image"
    assert str(to["host"]).startswith("//h/")
    assert get(server, f"{server.url}{to['login_inside']}").body.startswith(b"<!DOCTYPE")
    assert str(to["login_inside"]).startswith(server.prefix)
    moved = get(server, f"{server.url}{to['fine']}")
    assert (moved.status, moved.body) == (200, server.body(urls["fine"]))


@pytest.mark.parametrize("value", ["", "3", "86400", "soon"])
def test_fault_retry_after(source_server: Factory, value: str) -> None:
    server = source_server()
    server.rules.add(Rule("503", value=value))
    answer = get(server, server.url_of("a.jpg"))
    assert (answer.status, answer.header("Retry-After")) == (503, value or None)


def test_fault_retry_after_as_date(source_server: Factory) -> None:
    server = source_server()
    server.rules.add(Rule("429", value="date:30"))
    moment = email.utils.parsedate_to_datetime(
        get(server, server.url_of("a.jpg")).header("Retry-After") or ""
    )
    assert 25 < moment.timestamp() - time.time() <= 31


def test_fault_chosen_by_path_so_many_times(source_server: Factory) -> None:
    server = source_server()
    url = server.url_of("a.jpg", fault="500.2")
    assert [get(server, url).status for _ in range(4)] == [500, 500, 200, 200]
    assert server.rules.struck == {"500": 2}


def test_fault_named_in_path_but_unknown() -> None:
    server = SourceServer()
    get_fails = pytest.raises((ConnectionError, IndexError, ValueError))
    with get_fails:
        get(server, server.url_of("a.jpg", fault="nonsense"))
    with pytest.raises(KeyError, match="nonsense"):
        server.close()


@pytest.mark.parametrize(
    "fault", ["short_body", "gzip", "drip_body", "html", "206", "404", "cookies", "redirect_fine"]
)
def test_fault_of_head_request_sends_no_body(source_server: Factory, fault: str) -> None:
    server = source_server()
    with connected(server) as sock:
        ask(sock, server.url_of("a.jpg", fault=fault), "HEAD", close=False)
        ask(sock, server.url_of("b.jpg"), "HEAD")
        answers = read_all(sock).split(b"HTTP/1.1 ")[1:]
    assert [answer.partition(b"\r\n\r\n")[2] for answer in answers] == [b"", b""]


def test_every_fault_leaves_the_server_alive(source_server: Factory) -> None:
    server = source_server()
    for name in sorted(NAMES):
        with connected(server, timeout=0.3) as sock:
            ask(sock, server.url_of("a.jpg", fault=name))
            try:
                sock.recv(100)
            except (socket.timeout, ConnectionError):
                continue
    url = server.url_of("a.jpg")
    assert get(server, url).body == server.body(url)


# -- rules --------------------------------------------------------------------------------------------------


def test_rule_by_pattern_and_count() -> None:
    book = RuleBook(NAMES)
    book.add(Rule("404", pattern="b", count=2))
    assert [book.pick("GET", key) is not None for key in ("a", "b", "ab", "b")] == [False, True, True, False]


def test_rule_by_operation_and_per_key() -> None:
    book = RuleBook(NAMES)
    book.add(Rule("404", operation="GET", per_key=1))
    asked = [("HEAD", "a"), ("GET", "a"), ("GET", "a"), ("GET", "b")]
    assert [book.pick(*pair) is not None for pair in asked] == [False, True, False, True]


def test_rule_first_that_strikes_wins_and_removal() -> None:
    book = RuleBook(NAMES)
    book.add(Rule("404", name="one", pattern="a"))
    book.add(Rule("500", name="two"))
    faults = [rule.fault for rule in (book.pick("GET", "a"), book.pick("GET", "b")) if rule]
    assert faults == ["404", "500"]
    book.remove("two")
    assert book.pick("GET", "b") is None
    assert [rule["name"] for rule in book.listed()] == ["one"]
    book.clear()
    assert book.pick("GET", "a") is None


def test_rule_window_of_time() -> None:
    book = RuleBook(NAMES)
    book.add(Rule("404", until=0.0))
    book.add(Rule("500", after=3600.0))
    assert book.pick("GET", "a") is None


@pytest.mark.parametrize("sticky", [False, True], ids=["each request", "each key"])
def test_rule_probability_is_drawn_alike_for_one_seed(sticky: bool) -> None:
    def drawn(seed: int) -> list[bool]:
        book = RuleBook(NAMES, seed)
        book.add(Rule("404", probability=0.3, sticky=sticky))
        return [book.pick("GET", f"k{n % 1000}") is not None for n in range(2000)]

    first = drawn(1)
    assert first == drawn(1)
    assert first != drawn(2)
    assert 450 < sum(first) < 750
    assert (first[:1000] == first[1000:]) == sticky


# -- the network --------------------------------------------------------------------------------------------


def test_network_handshake_stalled(source_tls_server: Factory, tls_material: TlsMaterial) -> None:
    server = source_tls_server()
    server.network.mute_handshakes()
    trust = ssl.create_default_context(cafile=str(tls_material.ca_bundle))
    plain = socket.create_connection(("127.0.0.1", server.network.port), timeout=0.3)
    with plain, pytest.raises(socket.timeout):
        trust.wrap_socket(plain, server_hostname="127.0.0.1")
    server.network.heal()
    plain = socket.create_connection(("127.0.0.1", server.network.port), timeout=5)
    with trust.wrap_socket(plain, server_hostname="127.0.0.1") as sock:
        assert sock.version()


def test_network_every_second_handshake_stalled(
    source_tls_server: Factory, tls_material: TlsMaterial
) -> None:
    server = source_tls_server()
    server.network.mute_handshakes(every=2)
    trust = ssl.create_default_context(cafile=str(tls_material.ca_bundle))
    stalled = []
    for _ in range(4):
        with socket.create_connection(("127.0.0.1", server.network.port), timeout=0.3) as plain:
            try:
                trust.wrap_socket(plain, server_hostname="127.0.0.1").close()
                stalled.append(False)
            except socket.timeout:
                stalled.append(True)
    assert stalled == [False, True, False, True]


def test_network_handshake_broken_is_counted(source_tls_server: Factory) -> None:
    server = source_tls_server()
    with connected(server) as sock:
        sock.sendall(b"GET / HTTP/1.1\r\n\r\n")
        read_all(sock)
    assert server.network.broken_handshakes == 1


def test_network_drops_live_connections(source_server: Factory) -> None:
    server = source_server()
    with connected(server) as sock:
        ask(sock, server.url_of("a.jpg", fault="stall_headers"))
        while not server.requests:
            time.sleep(0.01)
        server.network.drop_connections()
        assert sock.recv(1) == b""


def test_stop_ends_stalled_connections_at_once() -> None:
    server = SourceServer()
    with connected(server) as one, connected(server) as two, connected(server) as three:
        ask(one, server.url_of("a.jpg", fault="stall_headers"))
        ask(two, server.url_of("a.jpg", fault="drip_headers"))
        server.network.black_hole()
        ask(three, server.url_of("b.jpg"))
        before = time.monotonic()
        server.close()
    assert time.monotonic() - before < 2


def test_process_with_control(tmp_path: Path) -> None:
    with ServerProcess("tests.fakes.source", tmp_path, "--size", "9000", "--prefix", "/p/") as server:
        connection = http.client.HTTPConnection(server.url.rpartition("/")[2], timeout=5)
        server.control.add_rule("503", value="1", count=1)
        statuses, sizes = [], []
        for _ in range(2):
            connection.request("GET", "/p/a.jpg")
            answer = connection.getresponse()
            statuses.append(answer.status)
            sizes.append(len(answer.read()))
        connection.close()
        assert statuses == [503, 200]
        assert sizes[1] == 9000
        assert server.control.call("requests") == {"/p/a.jpg": 2}
        assert server.control.call("bodies") == {"/p/a.jpg": 1}
        assert [entry["fault"] for entry in server.control.call("log")] == ["503", ""]
        server.control.call("refuse")
        with pytest.raises(ConnectionRefusedError):
            connection.request("GET", "/p/a.jpg")
        connection.close()
        server.control.call("heal")
        connection.request("GET", "/p/a.jpg")
        assert connection.getresponse().status == 200
        connection.close()
