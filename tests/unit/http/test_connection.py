"""A connection's waits end: at the deadline, when the run is stopped, and never with a socket left open."""

from __future__ import annotations

import array
import errno
import fcntl
import hashlib
import os
import resource
import socket
import ssl
import termios
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.errors import Cancelled, FatalError, TransientError
from cdn2s3.http.connection import Connection
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.dialing import Origin, translated
from cdn2s3.http.trust import tls_context
from tests.fakes import wire as server_wire
from tests.fakes.tls import TlsMaterial, make_tls
from tests.fakes.wire import Listener

Serve = Callable[[server_wire.Connection], None]
LATE = 1.0  # seconds; the most that a deadline or a stop is noticed late


@contextmanager
def listening(serve: Serve, tls: ssl.SSLContext | None = None) -> Iterator[Listener]:
    listener = Listener(serve, tls)
    try:
        yield listener
    finally:
        listener.stop()


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture(autouse=True)
def no_file_left_open() -> Iterator[None]:
    before = open_files()
    yield
    assert open_files() <= before


def origin(listener: Listener, scheme: str = "http") -> Origin:
    return Origin(scheme, "127.0.0.1", listener.port)


def silent(peer: server_wire.Connection) -> None:
    peer.stall(30)


@contextmanager
def ends_in(least: float, most: float) -> Iterator[None]:
    began = time.monotonic()
    yield
    assert least <= time.monotonic() - began <= most


@contextmanager
def connected(serve: Serve, tls: TlsMaterial | None = None) -> Iterator[Connection]:
    server, client = (tls.context, tls_context(str(tls.ca_bundle))) if tls else (None, None)
    with listening(serve, server) as listener:
        connection = Connection(origin(listener, "https" if tls else "http"), client, Deadline(5))
        try:
            yield connection
        finally:
            connection.close()


@pytest.fixture(params=["http", "https"])
def tls(request: pytest.FixtureRequest, tls_material: TlsMaterial) -> TlsMaterial | None:
    return tls_material if request.param == "https" else None


# the clock and the stop flag


def test_limit_tells_what_remains() -> None:
    assert 4 < Deadline(5).remaining() <= 5


def test_limit_gone_by_is_a_timeout_and_a_stop_comes_first() -> None:
    stop = threading.Event()
    with pytest.raises(TransientError) as caught:
        Deadline(0, stop).remaining()
    assert caught.value.cause == "timeout"
    stop.set()
    with pytest.raises(Cancelled):
        Deadline(0, stop).remaining()


def test_receive_ends_at_the_deadline() -> None:
    with connected(silent) as connection, ends_in(0.2, 0.2 + LATE), pytest.raises(TransientError) as caught:
        connection.receive(memoryview(bytearray(10)), Deadline(0.2))
    assert caught.value.cause == "timeout"


def test_receive_ends_when_the_run_is_stopped(tls: TlsMaterial | None) -> None:
    stop = threading.Event()
    with connected(silent, tls) as connection:
        timer = threading.Timer(0.2, stop.set)
        timer.start()
        with ends_in(0.2, 0.2 + LATE), pytest.raises(Cancelled):
            connection.receive(memoryview(bytearray(10)), Deadline(30, stop))
        timer.join()


def test_send_to_a_server_that_does_not_read_ends_at_the_deadline(tls: TlsMaterial | None) -> None:
    with (
        connected(silent, tls) as connection,
        ends_in(0.3, 0.3 + LATE),
        pytest.raises(TransientError) as caught,
    ):
        connection.send([bytes(30_000_000)], Deadline(0.3))
    assert caught.value.cause == "timeout"


