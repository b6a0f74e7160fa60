"""LocalStack's own S3 provider, in host mode (without its container)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.stores.install import pip_packages
from tests.stores.processes import free_port, server
from tests.stores.store import Endpoint, Store

_VERSION = "2026.3.0"
_REQUIREMENTS = [
    f"localstack-core[base-runtime]=={_VERSION}",
    *(
        "cbor2<5.8",
        "pyopenssl<25.2",
        "cryptography<46",
        "service_identity<25",
    ),  # what that release works with
]
_OLDEST_PYTHON = (3, 12)  # its metadata says 3.10


def install(cache: Path) -> None:
    pip_packages(cache, _REQUIREMENTS, _OLDEST_PYTHON)


@contextmanager
def serve(cache: Path, folder: Path) -> Iterator[Endpoint]:
    port = free_port()
    environment = {
        "GATEWAY_LISTEN": f"127.0.0.1:{port}",
        "GATEWAY_SERVER": "hypercorn",  # the usual one, twisted, listens on every address
        "SERVICES": "s3",
        "FILESYSTEM_ROOT": str(folder),
        "DNS_ADDRESS": "0",  # no name server
        "SKIP_SSL_CERT_DOWNLOAD": "1",
        "DISABLE_EVENTS": "1",
    }
    with server([cache / "bin" / "python", "-m", "localstack.runtime.main"], folder, environment) as running:
        running.until(lambda: "Ready." in running.said())
        yield Endpoint(f"http://127.0.0.1:{port}", "AKIALOCALSTACK", "secret", _VERSION)


STORE = Store("localstack", "LocalStack's S3", "PyPI localstack-core[base-runtime]", install, serve)
