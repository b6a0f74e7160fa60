"""The local CDN serves deterministic images, and each fault as it is named: shown with raw sockets."""

from __future__ import annotations

import hashlib
import http.client
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Callable, NamedTuple

import pytest

from tests.fakes.images import SMALLEST, jpeg
from tests.fakes.rules import Rule, RuleBook
from tests.fakes.source import SourceServer
from tests.fakes.source_faults import NAMES

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


# -- faults: what is on the wire ----------------------------------------------------------------------------


def test_fault_chosen_by_path_so_many_times(source_server: Factory) -> None:
    server = source_server()
    url = server.url_of("a.jpg", fault="500.2")
    assert [get(server, url).status for _ in range(4)] == [500, 500, 200, 200]
    assert server.rules.struck == {"500": 2}


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
    book.clear()
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
