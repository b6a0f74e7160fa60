"""An HTTP answer is read the same however its bytes are split, and never taken for whole when it is not."""

from __future__ import annotations

import threading
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.errors import TransientError
from cdn2s3.http.connection import BUFFER_BYTES
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.dialing import Origin
from cdn2s3.http.response import Response
from tests.properties import examples


class Scripted:
    """A connection that brings given segments, one for each time something is received, and then its end."""

    def __init__(self, *segments: bytes) -> None:
        self.origin = Origin("https", "cdn.example", 443)
        self.buffer = bytearray(BUFFER_BYTES)
        self.closed = False
        self.given_back = False
        self._segments = [segment for segment in segments if segment]

    def receive(self, into: memoryview, deadline: Deadline, many: bool = False) -> int:
        assert len(into) > 0, "room for nothing"
        if not self._segments:
            return 0
        segment = self._segments.pop(0)
        now, later = segment[: len(into)], segment[len(into) :]
        if later:
            self._segments.insert(0, later)
        into[: len(now)] = now
        return len(now)

    def has_more(self) -> bool:
        return bool(self._segments)

    def close(self) -> None:
        self.closed = True


class Read(NamedTuple):
    """What came of reading an answer."""

    status: int
    length: int | None
    body: bytes
    reused: bool  # the connection was given back


def answer_on(connection: Any, method: str = "GET") -> Response:
    def release(given: Any) -> None:
        given.given_back = True

    return Response(connection, Deadline(60, threading.Event()), method, release)


def read(*segments: bytes, method: str = "GET") -> Read:
    connection = Scripted(*segments)
    with answer_on(connection, method) as answer:
        body = answer.body()
    assert connection.given_back is not connection.closed
    return Read(answer.status, answer.length, body, connection.given_back)


def head(*lines: str, status: str = "HTTP/1.1 200 OK") -> bytes:
    return "\r\n".join([status, *lines, "", ""]).encode("latin-1")


OK = head("Content-Length: 5")
CHUNKED = head("Transfer-Encoding: chunked")

ANSWERS = [
    pytest.param(OK + b"hello", Read(200, 5, b"hello", True), id="content-length"),
    pytest.param(head("Content-Length: 0"), Read(200, 0, b"", True), id="empty"),
    pytest.param(head("content-LENGTH:\t 5 ") + b"hello", Read(200, 5, b"hello", True), id="odd spelling"),
    pytest.param(
        head("Content-Length : 5") + b"hello", Read(200, 5, b"hello", True), id="blank before colon"
    ),
    pytest.param(
        head(*["Content-Length: 5"] * 2) + b"hello", Read(200, 5, b"hello", True), id="twice the same"
    ),
    pytest.param(
        head("Content-Length: 5", status="HTTP/1.1 200") + b"hello",
        Read(200, 5, b"hello", True),
        id="no reason",
    ),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", Read(200, None, b"hello", True), id="chunked"),
    pytest.param(
        head("Transfer-Encoding: Chunked") + b"5\r\nhello\r\n0\r\n\r\n",
        Read(200, None, b"hello", True),
        id="chunked, capital",
    ),
    pytest.param(
        CHUNKED + b'2;a=b;c="d"\r\nhe\r\n003 \r\nllo\r\n0;last\r\nX-Trailer: 1\r\nExpires: 0\r\n\r\n',
        Read(200, None, b"hello", True),
        id="chunk extensions and trailers",
    ),
    pytest.param(CHUNKED + b"0\r\n\r\n", Read(200, None, b"", True), id="chunked, empty"),
    pytest.param(
        head("Transfer-Encoding: chunked", "Content-Length: 3") + b"5\r\nhello\r\n0\r\n\r\n",
        Read(200, None, b"hello", False),
        id="chunked and a length: the chunks count, and the connection is not trusted again",
    ),
    pytest.param(head() + b"hello", Read(200, None, b"hello", False), id="close-delimited"),
    pytest.param(head("Content-Length: abc") + b"hello", Read(200, None, b"hello", False), id="length abc"),
    pytest.param(
        head("Content-Length: -5") + b"hello", Read(200, None, b"hello", False), id="length negative"
    ),
    pytest.param(head("Content-Length: 5, 5") + b"hello", Read(200, None, b"hello", False), id="length list"),
    pytest.param(head("Content-Length: ") + b"hello", Read(200, None, b"hello", False), id="length empty"),
    pytest.param(
        head("Content-Length: \xb2") + b"hello", Read(200, None, b"hello", False), id="length superscript"
    ),
    pytest.param(
        head("Transfer-Encoding: identity", "Content-Length: 5") + b"hello",
        Read(200, 5, b"hello", True),
        id="identity coding",
    ),
    pytest.param(
        head("Content-Length: 5", "Connection: close") + b"hello", Read(200, 5, b"hello", False), id="close"
    ),
    pytest.param(
        head("Content-Length: 5", "Connection: X-Hop, Close") + b"hello",
        Read(200, 5, b"hello", False),
        id="close in a list",
    ),
    pytest.param(
        head("Content-Length: 5", status="HTTP/1.0 200 OK") + b"hello",
        Read(200, 5, b"hello", False),
        id="http 1.0",
    ),
    pytest.param(
        head(status="HTTP/1.1 100 Continue")
        + head("Link: x", status="HTTP/1.1 103 Early Hints")
        + OK
        + b"hello",
        Read(200, 5, b"hello", True),
        id="interim answers",
    ),
    pytest.param(head(status="HTTP/1.1 204 No Content"), Read(204, 0, b"", True), id="204"),
    pytest.param(
        head("Content-Length: 5", status="HTTP/1.1 304 Not Modified"),
        Read(304, 0, b"", True),
        id="304 with length",
    ),
    pytest.param(OK + b"helloSURPLUS", Read(200, 5, b"hello", False), id="surplus"),
    pytest.param(CHUNKED + b"0\r\n\r\nX", Read(200, None, b"", False), id="surplus after chunks"),
    pytest.param(
        head("X-Folded: a", " Content-Length: 3", "Content-Length: 5") + b"hello",
        Read(200, 5, b"hello", True),
        id="folded header",
    ),
    pytest.param(
        head("X-Large: " + "x" * 60_000, "Content-Length: 5") + b"hello",
        Read(200, 5, b"hello", True),
        id="60 KB head",
    ),
]


