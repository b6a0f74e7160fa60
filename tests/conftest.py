"""Fixtures: the local S3 and CDN of tests/fakes, plain and over TLS, stopped after each test."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any, Callable

import pytest

from cdn2s3.http.trust import VARIABLES
from tests import warm
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial, make_tls

# A proxy or a bundle of this machine acts on every connection: none is part of a test, or of the scripts it runs.
for _name in [*os.environ]:
    if _name.lower().endswith("_proxy") or _name in VARIABLES:
        del os.environ[_name]


warm.share_botocore_data()
warm.trust(warm.few_authorities())


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests: with several workers the others fill the time that these wait."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)


@pytest.fixture(scope="session")
def tls_material(tmp_path_factory: pytest.TempPathFactory) -> TlsMaterial:
    """A CA and a server certificate for 127.0.0.1 and localhost, made once."""
    return make_tls(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def s3_server() -> Iterator[Callable[..., S3Server]]:
    """Return a factory of S3 servers over plain HTTP: `s3_server(buckets=("b",), kms_default=True)`."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(S3Server(**settings))


@pytest.fixture
def s3_tls_server(tls_material: TlsMaterial) -> Iterator[Callable[..., S3Server]]:
    """Return a factory of S3 servers over HTTPS."""
    with ExitStack() as stack:
        yield lambda **settings: stack.enter_context(S3Server(tls=tls_material.context, **settings))


@pytest.fixture
def source_server() -> Iterator[Callable[..., SourceServer]]:
    """Return a factory of CDNs over plain HTTP: `source_server(sizes=lambda target: 390_000)`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(SourceServer(**options))


@pytest.fixture
def source_tls_server(tls_material: TlsMaterial) -> Iterator[Callable[..., SourceServer]]:
    """Return a factory of CDNs over HTTPS."""

    def make(**options: Any) -> SourceServer:
        return stack.enter_context(SourceServer(tls=tls_material.context, **options))

    with ExitStack() as stack:
        yield make