def test_body_sent_past_many_timeouts_arrives_as_it_is(
    tls: TlsMaterial | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cdn2s3.http.deadline.SLICE", 0.01)  # most writes time out in the middle and go on
    pieces = [b"head\r\n\r\n", memoryview(os.urandom(6_000_000)), bytearray(b"tail")]
    received: list[str] = []
    done = threading.Event()

    def slow(peer: server_wire.Connection) -> None:
        digest, left = hashlib.sha256(), sum(len(piece) for piece in pieces)
        while left:
            size = min(left, 600_000)
            digest.update(peer.read(size))
            left -= size
            time.sleep(0.05)
        received.append(digest.hexdigest())
        done.set()

    with connected(slow, tls) as connection:
        connection.send(pieces, Deadline(30))
        assert done.wait(10)
    assert received == [hashlib.sha256(b"".join(pieces)).hexdigest()]


@pytest.mark.parametrize(
    ("sizes", "calls"),
    [
        pytest.param([600], (1, 1), id="no body"),
        pytest.param([600, 0], (1, 1), id="empty body"),
        pytest.param([600, 15_000], (1, 1), id="in one TLS record"),
        pytest.param([600, 20_000], (1, 2), id="more than a TLS record"),
        pytest.param([600, 64_936], (1, 2), id="all that goes at once"),
        pytest.param([600, 64_937], (2, 2), id="one byte more"),
        pytest.param([600, 10, 20], (2, 2), id="a third piece"),
        pytest.param([70_000, 10], (2, 2), id="an enormous head"),
    ],
)
def test_small_request_goes_in_as_few_calls_as_it_can(
    tls: TlsMaterial | None, monkeypatch: pytest.MonkeyPatch, sizes: list[int], calls: tuple[int, int]
) -> None:
    pieces = [os.urandom(size) for size in sizes]
    received: list[bytes] = []
    done = threading.Event()

    def reading(peer: server_wire.Connection) -> None:
        received.append(peer.read(sum(sizes)))
        done.set()

    with connected(reading, tls) as connection:
        sent: list[int] = []
        real = connection._sock.send

        def counted(sock: object, data: memoryview) -> int:
            assert sock is connection._sock
            sent.append(len(data))
            return real(data)

        monkeypatch.setattr(type(connection._sock), "send", counted)
        assert connection.send(pieces, Deadline(5))
        monkeypatch.undo()
        assert done.wait(5)
    assert received == [b"".join(pieces)]
    assert len(sent) == calls[tls is not None], sent


# connecting


def test_refused_connection_is_tried_again() -> None:
    with listening(silent) as listener:
        gone = origin(listener)
    with pytest.raises(TransientError) as caught:
        Connection(gone, None, Deadline(5))
    assert caught.value.cause == "connection"
    assert str(gone.port) in caught.value.message


def test_tls_handshake_that_nobody_answers_ends_at_the_deadline(tls_material: TlsMaterial) -> None:
    context = tls_context(str(tls_material.ca_bundle))
    with listening(silent) as listener, ends_in(0.2, 0.2 + LATE), pytest.raises(TransientError) as caught:
        Connection(origin(listener, "https"), context, Deadline(0.2))
    assert caught.value.cause == "timeout"


def test_tls_handshake_ends_when_the_run_is_stopped(tls_material: TlsMaterial) -> None:
    context, stop = tls_context(str(tls_material.ca_bundle)), threading.Event()
    timer = threading.Timer(0.2, stop.set)
    with listening(silent) as listener:
        timer.start()
        with ends_in(0.2, 0.2 + LATE), pytest.raises(Cancelled):
            Connection(origin(listener, "https"), context, Deadline(30, stop))
    timer.join()


@contextmanager
def full_backlog() -> Iterator[tuple[str, int]]:
    """Give the address of a socket that listens and accepts nobody any more."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield listener.getsockname()


def test_connect_that_nobody_answers_ends_at_the_deadline() -> None:
    with full_backlog() as full, ends_in(0.2, 0.2 + LATE), pytest.raises(TransientError) as caught:
        Connection(Origin("http", *full), None, Deadline(0.2))
    assert caught.value.cause == "timeout"


def addresses(*hosts_and_ports: tuple[str, int]) -> Callable[..., list[object]]:
    def lookup(*unused: object, **options: object) -> list[object]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in hosts_and_ports]

    return lookup


def test_address_that_does_not_answer_leaves_time_for_the_next(monkeypatch: pytest.MonkeyPatch) -> None:
    served = threading.Event()
    with full_backlog() as full, listening(lambda peer: served.set()) as listener:
        monkeypatch.setattr(socket, "getaddrinfo", addresses(full, ("127.0.0.1", listener.port)))
        with ends_in(0.2, 0.2 + LATE):
            Connection(Origin("http", "cdn.example", 80), None, Deadline(5)).close()
        assert served.wait(5)


def test_refusing_address_gives_way_to_the_next_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    with listening(silent) as gone:
        refused = ("127.0.0.1", gone.port)
    with listening(silent) as listener:
        monkeypatch.setattr(socket, "getaddrinfo", addresses(refused, ("127.0.0.1", listener.port)))
        with ends_in(0, 0.4):
            Connection(Origin("http", "cdn.example", 80), None, Deadline(5)).close()


@pytest.mark.parametrize(
    "host", ["a" * 70 + ".example", "cdn..example"], ids=["label too long", "empty label"]
)
def test_host_that_is_no_name_is_a_failed_look_up(host: str) -> None:
    with pytest.raises(TransientError) as caught:
        Connection(Origin("http", host, 80), None, Deadline(5))
    assert caught.value.cause == "connection"


def test_look_up_that_fails_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def lookup(*unused: object, **options: object) -> list[object]:
        raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", lookup)
    with pytest.raises(TransientError, match=r"cdn\.example cannot be looked up: Temporary failure"):
        Connection(Origin("http", "cdn.example", 80), None, Deadline(5))


def test_too_many_open_files_stop_the_run_and_name_the_remedy() -> None:
    """Nothing listens: a server in this process would lack files too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = [os.dup(0) for _ in range(3)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(taken) + 1, hard))
    try:
        with suppress(OSError):
            while True:
                taken.append(os.dup(0))
        with pytest.raises(FatalError, match="ulimit -n"):
            Connection(Origin("http", "127.0.0.1", 9), None, Deadline(5))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken:
            os.close(fd)


