"""Request bodies as S3 takes them: framing, aws-chunked, and every digest the client declares."""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from collections.abc import Mapping
from typing import Callable, NamedTuple

from tests.fakes.s3_errors import S3Error
from tests.fakes.wire import BadRequestError, Connection, Request

TRAILER_PAYLOAD = "STREAMING-UNSIGNED-PAYLOAD-TRAILER"
_CHECKSUM = "x-amz-checksum-"
_DIGESTS: dict[str, Callable[[bytes], bytes]] = {
    "crc32": lambda data: zlib.crc32(data).to_bytes(4, "big"),
    "sha1": lambda data: hashlib.sha1(data).digest(),
    "sha256": lambda data: hashlib.sha256(data).digest(),
}


class Payload(NamedTuple):
    """A decoded body whose declared digests all held."""

    body: bytes
    md5: str  # 32 hex digits, of `body`
    checksums: dict[str, str]  # header name -> base64 value, as declared and checked


def read_body(connection: Connection, request: Request) -> bytes:
    """Read the body off the wire, HTTP framing removed. Raises S3Error, BadRequestError."""
    if "chunked" in request.headers.get("transfer-encoding", "").lower():
        if "content-length" in request.headers:
            raise BadRequestError("Content-Length beside Transfer-Encoding: chunked")
        return connection.read_chunked()
    length = request.headers.get("content-length", "0")
    if not length.isdigit():
        raise BadRequestError(f"Content-Length {length!r}")
    return connection.read(int(length))


def decode(request: Request, raw: bytes, check_md5: bool = True, check_sums: bool = True) -> Payload:
    """Undo aws-chunked and check every digest; the flags imitate servers that ignore some. Raises S3Error."""
    body = raw
    trailers: dict[str, str] = {}
    declared = request.headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    if declared == TRAILER_PAYLOAD:
        body, trailers = _undo_aws_chunked(raw)
        _check_decoded_length(request, body)
        _check_announced(request, trailers)
    elif declared != "UNSIGNED-PAYLOAD" and hashlib.sha256(raw).hexdigest() != declared:
        raise S3Error("XAmzContentSHA256Mismatch")
    md5 = hashlib.md5(body).digest()
    if check_md5:
        _check_content_md5(request, md5)
    checksums = _check_checksums({**request.headers, **trailers}, body) if check_sums else {}
    return Payload(body, md5.hex(), checksums)


def require_length(request: Request) -> None:
    """Raise MissingContentLength where S3 wants to know the size before the body."""
    wanted = "content-length"
    if request.headers.get("x-amz-content-sha256") == TRAILER_PAYLOAD:
        wanted = "x-amz-decoded-content-length"
    if wanted not in request.headers:
        raise S3Error("MissingContentLength")


def _undo_aws_chunked(raw: bytes) -> tuple[bytes, dict[str, str]]:
    blocks: list[bytes] = []
    position = 0
    while True:
        end = raw.find(b"\r\n", position)
        try:
            size = int(raw[position:end].split(b";")[0], 16)
        except ValueError as exc:
            raise S3Error("IncompleteBody", "aws-chunked body without a chunk size") from exc
        position = end + 2
        if end < 0 or position + size > len(raw):
            raise S3Error("IncompleteBody", "aws-chunked body ended early")
        if size == 0:
            return b"".join(blocks), _trailers(raw[position:])
        blocks.append(raw[position : position + size])
        position += size
        if raw[position : position + 2] != b"\r\n":
            raise S3Error("IncompleteBody", "aws-chunked chunk without its line end")
        position += 2


def _trailers(data: bytes) -> dict[str, str]:
    lines = [line for line in data.decode("latin-1").split("\r\n") if line]
    pairs = [line.partition(":") for line in lines]
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _check_decoded_length(request: Request, body: bytes) -> None:
    if str(len(body)) != request.headers.get("x-amz-decoded-content-length", str(len(body))):
        raise S3Error("IncompleteBody", "x-amz-decoded-content-length differs from the body")


def _check_announced(request: Request, trailers: Mapping[str, str]) -> None:
    if request.headers.get("x-amz-trailer", "").lower() != ",".join(trailers):
        raise S3Error("MalformedTrailerError")


def _check_content_md5(request: Request, md5: bytes) -> None:
    declared = request.headers.get("content-md5")
    if declared is None:
        return
    digest = _decode64(declared)
    if digest is None or len(digest) != 16:
        raise S3Error("InvalidDigest")
    if digest != md5:
        calculated = base64.b64encode(md5).decode()
        raise S3Error("BadDigest", ExpectedDigest=declared, CalculatedDigest=calculated)


def _check_checksums(fields: Mapping[str, str], body: bytes) -> dict[str, str]:
    checked = {}
    for name, value in fields.items():
        algorithm = name[len(_CHECKSUM) :] if name.startswith(_CHECKSUM) else ""
        if algorithm in ("", "type", "mode", "algorithm"):
            continue
        if algorithm not in _DIGESTS:
            raise S3Error("NotImplemented", f"{name} is not implemented here")
        digest, expected = _decode64(value), _DIGESTS[algorithm](body)
        if digest is None or len(digest) != len(expected):
            raise S3Error("InvalidRequest", f"Value for {name} header is invalid.")
        if digest != expected:
            message = f"The {algorithm.upper()} you specified did not match the calculated checksum."
            raise S3Error("BadDigest", message)
        checked[name] = value
    if "x-amz-sdk-checksum-algorithm" in fields and not checked:
        message = (
            "x-amz-sdk-checksum-algorithm specified, but no corresponding x-amz-checksum-* header found."
        )
        raise S3Error("InvalidRequest", message)
    return checked


def _decode64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
