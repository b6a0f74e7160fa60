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


_CUT = "of a client that is killed in the middle of a PUT it keeps an empty object, which then is a conflict"
_LIMITS = {
    "no unfinished upload is left": "it cannot list unfinished uploads (501)",
    "conformance: listing is sorted by the bytes of keys and keeps to the prefix": "it lists folder by folder",
}
_RACES = {
    "conformance: of several writers of one key one wins": "it ignores If-None-Match; a HEAD before is no lock",
    "every object has its source's bytes, what was there before stays, nothing else is there": _CUT,
    "each URL that cannot be moved has its cause": _CUT,
    "each completed row has the size and MD5 of its source": _CUT,
    "objects have the type of their bytes": _CUT,
    "missing.txt and mismatched.txt name what is not there, and nothing else": _CUT,
    "the spot check compares every image": _CUT,
    "after the repair, everything is as it was before the damage": _CUT,
    "a run after --adopt moves nothing that is there": _CUT,
    "the spot check finds what was adopted and is not the source's": _CUT,
}

STORE = Store("s3rver", "s3rver", "npm s3rver", install, serve, limits=_LIMITS, races=_RACES)
