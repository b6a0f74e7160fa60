"""A body is an image that came whole, within its memory, or a named failure; whatever the framing."""

from __future__ import annotations

import gzip
import hashlib
import random
import threading
import zlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.cdn import body_reader
from cdn2s3.cdn.body_reader import BodyReader, LargeBody
from cdn2s3.cdn.buffer_pool import SMALL, BufferExhausted, BufferLease, BufferPool
from cdn2s3.cdn.digest import Md5, digest_of
from cdn2s3.destinations.base import PART_BYTES
from cdn2s3.errors import Cancelled, PermanentError, TransientError
from cdn2s3.http.deadline import Deadline
from cdn2s3.records import Image
from tests.fakes.images import jpeg
from tests.properties import examples
from tests.unit.http.test_response import Scripted, answer_on, head

JPEG = jpeg("a.jpg", 20_000)
MB = 1_000_000


def framed(body: bytes, framing: str, *headers: str) -> bytes:
    if framing == "length":
        return head(f"Content-Length: {len(body)}", *headers) + body
    if framing == "chunked":
        return head("Transfer-Encoding: chunked", *headers) + b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    return head(*headers) + body


def read(raw: bytes, check: str = "image", max_buffer: int = 10 * MB, integrity: str = "md5") -> Any:
    """Return a copy of the image that raw brings, or all parts of the large body with their media type."""
    deadline = Deadline(60)
    reader = BodyReader(check, max_buffer, lambda: digest_of(integrity), PART_BYTES)
    budget = BufferPool(400 * MB, threading.Event())
    with BufferLease(budget) as lease, answer_on(Scripted(raw)) as answer:
        found = reader.read(answer, lease, deadline)
        if isinstance(found, LargeBody):
            found.start()
            return found.media_type, [bytes(part) for part in found.parts()]
        return found._replace(body=memoryview(bytes(found.body)))


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [400, SMALL - 1, SMALL, SMALL + 1, 3 * MB])
def test_whole_image_is_read(framing: str, size: int) -> None:
    body = jpeg("a.jpg", size)
    image = read(framed(body, framing))
    assert image == Image(memoryview(body), "image/jpeg", hashlib.md5(body).digest(), 0)


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("max_buffer", [1 * MB, 2 * MB])
@pytest.mark.parametrize("more", [-1, 0, 1, 48_575, 48_576, 48_577, 20 * MB])
def test_body_around_the_largest_buffer_is_whole(framing: str, max_buffer: int, more: int) -> None:
    body = jpeg("a.jpg", max_buffer + more)
    found = read(framed(body, framing), max_buffer=max_buffer)
    if isinstance(found, Image):
        assert bytes(found.body) == body
        assert found.md5 == hashlib.md5(body).digest()
        assert len(body) <= max(max_buffer, SMALL)
    else:
        media_type, parts = found
        assert (media_type, b"".join(parts)) == ("image/jpeg", body)
        assert all(len(part) == max(PART_BYTES, max_buffer) for part in parts[:-1])


