"""A CDN and a bucket in one small process, for the quick benchmark: images made up, bodies checked and dropped.

GET /cdn/SIZE/NUMBER.jpg       an image of SIZE bytes; any two numbers differ
PUT, HEAD, DELETE /BUCKET/KEY  as S3: digests checked, `If-None-Match: *`, the MD5 as the ETag
GET /stored/PREFIX             how many keys below PREFIX hold the image that their name says
"""

from __future__ import annotations

import asyncio
import random
import re
import sys
import zlib
from base64 import b64encode
from functools import cache
from hashlib import md5

from benchmarks.photographs import JPEG_END, JPEG_HEAD

_NOISE = memoryview(random.Random(4).randbytes(4_000_000))
_LARGEST = len(_NOISE) // 2
_IMAGE = re.compile(r"(\d+)/(\d+)\.jpg$")
_HEAD_END = b"\r\n\r\n"


def image(size: int, number: int) -> bytes:
    """Return the image with that number: size bytes, which _LARGEST bounds."""
    middle = size - len(JPEG_HEAD) - 8 - len(JPEG_END)
    start = number * 1009 % _LARGEST
    return b"".join((JPEG_HEAD, number.to_bytes(8, "big"), _NOISE[start : start + middle], JPEG_END))


@cache
def image_md5(size: int, number: int) -> str:
    return md5(image(size, number), usedforsecurity=False).hexdigest()


class Exchanges(asyncio.Protocol):
    """One connection: requests one after the other."""

    def __init__(self, objects: dict[str, str]) -> None:
        self._objects = objects  # the MD5 in hex under each key
        self._pending = bytearray()  # bytes received and not yet understood
        self._method = self._path = ""
        self._headers: dict[str, str] = {}
        self._crc = 0  # CRC-32 of the body so far
        self._missing = -1  # bytes of the request's body that have not come; -1: its head has not

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._missing < 0:
            self._pending += data
            data = b""
            end = self._pending.find(_HEAD_END)
            if end < 0:
                return
            self._read_head(bytes(self._pending[:end]).decode("latin-1"))
            data = bytes(self._pending[end + 4 :])
            self._pending.clear()
        self._digest.update(data)
        if "x-amz-checksum-crc32" in self._headers:
            self._crc = zlib.crc32(data, self._crc)
        self._missing -= len(data)
        if self._missing == 0:
            self._missing = -1
            self._answer()

    def _read_head(self, text: str) -> None:
        first, *lines = text.split("\r\n")
        self._method, self._path, _ = first.split(" ")
        pairs = (line.split(":", 1) for line in lines)
        self._headers = {name.lower(): value.strip() for name, value in pairs}
        self._missing = int(self._headers.get("content-length", 0))
        self._digest, self._crc = md5(usedforsecurity=False), 0

    def _answer(self) -> None:
        path = self._path
        if self._method == "GET" and path.startswith("/cdn/"):
            found = _IMAGE.search(path)
            self._say("200 OK", body=image(int(found[1]), int(found[2])) if found else image(1000, 0))
        elif self._method == "GET" and path.startswith("/stored/"):
            self._say("200 OK", body=str(whole(self._objects, path[len("/stored/") :])).encode())
        elif self._method == "PUT":
            self._put(path)
        elif self._method == "DELETE":
            self._objects.pop(path, None)
            self._say("204 No Content")
        elif self._method == "HEAD" and path.count("/") == 1:  # the bucket
            self._say("200 OK")
        elif path in self._objects:
            self._say("200 OK", self._objects[path])
        else:
            self._say("404 Not Found")

    def _put(self, path: str) -> None:
        headers = self._headers
        wrong_md5 = headers.get("content-md5", "") not in ("", b64encode(self._digest.digest()).decode())
        crc = b64encode(self._crc.to_bytes(4, "big")).decode()
        if wrong_md5 or headers.get("x-amz-checksum-crc32", crc) != crc:
            self._say("400 Bad Request", body=b"<Error><Code>BadDigest</Code></Error>")
        elif headers.get("if-none-match") == "*" and path in self._objects:
            self._say("412 Precondition Failed", body=b"<Error><Code>PreconditionFailed</Code></Error>")
        else:
            self._objects[path] = self._digest.hexdigest()
            self._say("200 OK", self._objects[path])

    def _say(self, status: str, etag: str = "", body: bytes = b"") -> None:
        tag = f'ETag: "{etag}"\r\n' if etag else ""
        length = "" if status.startswith("204") else f"Content-Length: {len(body)}\r\n"
        self._transport.write(f"HTTP/1.1 {status}\r\n{length}{tag}\r\n".encode())
        if body:
            self._transport.write(body)


def whole(objects: dict[str, str], prefix: str) -> int:
    """Return how many objects below prefix are the image that their key names."""
    count = 0
    for path, digest in objects.items():
        found = _IMAGE.search(path)
        if found and f"/{prefix}" in path:
            count += digest == image_md5(int(found[1]), int(found[2]))
    return count


async def serve(exchanges: type[Exchanges]) -> None:
    """Serve on a free port, print it, and end when stdin does."""
    objects: dict[str, str] = {}
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: exchanges(objects), "127.0.0.1", 0, backlog=512)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(serve(Exchanges))