# trust


def test_certificate_of_a_stranger_stops_the_run(tls_material: TlsMaterial) -> None:
    with listening(silent, tls_material.context) as listener, pytest.raises(FatalError, match="CA_BUNDLE"):
        Connection(origin(listener, "https"), tls_context(None), Deadline(5))


def test_certificate_for_another_name_stops_the_run(
    tls_material: TlsMaterial, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening(silent, tls_material.context) as listener:
        monkeypatch.setattr(socket, "getaddrinfo", addresses(("127.0.0.1", listener.port)))
        with pytest.raises(FatalError, match="not trusted"):
            Connection(
                Origin("https", "cdn.example", 443), tls_context(str(tls_material.ca_bundle)), Deadline(5)
            )


def test_server_that_speaks_no_tls_is_tried_again(tls_material: TlsMaterial) -> None:
    def plain(peer: server_wire.Connection) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    with listening(plain) as listener, pytest.raises(TransientError) as caught:
        Connection(origin(listener, "https"), tls_context(str(tls_material.ca_bundle)), Deadline(5))
    assert caught.value.cause == "connection"


def test_contexts_verify_and_ask_for_a_modern_protocol(tls_material: TlsMaterial) -> None:
    context = tls_context(str(tls_material.ca_bundle))
    assert context.verify_mode is ssl.CERT_REQUIRED and context.check_hostname
    assert context.minimum_version >= ssl.TLSVersion.TLSv1_2


# how often a worker is woken while a body comes


@pytest.fixture
def no_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a wait end by what comes alone: not because it is time to look at the clock."""
    monkeypatch.setattr("cdn2s3.http.deadline.SLICE", 30.0)


def in_pieces(body: bytes, count: int) -> Serve:
    """Return a server that sends body in count pieces, each after a pause, once it has read four bytes."""

    def serve(peer: server_wire.Connection) -> None:
        peer.read(4)
        peer.drip(body, 0.01, len(body) // count)
        peer.stall(30)

    return serve


def test_body_that_comes_in_pieces_wakes_its_worker_seldom(no_slices: None, tls: TlsMaterial | None) -> None:
    body = os.urandom(240_000)
    with connected(in_pieces(body, 24), tls) as connection:
        connection.send([b"ping"], Deadline(5))
        view, filled, calls = memoryview(bytearray(len(body))), 0, 0
        while filled < len(body):
            filled += connection.receive(view[filled:], Deadline(20), fills=True)
            calls += 1
        assert bytes(view) == body
    # Once where all goes well. The first call may find the first pieces there already, and the kernel wakes it too
    # when its buffer is full; under TLS the last 16 KB are not waited for at once.
    assert calls <= 8


def test_what_may_not_come_is_not_waited_for(no_slices: None, tls: TlsMaterial | None) -> None:
    with connected(in_pieces(b"x" * 100, 1), tls) as connection, ends_in(0, 10):
        connection.send([b"ping"], Deadline(20))
        assert connection.receive(memoryview(bytearray(100_000)), Deadline(20)) == 100


def test_end_of_the_connection_ends_the_wait_for_a_body(no_slices: None, tls: TlsMaterial | None) -> None:
    def serve(peer: server_wire.Connection) -> None:
        peer.read(4)
        peer.stall(0.1)
        peer.send(b"x" * 50_000)

    with connected(serve, tls) as connection, ends_in(0, 10):
        connection.send([b"ping"], Deadline(20))
        view, filled = memoryview(bytearray(100_000)), 0
        while got := connection.receive(view[filled:], Deadline(20), fills=True):
            filled += got
        assert filled == 50_000


def test_surplus_smaller_than_what_was_waited_for_is_seen(no_slices: None) -> None:
    body = os.urandom(100_000)
    more = threading.Event()

    def serve(peer: server_wire.Connection) -> None:
        peer.read(4)
        peer.drip(body, 0.01, 10_000)
        more.wait(20)
        peer.send(b"!")
        peer.stall(20)

    with connected(serve) as connection:
        connection.send([b"ping"], Deadline(20))
        view, filled = memoryview(bytearray(len(body))), 0
        while filled < len(body):
            filled += connection.receive(view[filled:], Deadline(20), fills=True)
        connection._wake_at(
            len(body)
        )  # as where the end was waited for: the last call may have found it there
        assert connection.is_quiet()
        more.set()
        until = time.monotonic() + 10
        while connection.is_quiet():
            assert time.monotonic() < until, "the surplus was not seen"
            time.sleep(0.01)
        assert connection.has_more()


def test_rest_of_a_tls_record_that_came_in_part_is_enough(no_slices: None, tls_material: TlsMaterial) -> None:
    body = os.urandom(20_000)  # a record of 16 KB and a small one
    part_read = threading.Event()

    def serve(peer: server_wire.Connection) -> None:
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = tls_material.context.wrap_bio(incoming, outgoing, server_side=True)
        while True:
            try:
                tls.do_handshake()
                break
            except ssl.SSLWantReadError:
                peer.send(outgoing.read())
                incoming.write(peer.read_some())
        tls.write(body[:16_384])
        tls.write(body[16_384:])
        records = outgoing.read()
        peer.send(records[:12_000])
        part_read.wait(20)
        peer.send(records[12_000:])
        peer.stall(20)

    with listening(serve) as listener:
        client = tls_context(str(tls_material.ca_bundle))
        connection = Connection(origin(listener, "https"), client, Deadline(20))
        until = time.monotonic() + 10
        while waiting_bytes(connection) < 12_000:
            assert time.monotonic() < until, "the first part did not come"
            time.sleep(0.01)
        timer = threading.Timer(0.3, part_read.set)  # by then the client has read the part, and waits
        timer.start()
        view, filled = memoryview(bytearray(len(body))), 0
        with ends_in(0.2, 10):
            while filled < len(body):
                filled += connection.receive(view[filled:], Deadline(20), fills=True)
        timer.join()
        connection.close()
    assert bytes(view) == body


def waiting_bytes(connection: Connection) -> int:
    """Return how many bytes have come that nobody has read from the socket."""
    count = array.array("i", [0])
    fcntl.ioctl(connection._sock, termios.FIONREAD, count)
    return count[0]


# using it again


def test_quiet_connection_may_be_used_again(tls: TlsMaterial | None) -> None:

    def echo(peer: server_wire.Connection) -> None:
        while True:
            peer.send(peer.read(4))

    with connected(echo, tls) as connection:
        for _ in range(2):
            connection.send([b"ping"], Deadline(5))
            view = memoryview(bytearray(4))
            assert connection.receive(view, Deadline(5)) == 4
            assert connection.is_quiet()


def test_connection_on_which_more_has_come_is_not_quiet(tls: TlsMaterial | None) -> None:

    def chatty(peer: server_wire.Connection) -> None:
        peer.read(4)
        peer.send(b"pongSURPLUS")  # one TLS record: its rest waits in the TLS object, not in the socket
        peer.stall(5)

    with connected(chatty, tls) as connection:
        connection.send([b"ping"], Deadline(5))
        assert connection.receive(memoryview(bytearray(4)), Deadline(5)) == 4
        assert not connection.is_quiet()


def test_connection_closed_by_the_server_is_not_quiet(tls: TlsMaterial | None) -> None:
    with connected(lambda peer: None, tls) as connection:
        until = time.monotonic() + 5
        while connection.is_quiet():
            assert time.monotonic() < until, "the end was not seen"
            time.sleep(0.01)
        assert connection.receive(memoryview(bytearray(4)), Deadline(5)) == 0
        assert not connection.answered


def test_reset_connection_is_tried_again() -> None:
    def serve(peer: server_wire.Connection) -> None:
        peer.read(4)  # not before the client has seen itself connected
        peer.reset()

    with connected(serve) as connection:
        assert connection.send([b"ping"], Deadline(5))
        with pytest.raises(TransientError) as caught:
            connection.receive(memoryview(bytearray(4)), Deadline(5))
    assert caught.value.cause == "connection"


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        pytest.param(ConnectionResetError(errno.ECONNRESET, "reset"), TransientError, id="reset"),
        pytest.param(OSError(errno.ENETUNREACH, "unreachable"), TransientError, id="no route"),
        pytest.param(OSError(), TransientError, id="no number"),
        pytest.param(ssl.SSLError(1, "bad record"), TransientError, id="tls"),
        pytest.param(ssl.SSLEOFError(8, "EOF"), TransientError, id="tls cut"),
        pytest.param(ssl.SSLCertVerificationError("untrusted"), FatalError, id="certificate"),
        pytest.param(OSError(errno.EMFILE, "files"), FatalError, id="too many files"),
        pytest.param(OSError(errno.ENFILE, "files"), FatalError, id="too many files in the system"),
    ],
)
def test_errors_are_translated_by_kind(error: OSError, kind: type[Exception]) -> None:
    if isinstance(error, ssl.SSLCertVerificationError):
        error.verify_message = "self-signed"
    found = translated(error, Origin("https", "cdn.example", 443))
    assert type(found) is kind
    assert str(found.args[-1])


def test_server_of_plain_http_is_told_from_one_of_https() -> None:
    def serve(peer: server_wire.Connection) -> None:
        peer.send(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")

    with (
        listening(serve) as listener,
        pytest.raises(TransientError, match="does not speak TLS: http instead") as caught,
    ):
        Connection(origin(listener, "https"), tls_context(None), Deadline(5))
    assert caught.value.cause == "connection"


def test_another_authority_is_not_trusted(
    tls_material: TlsMaterial, tmp_path_factory: pytest.TempPathFactory
) -> None:
    other = make_tls(tmp_path_factory.mktemp("other"))
    with listening(silent, tls_material.context) as listener, pytest.raises(FatalError):
        Connection(origin(listener, "https"), tls_context(str(other.ca_bundle)), Deadline(5))
