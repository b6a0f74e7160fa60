"""s3rver, over a local folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stores.install import npm_package
from tests.stores.processes import free_port, server
from tests.stores.store import Endpoint, Store

_VERSION = "3.7.1"
_KEY = "S3RVER"  # the only one it knows, and its own secret


def install(cache: Path) -> None:
    npm_package(cache, f"s3rver@{_VERSION}")


@contextmanager
def serve(cache: Path, folder: Path) -> Iterator[Endpoint]:
    port = free_port()
    program = cache / "node_modules" / ".bin" / "s3rver"
    command: list[str | Path] = [
        program,
        "-d",
        folder / "data",
        "-a",
        "127.0.0.1",
        "-p",
        str(port),
        "--no-vhost-buckets",
    ]
    with server(command, folder) as running:
        running.until_it_listens(port)
        yield Endpoint(f"http://127.0.0.1:{port}", _KEY, _KEY, _VERSION)


STORE = Store("s3rver", "s3rver", "npm s3rver", install, serve)
