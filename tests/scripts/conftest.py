"""The fixtures of the end-to-end tests: worlds to migrate, and a disk that can be full."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Callable

import pytest

from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial
from tests.running import migration
from tests.scripts.disk import Disk, NotPermitted, mounted
from tests.scripts.world import NewWorld, World


@pytest.fixture
def new_world(
    tmp_path: Path,
    source_tls_server: Callable[..., SourceServer],
    s3_tls_server: Callable[..., S3Server],
    tls_material: TlsMaterial,
) -> NewWorld:
    """Return a maker of worlds: `new_world(60, latency=0.02, store={"kms_default": True}, CONCURRENCY=30)`."""

    def make(
        urls: int,
        latency: float = 0.0,
        store: Mapping[str, Any] | None = None,
        **settings: object,
    ) -> World:
        source, s3 = source_tls_server(latency=latency), s3_tls_server(**(store or {}))
        world = World(source, s3, migration(tmp_path, source, s3, tls_material, **settings))
        world.use(source.url_of(f"i{number:04}.jpg") for number in range(urls))
        return world

    return make


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Disk]:
    """Return a small disk; skip the test where mounting is not permitted."""
    folder = tmp_path / "disk"
    folder.mkdir()
    try:
        with mounted(folder) as small:
            yield small
    except NotPermitted as why:
        pytest.skip(f"mounting a small tmpfs is not permitted here: {why}")
