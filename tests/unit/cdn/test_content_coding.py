"""Bodies that are compressed unasked: decoded or checked, whole or truncated, in bounded memory."""

from __future__ import annotations

import gzip
import random
import zlib
from typing import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.cdn.content_coding import CheckedBody, DecodedBody, coding_of, decoded_start
from cdn2s3.errors import PermanentError, TransientError
from tests.fakes.images import jpeg
from tests.properties import examples
from tests.tiers import slow

SVG = b"<svg xmlns='http://www.w3.org/2000/svg'>" + b"<path d='M 1 2'/>" * 5000 + b"</svg>"
JPEG = jpeg("a.jpg", 30_000)


def deflate(data: bytes) -> bytes:
    packer = zlib.compressobj(wbits=-15)
    return packer.compress(data) + packer.flush()


class Pieces:
    """A body that comes in pieces of up to step bytes."""

    length = None
    chunked = False
    has_surplus = False

    def __init__(self, data: bytes, step: int = 1 << 20) -> None:
        self.headers = {"content-encoding": "gzip"}
        self._data = data
        self._step = step

    def read_into(self, view: memoryview, /) -> int:
        piece = self._data[: min(self._step, len(view))]
        self._data = self._data[len(piece) :]
        view[: len(piece)] = piece
        return len(piece)


def drained(body: DecodedBody | CheckedBody, room: int = 10_000) -> bytes:
    """Read body to its end with room for so many bytes at a time."""
    found, view = bytearray(), memoryview(bytearray(room))
    while got := body.read_into(view):
        found += view[:got]
    return bytes(found)


CODED = [
    pytest.param("gzip", gzip.compress, id="gzip"),
    pytest.param("x-gzip", gzip.compress, id="x-gzip"),
    pytest.param("deflate", zlib.compress, id="deflate"),
    pytest.param("deflate", deflate, id="deflate without a wrapper"),
    pytest.param("gzip", lambda data: gzip.compress(data[:9]) + gzip.compress(data[9:]), id="two members"),
    pytest.param("gzip", lambda data: gzip.compress(data) + bytes(600), id="padded"),
    pytest.param("gzip", bytes, id="mislabeled gzip"),
    pytest.param("deflate", bytes, id="mislabeled deflate"),
]


@pytest.mark.parametrize("step", [slow(1), 7, 1 << 20])
@pytest.mark.parametrize("data", [SVG, slow(JPEG), JPEG[:20]], ids=["svg", "jpeg", "few bytes"])
@pytest.mark.parametrize(("coding", "code"), CODED)
def test_body_is_decoded_and_kept(
    coding: str, code: Callable[[bytes], bytes], data: bytes, step: int
) -> None:
    coded = code(data)
    assert drained(DecodedBody(Pieces(coded, step), coding)) == data
    assert drained(CheckedBody(Pieces(coded, step), coding)) == coded
    assert bytes(decoded_start(memoryview(coded), coding, 15)) == data[:15]


@pytest.mark.parametrize("kind", [DecodedBody, CheckedBody])
@pytest.mark.parametrize(("coding", "code"), CODED[:5])
def test_coding_that_ends_early_is_truncated(
    coding: str, code: Callable[[bytes], bytes], kind: type[DecodedBody]
) -> None:
    coded = code(SVG)
    for cut in (len(coded) - 1, len(coded) // 2, 70):
        with pytest.raises(TransientError, match="ended early") as caught:
            drained(kind(Pieces(coded[:cut]), coding))
        assert caught.value.cause == "truncated"


@pytest.mark.parametrize("kind", [DecodedBody, CheckedBody])
def test_damaged_coding_is_no_image(kind: type[DecodedBody]) -> None:
    coded = bytearray(gzip.compress(JPEG))
    coded[-6] ^= 1  # the CRC-32 of what is in it
    with pytest.raises(PermanentError, match="damaged") as caught:
        drained(kind(Pieces(bytes(coded)), "gzip"))
    assert caught.value.cause == "not_an_image"


@pytest.mark.parametrize("kind", [DecodedBody, CheckedBody])
def test_bomb_is_no_image(kind: type[DecodedBody]) -> None:
    with pytest.raises(PermanentError, match="more than 100 times"):
        drained(kind(Pieces(gzip.compress(SVG + bytes(30_000_000))), "gzip"), 1 << 20)


def test_small_blank_picture_is_no_bomb() -> None:
    blank = b"BM" + bytes(5_000_000)
    assert drained(DecodedBody(Pieces(gzip.compress(blank)), "gzip"), 1 << 20) == blank


def test_end_of_a_coded_body_shows_by_itself() -> None:
    body = DecodedBody(Pieces(gzip.compress(SVG)), "gzip")
    drained(body)
    assert body.chunked
    plain = DecodedBody(Pieces(SVG), "gzip")
    drained(plain)
    assert not plain.chunked


@examples(100)
@given(st.integers(0, 2000), st.integers(1, 40), st.integers(1, 3000), st.integers(0, 5))
def test_any_sizes(size: int, step: int, room: int, members: int) -> None:
    data = random.Random(size).randbytes(size)  # no secret
    coded = b"".join(gzip.compress(data) for _ in range(members))
    body = DecodedBody(Pieces(coded, step), "gzip")
    assert drained(body, room) == data * members


@pytest.mark.parametrize(
    ("header", "coding"),
    [
        ("gzip", "gzip"),
        ("GZIP ", "gzip"),
        ("identity", ""),
        ("none", ""),
        ("", ""),
        ("identity, gzip", "gzip"),
        ("br", "br"),
        ("aws-chunked", ""),
        ("gzip,aws-chunked", "gzip"),
        ("gzip, gzip", "gzip, gzip"),
    ],
)
def test_coding_of_a_header(header: str, coding: str) -> None:
    assert coding_of({"content-encoding": header}) == coding
