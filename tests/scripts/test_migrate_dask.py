"""migrate.py with DASK_SCHEDULER: a real scheduler and workers over TLS keep what one machine keeps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("distributed", reason="DASK_SCHEDULER needs requirements-dask.txt, from Python 3.10 on")

from tests.dask_cluster import DaskCluster, tls_variables
from tests.fakes.tls import TlsMaterial
from tests.scripts.world import NewWorld, World

URLS = 200


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory, tls_material: TlsMaterial) -> Iterator[DaskCluster]:
    """A scheduler and two workers, which all tests share that do not break it."""
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"))
    try:
        cluster.start_worker(count=2)
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def world(new_world: NewWorld, dask: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> World:
    for name, text in dask.client_variables.items():
        monkeypatch.setenv(name, text)
    return new_world(URLS, latency=0.01, CONCURRENCY=8, DASK_SCHEDULER=dask.address)


def test_all_is_moved_once(world: World) -> None:
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved_once()
    print(ran.said, ran.seconds)