@pytest.mark.parametrize("size", [20_000, SMALL + 5, 12 * MB])
def test_length_that_ends_within_the_image_is_truncated(size: int) -> None:
    body = jpeg("a.jpg", size)
    with pytest.raises(TransientError) as caught:
        read(framed(body[: size // 2], "length") + body[size // 2 :])
    assert caught.value.cause == "truncated"


def test_surplus_behind_a_whole_image_is_left() -> None:
    body = jpeg("a.jpg", 20_000)
    assert bytes(read(framed(body, "length") + b"SURPLUS" * 100).body) == body


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("size", [20_000, SMALL + 5, 12 * MB])
@pytest.mark.parametrize("missing", [1, 7, 10_000])
def test_cut_body_is_truncated(framing: str, size: int, missing: int) -> None:
    raw = framed(jpeg("a.jpg", size), framing)[:-missing]
    with pytest.raises(TransientError) as caught:
        read(raw)
    assert caught.value.cause == "truncated"


def test_integrity_crc32_sums_instead_of_hashing() -> None:
    image = read(framed(JPEG, "length"), integrity="crc32")
    assert (image.md5, image.crc32) == (b"", zlib.crc32(JPEG))
    assert image.digest() == hashlib.md5(JPEG).digest()


HTML = b"<!DOCTYPE html><html>"
REFUSED = [
    pytest.param(b"", "image", "", "empty", id="empty"),
    pytest.param(b"", "none", "", "empty", id="empty, unchecked"),
    pytest.param(HTML, "image", "Content-Type: image/jpeg", "not_an_image", id="page under an image's label"),
    pytest.param(HTML, "not_html", "", "not_an_image", id="page"),
    pytest.param(b"{}", "image", "Content-Type: application/json", "not_an_image", id="json"),
    pytest.param(
        b"\x1f\x8b\x08xxx", "none", "Content-Encoding: gzip", "not_an_image", id="packed, unchecked"
    ),
]


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize(("body", "check", "header", "cause"), REFUSED)
def test_body_that_is_no_image_is_refused(
    body: bytes, check: str, header: str, cause: str, framing: str
) -> None:
    raw = framed(body, framing, *filter(None, [header]))
    if framing == "chunked" and not body:
        raw = head("Transfer-Encoding: chunked") + b"0\r\n\r\n"
    with pytest.raises(PermanentError) as caught:
        read(raw, check)
    assert caught.value.cause == cause


@pytest.mark.parametrize(
    ("body", "beginning"),
    [
        pytest.param(b"<html>\n<title>Not found", "<html>\\n<title>Not found", id="page"),
        pytest.param(b"\x00\x00\x00\x18ftypmp42\xff", "\\x00\\x00\\x00\\x18ftypmp42\\xff", id="video"),
        pytest.param(b"\x1b[2J%PDF", "\\x1b[2J%PDF", id="terminal escape"),
        pytest.param("Datei fehlt: ü".encode(), "Datei fehlt: ü", id="letters"),
        pytest.param(b"x" * 41, "x" * 40 + "…", id="long"),
        pytest.param(b"http://h/?token=secret x", "http://h/?*** x", id="secret"),
    ],
)
def test_body_that_is_no_image_is_shown_as_it_begins(body: bytes, beginning: str) -> None:
    with pytest.raises(PermanentError) as caught:
        read(framed(body, "length", "Content-Type: image/jpeg"))
    assert caught.value.message == (
        f"the body does not start like an image (labeled image/jpeg), it starts with {beginning}"
    )


@pytest.mark.parametrize(
    ("header", "media_type"),
    [
        pytest.param("Content-Type: text/css", "text/css", id="as labelled"),
        pytest.param(
            "Content-Type: text/css; charset=utf-8", "text/css; charset=utf-8", id="with a parameter"
        ),
        pytest.param("Content-Type: text/css;charset=utf-8", "text/css;charset=utf-8", id="without a blank"),
        pytest.param('Content-Type: text/css; charset="utf-8"', 'text/css; charset="utf-8"', id="quoted"),
        pytest.param("X: y", "binary/octet-stream", id="no label"),
        pytest.param("Content-Type:", "binary/octet-stream", id="empty"),
        pytest.param("Content-Type: text/css;  a=b", "binary/octet-stream", id="two blanks"),
        pytest.param("Content-Type: text/\xe9", "binary/octet-stream", id="not ASCII"),
        pytest.param(
            "Content-Type: text/css\nX-Amz-Acl: public-read", "binary/octet-stream", id="line break"
        ),
        pytest.param("Content-Type: text/css\rx", "binary/octet-stream", id="bare CR"),
        pytest.param("Content-Type: text/\x00", "binary/octet-stream", id="NUL"),
        pytest.param("Content-Type: text/" + "x" * 300, "binary/octet-stream", id="endless"),
        pytest.param("Content-Type: css", "binary/octet-stream", id="no type"),
    ],
)
def test_label_is_taken_only_where_it_is_a_media_type(header: str, media_type: str) -> None:
    assert read(framed(b"body {}", "length", header), "none").media_type == media_type


def test_image_under_a_wrong_label_gets_its_own() -> None:
    assert read(framed(JPEG, "length", "Content-Type: text/html")).media_type == "image/jpeg"


def test_raw_image_labelled_as_packed_is_taken() -> None:
    assert read(framed(JPEG, "length", "Content-Encoding: gzip")).media_type == "image/jpeg"


def test_large_body_that_is_no_image_is_refused_before_its_parts() -> None:
    with pytest.raises(PermanentError) as caught:
        read(framed(b"\x00" * 12 * MB, "length"))
    assert caught.value.cause == "not_an_image"


def test_no_memory_is_left_lent_and_too_little_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body_reader, "PATIENCE", 0.01)
    budget = BufferPool(9 * MB, threading.Event())
    reader = BodyReader("image", 10 * MB, Md5, PART_BYTES)
    with (
        pytest.raises(BufferExhausted) as caught,
        BufferLease(budget) as first,
        BufferLease(budget) as second,
    ):
        first.view(5 * MB)
        reader.read(answer_on(Scripted(framed(jpeg("a.jpg", 5 * MB), "length"))), second, Deadline(5))
    assert caught.value.size == 5 * MB
    assert budget.acquire(9 * MB, wait=False) is not None


def test_response_waits_for_memory_and_the_wait_does_not_count() -> None:
    budget = BufferPool(9 * MB, threading.Event())
    body, deadline = jpeg("a.jpg", 5 * MB), Deadline(60)
    before = deadline.at
    lent = budget.acquire(5 * MB, wait=False)
    assert lent is not None
    timer = threading.Timer(0.1, budget.release, [lent])
    with BufferLease(budget) as lease:
        timer.start()
        image = BodyReader("image", 10 * MB, Md5, PART_BYTES).read(
            answer_on(Scripted(framed(body, "length"))), lease, deadline
        )
        assert isinstance(image, Image)
        assert bytes(image.body) == body
    timer.join()
    assert deadline.at >= before + 0.05


def test_response_that_waits_for_memory_ends_with_the_run() -> None:
    stop = threading.Event()
    budget = BufferPool(9 * MB, stop)
    assert budget.acquire(5 * MB, wait=False) is not None
    stop.set()
    with BufferLease(budget) as lease, pytest.raises(Cancelled):
        BodyReader("image", 10 * MB, Md5, PART_BYTES).read(
            answer_on(Scripted(framed(jpeg("a.jpg", 5 * MB), "length"))), lease, Deadline(60)
        )


def test_large_body_gives_the_time_of_its_taker_back() -> None:
    deadline = Deadline(60)
    before = deadline.at
    with BufferLease(BufferPool(400 * MB, threading.Event())) as lease:
        found = BodyReader("image", 10 * MB, Md5, PART_BYTES).read(
            answer_on(Scripted(framed(jpeg("a.jpg", 12 * MB), "length"))), lease, deadline
        )
        assert isinstance(found, LargeBody)
        found.start()
        parts = found.parts()
        next(parts)
        threading.Event().wait(0.2)
        next(parts)
    assert deadline.at >= before + 0.2


@examples(100)
@given(
    st.sampled_from(["length", "chunked", "close"]),
    st.integers(400, 30_000),
    st.integers(0, 40_000),
    st.sampled_from(["md5", "crc32"]),
)
def test_no_cut_of_any_framing_passes_for_the_image(
    framing: str, size: int, keep: int, integrity: str
) -> None:
    body = jpeg("a.jpg", size)
    raw = framed(body, framing)
    try:
        image = read(raw[:keep], integrity=integrity)
    except (TransientError, PermanentError):
        assert keep < len(raw)
    else:
        assert bytes(image.body) == body


# --- compressed unasked


SVG = b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<path d='M 1 2'/>" * 5000 + b"</svg>"
NOISE = random.Random(1).randbytes(300_000)
LARGE_SVG = b"<svg><!--" + NOISE.hex().encode() + b"--></svg>"


def read_coded(body: bytes, *headers: str, framing: str = "length", **rules: Any) -> Any:
    """Return the image, or the parts of the large body with its media type and encoding."""
    lines = headers or ("Content-Encoding: gzip",)
    reader = BodyReader(
        rules.pop("check", "image"), rules.pop("max_buffer", 10 * MB), Md5, PART_BYTES, **rules
    )
    raw = framed(body, framing, *lines)
    with (
        BufferLease(BufferPool(400 * MB, threading.Event())) as lease,
        answer_on(Scripted(raw)) as answer,
    ):
        found = reader.read(answer, lease, Deadline(60))
        if isinstance(found, LargeBody):
            found.start()
            return b"".join(map(bytes, found.parts())), found.media_type, found.encoding
        return bytes(found.body), found.media_type, found.encoding, found.md5


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
@pytest.mark.parametrize("data", [SVG, JPEG], ids=["svg", "jpeg"])
def test_compressed_body_is_decoded_or_kept(data: bytes, framing: str) -> None:
    media_type = "image/svg+xml" if data is SVG else "image/jpeg"
    coded = gzip.compress(data)
    decoded = read_coded(coded, framing=framing)
    assert decoded == (data, media_type, "", hashlib.md5(data).digest())
    kept = read_coded(coded, framing=framing, decodes=False)
    assert kept == (coded, media_type, "gzip", hashlib.md5(coded).digest())


def test_large_compressed_body_goes_in_parts() -> None:
    coded = gzip.compress(LARGE_SVG, 1)
    assert read_coded(coded, max_buffer=100_000) == (LARGE_SVG, "image/svg+xml", "")
    assert read_coded(coded, max_buffer=100_000, decodes=False) == (coded, "image/svg+xml", "gzip")
    for decodes in (True, False):
        with pytest.raises(TransientError, match="ended early"):
            read_coded(coded[:-9], max_buffer=100_000, decodes=decodes)


@pytest.mark.parametrize("decodes", [True, False])
def test_cut_gzip_whose_length_agrees_is_truncated(decodes: bool) -> None:
    with pytest.raises(TransientError) as caught:
        read_coded(gzip.compress(SVG)[:-20], decodes=decodes)
    assert caught.value.cause == "truncated"


@pytest.mark.parametrize("decodes", [True, False])
@pytest.mark.parametrize("coding", ["gzip", "br", "deflate"])
def test_image_that_is_not_compressed_at_all_keeps_no_coding(coding: str, decodes: bool) -> None:
    found = read_coded(JPEG, f"Content-Encoding: {coding}", decodes=decodes)
    assert found == (JPEG, "image/jpeg", "", hashlib.md5(JPEG).digest())


@pytest.mark.parametrize("decodes", [True, False])
def test_page_in_a_compressed_body_is_not_an_image(decodes: bool) -> None:
    page = gzip.compress(b"<html><title>Login</title>" + bytes(100))
    with pytest.raises(PermanentError, match="starts with <html>") as caught:
        read_coded(page, "Content-Encoding: gzip", "Content-Type: text/html; charset=utf-8", decodes=decodes)
    assert (caught.value.cause, caught.value.label) == ("not_an_image", "text/html")


def test_coding_that_cannot_be_decoded_is_refused_or_kept() -> None:
    with pytest.raises(PermanentError, match=r"encoded \(br\).*CONTENT_CHECK=none"):
        read_coded(b"\x1b\x00brotli", "Content-Encoding: br")
    kept = read_coded(b"\x1b\x00brotli", "Content-Encoding: br", "Content-Type: image/svg+xml", check="none")
    assert kept[:3] == (b"\x1b\x00brotli", "image/svg+xml", "br")


@pytest.mark.parametrize("before", [0, 15, 18])
def test_secret_that_the_cdn_repeats_is_not_shown(before: int) -> None:
    reader = BodyReader(
        "image", MB, Md5, PART_BYTES, conceal=lambda text: text.replace("t0ken-of-mine", "***")
    )
    said = b"." * before + b"no access for t0ken-of-mine" + bytes(100)
    raw = framed(said, "length", "Content-Type: text/t0ken-of-mine")
    with (
        BufferLease(BufferPool(400 * MB, threading.Event())) as lease,
        answer_on(Scripted(raw)) as answer,
        pytest.raises(PermanentError) as caught,
    ):
        reader.read(answer, lease, Deadline(60))
    assert "t0ken" not in caught.value.message + caught.value.label
    assert "***" in caught.value.message


def test_label_of_a_refused_body_is_what_the_cdn_calls_it() -> None:
    with pytest.raises(PermanentError) as caught:
        read(framed(b"%PDF-1.7", "length", "Content-Type: Application/PDF; version=1"))
    assert caught.value.label == "application/pdf"
    with pytest.raises(PermanentError) as caught:
        read(framed(b"%PDF-1.7", "length"))
    assert caught.value.label == ""
