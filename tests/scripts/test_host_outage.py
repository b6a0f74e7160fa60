"""A list of two hosts, one of which is gone or throttles: its own URLs wait, and the others are moved meanwhile."""

from __future__ import annotations

from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import Migration
from tests.tiers import slow

COUNT = 120


class TwoHosts:
    """Two CDNs, of which one breaks, and a migration of images of both in turns."""

    def __init__(self, folder: Path, good: SourceServer, bad: SourceServer, s3: S3Server) -> None:
        self.good, self.bad, self.s3 = good, bad, s3
        self.job = Migration(
            folder, URL_PREFIX=f"{good.url_prefix}=good/ {bad.url_prefix}=bad/", AWS_ENDPOINT_URL=s3.url,
            CONCURRENCY=60, DOWNLOAD_TIMEOUT=1, OUTAGE_LIMIT=4,
        )  # fmt: skip
        self.job.urls(source.url_of(f"{n}.jpg") for n in range(COUNT) for source in (bad, good))

    def completed(self, source: SourceServer) -> int:
        return sum(row.url.startswith(source.url_prefix) for row in self.job.completed())


@pytest.fixture
def hosts(
    tmp_path: Path, source_server: Callable[..., SourceServer], s3_server: Callable[..., S3Server]
) -> TwoHosts:
    return TwoHosts(tmp_path, source_server(), source_server(latency=0.01), s3_server())


@pytest.mark.parametrize(("how", "processes"), [slow("refuse", 1), ("503", 1), slow("403", 2)])
def test_host_that_stays_away_costs_its_own_urls_alone(hosts: TwoHosts, how: str, processes: int) -> None:
    if how == "refuse":
        hosts.bad.network.refuse()
    else:
        hosts.bad.rules.add(Rule(how))
    ran = hosts.job.run(PROCESSES=processes)
    assert ran.code == 3, ran.said
    assert f"the source {hosts.bad.url} has been down" in ran.said
    assert hosts.completed(hosts.good) == COUNT
    assert hosts.job.failed() == {}
    hosts.bad.rules.clear()
    hosts.bad.network.heal()
    again = hosts.job.run()
    assert again.code == 0, again.said
    assert hosts.completed(hosts.bad) == COUNT
    assert sum(hosts.good.bodies.values()) == COUNT


def test_host_that_comes_back_is_gone_on_with(hosts: TwoHosts) -> None:
    hosts.bad.network.refuse()
    with hosts.job.running(OUTAGE_LIMIT=60) as running:
        running.until(lambda: hosts.completed(hosts.good) == COUNT)
        assert hosts.completed(hosts.bad) == 0
        hosts.bad.network.heal()
        ran = running.end(30)
    assert ran.code == 0, ran.said
    assert (hosts.completed(hosts.bad), hosts.job.failed()) == (COUNT, {})


def test_signal_ends_a_run_that_waits_for_a_host(hosts: TwoHosts) -> None:
    hosts.bad.network.refuse()
    with hosts.job.running(OUTAGE_LIMIT=60) as running:
        running.until(lambda: hosts.completed(hosts.good) == COUNT)
        running.send(15)
        ran = running.end(20)
    assert ran.code == 143, ran.said
    assert hosts.job.failed() == {}