@pytest.mark.parametrize(("raw", "expected"), ANSWERS)
def test_answer_in_one_piece(raw: bytes, expected: Read) -> None:
    assert read(raw) == expected


@pytest.mark.parametrize(("raw", "expected"), [a for a in ANSWERS if len(a.values[0]) < 1000])  # type: ignore[arg-type]
def test_answer_split_at_every_byte(raw: bytes, expected: Read) -> None:
    for at in range(1, len(raw)):
        got = read(raw[:at], raw[at:])
        # What has not arrived yet when the body is whole is for the next exchange to find.
        assert got[:3] == expected[:3]
        assert got.reused >= expected.reused
    assert read(*(bytes([byte]) for byte in raw))[:3] == expected[:3]


@examples(150)
@given(st.data())
def test_answer_reads_the_same_however_it_is_split(data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=300)) * data.draw(st.sampled_from([1, 1, 40, 400]))
    framing = data.draw(st.sampled_from(["length", "chunked", "close"]))
    if framing == "length":
        raw = head(f"Content-Length: {len(body)}", "X: y") + body
    elif framing == "chunked":
        raw, left = CHUNKED, body
        while left:
            size = data.draw(st.integers(1, len(left)))
            extension = data.draw(st.sampled_from(["", ";x", ";x=" + "y" * 3000]))
            raw += f"{size:x}{extension}\r\n".encode() + left[:size] + b"\r\n"
            left = left[size:]
        raw += b"0\r\n" + data.draw(st.sampled_from([b"", b"T: 1\r\n"])) + b"\r\n"
    else:
        raw = head() + body
    cuts = sorted(data.draw(st.lists(st.integers(0, len(raw)), max_size=12)))
    segments = [raw[a:b] for a, b in zip([0, *cuts], [*cuts, len(raw)])]
    got = read(*segments)
    assert (got.body, got.reused) == (body, framing != "close")


