"""moto's server, in a process of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

from tests.stores.processes import free_port, server
from tests.stores.store import Endpoint, Store


def install(cache: Path) -> None:
    """Do nothing: requirements-dev.txt has it."""


@contextmanager
def serve(cache: Path, folder: Path) -> Iterator[Endpoint]:
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    with server(command, folder) as running:
        running.until_it_listens(port)
        yield Endpoint(f"http://127.0.0.1:{port}", "AKIAMOTO", "secret", version("moto"))


STORE = Store("moto", "moto", "PyPI moto[server]", install, serve)