@pytest.mark.parametrize("step", [1, 3, 5, 64])
def test_body_read_into_small_views_is_whole(step: int) -> None:
    body = bytes(range(256))
    for raw in (
        head("Content-Length: 256") + body,
        CHUNKED + b"64\r\n" + body[:100] + b"\r\n9C\r\n" + body[100:] + b"\r\n0\r\n\r\n",
    ):
        got, view = b"", memoryview(bytearray(step))
        with answer_on(Scripted(raw)) as answer:
            while count := answer.read_into(view):
                got += bytes(view[:count])
            assert answer.read_into(view) == 0
        assert got == body


BROKEN = [
    pytest.param(b"", "connection", id="nothing"),
    pytest.param(b"HTTP/1.1 200 OK\r\nContent-Le", "connection", id="head cut"),
    pytest.param(OK + b"hell", "truncated", id="body cut"),
    pytest.param(OK, "truncated", id="no body"),
    pytest.param(CHUNKED + b"5\r\nhel", "truncated", id="chunk cut"),
    pytest.param(CHUNKED + b"5\r\nhello", "truncated", id="chunk without its line end"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n", "truncated", id="no last chunk"),
    pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n", "truncated", id="no end of the trailers"),
    pytest.param(CHUNKED + b"5\r\nhelloo\r\n0\r\n\r\n", "truncated", id="chunk longer than announced"),
    pytest.param(CHUNKED + b"xyz\r\nhello\r\n0\r\n\r\n", "truncated", id="chunk length is no number"),
    pytest.param(CHUNKED + b"-5\r\nhello\r\n0\r\n\r\n", "truncated", id="chunk length negative"),
    pytest.param(CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n", "truncated", id="chunk length with 0x"),
    pytest.param(CHUNKED + b"\r\nhello\r\n0\r\n\r\n", "truncated", id="chunk length empty"),
    pytest.param(CHUNKED + b"1" * 16 + b"\r\n", "truncated", id="chunk of an exabyte"),
    pytest.param(CHUNKED + b"5;" + b"x" * 70_000, "truncated", id="chunk line without end"),
    pytest.param(b"\x15\x03\x01\x00\x02\x02\x0a no HTTP\r\n\r\n", "server_error", id="garbage"),
    pytest.param(b"HTTP/2 200\r\n\r\n", "server_error", id="http 2"),
    pytest.param(b"HTTP/1.1 2000 OK\r\n\r\n", "server_error", id="four digits"),
    pytest.param(b"HTTP/1.1 20x\r\n\r\n", "server_error", id="no number"),
    pytest.param(b"ICY 200 OK\r\n\r\n", "server_error", id="icecast"),
    pytest.param(head("no colon here"), "server_error", id="header without a colon"),
    pytest.param(head("Content-Length: 5", "Content-Length: 6"), "server_error", id="two lengths"),
    pytest.param(head("Transfer-Encoding: gzip, chunked"), "server_error", id="unasked transfer coding"),
    pytest.param(head("Transfer-Encoding: xchunked"), "server_error", id="unknown transfer coding"),
    pytest.param(
        head("Transfer-Encoding: chunked", "Transfer-Encoding: chunked"), "server_error", id="chunked twice"
    ),
    pytest.param(head("Content-Length: " + "9" * 5000), "server_error", id="length of 5000 digits"),
    pytest.param(head("X: " + "x" * 70_000), "server_error", id="70 KB head"),
    pytest.param(
        head(status="HTTP/1.1 100 Continue") * 4000, "server_error", id="interim answers without end"
    ),
]


@pytest.mark.parametrize(("raw", "cause"), BROKEN)
def test_broken_answer_is_tried_again(raw: bytes, cause: str) -> None:
    connection = Scripted(raw)
    with pytest.raises(TransientError) as caught, answer_on(connection) as answer:
        answer.body()
    assert caught.value.cause == cause
    assert not connection.given_back


@pytest.mark.parametrize(("raw", "cause"), [b for b in BROKEN if len(b.values[0]) < 1000])  # type: ignore[arg-type]
def test_broken_answer_is_seen_however_it_is_split(raw: bytes, cause: str) -> None:
    for at in range(1, max(2, len(raw))):
        with pytest.raises(TransientError) as caught, answer_on(Scripted(raw[:at], raw[at:])) as answer:
            answer.body()
        assert caught.value.cause == cause


@examples(400)
@given(
    st.lists(
        st.one_of(st.binary(max_size=30), st.sampled_from([OK, CHUNKED, b"\r\n", b"5\r\n", b"0\r\n\r\n"])),
        max_size=8,
    )
)
def test_any_bytes_are_an_answer_or_a_named_failure(segments: list[bytes]) -> None:
    connection = Scripted(*segments)
    try:
        with answer_on(connection) as answer:
            answer.body()
    except TransientError as error:
        assert error.cause in {"connection", "truncated", "server_error"}
        assert not connection.given_back
    else:
        assert connection.given_back is not connection.closed


def test_head_answer_has_no_body_whatever_its_length_says() -> None:
    assert read(head("Content-Length: 390000"), method="HEAD") == Read(200, 0, b"", True)
    assert read(CHUNKED, method="HEAD") == Read(200, 0, b"", True)


def test_repeated_headers_are_joined() -> None:
    answer = answer_on(Scripted(head("Via: a", "VIA: b", "X-Empty:", "Content-Length: 0")))
    assert (answer.headers["via"], answer.headers["x-empty"]) == ("a, b", "")


def test_folded_header_belongs_to_the_line_before() -> None:
    answer = answer_on(Scripted(head("X-A: one", "\t two: three", "Content-Length: 0")))
    assert answer.headers["x-a"] == "one two: three"


@pytest.mark.parametrize(
    "framing", [head("Content-Length: 2000"), CHUNKED + b"7D0\r\n", head()], ids=["length", "chunks", "close"]
)
def test_whole_body_over_the_most_is_refused(framing: bytes) -> None:
    with (
        pytest.raises(TransientError, match="over 1000 bytes"),
        answer_on(Scripted(framing + bytes(2000) + b"\r\n")) as answer,
    ):
        answer.body(1000)


def test_claimed_length_of_a_petabyte_takes_no_memory() -> None:
    with (
        pytest.raises(TransientError) as caught,
        answer_on(Scripted(head("Content-Length: 1" + "0" * 15) + b"x")) as answer,
    ):
        assert answer.length == 10**15
        answer.body(1000)
    assert caught.value.cause == "truncated"


def test_body_left_unread_closes_the_connection_once() -> None:
    connection = Scripted(OK + b"hello")
    answer = answer_on(connection)
    answer.close()
    assert connection.closed and not connection.given_back
    connection.closed = False
    answer.close()
    assert not connection.closed


@pytest.mark.parametrize(
    ("raw", "reused"),
    [
        pytest.param(OK + b"hello", True, id="length"),
        pytest.param(head("Content-Length: 0"), True, id="empty"),
        pytest.param(CHUNKED + b"5\r\nhello\r\n0\r\n\r\n", True, id="chunked"),
        pytest.param(head("Content-Length: 16384") + bytes(16_384), True, id="16 KB"),
        pytest.param(head("Content-Length: 16385") + bytes(16_385), False, id="over 16 KB"),
        pytest.param(CHUNKED + b"4001\r\n" + bytes(0x4001) + b"\r\n0\r\n\r\n", False, id="chunks over 16 KB"),
        pytest.param(head() + b"hello", False, id="until the connection ends"),
        pytest.param(OK + b"hell", False, id="cut"),
        pytest.param(CHUNKED + b"junk\r\n", False, id="broken chunks"),
        pytest.param(head("Content-Length: 5", "Connection: close") + b"hello", False, id="asked to close"),
        pytest.param(OK + b"hello more", False, id="surplus"),
    ],
)
def test_drained_answer_gives_its_connection_back_where_that_is_cheap(raw: bytes, reused: bool) -> None:
    connection = Scripted(raw)
    with answer_on(connection) as answer:
        answer.drain()
    assert (connection.given_back, connection.closed) == (reused, not reused)


@pytest.mark.parametrize(
    ("segments", "surplus"),
    [
        pytest.param([OK + b"hello"], False, id="none"),
        pytest.param([OK + b"hello!"], True, id="with the body"),
        pytest.param([OK + b"hello", b"!"], True, id="after the body"),
        pytest.param([CHUNKED + b"5\r\nhello\r\n0\r\n\r\n!"], False, id="chunked says where it ends"),
        pytest.param([head() + b"hello", b"!"], False, id="no length"),
    ],
)
def test_surplus_behind_a_length_is_noticed(segments: list[bytes], surplus: bool) -> None:
    with answer_on(Scripted(*segments)) as answer:
        answer.body()
        assert answer.has_surplus is surplus
