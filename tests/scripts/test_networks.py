"""Networks as companies have them: proxies, with and without a password, and authorities of their own."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import ROOT
from tests.fakes.proxy import ProxyServer
from tests.fakes.wire import response
from tests.running import assert_consistent
from tests.scripts.world import NewWorld, World
from tests.tiers import slow

CANARY = "canary%40password"


@pytest.fixture
def proxy(monkeypatch: pytest.MonkeyPatch) -> Iterator[ProxyServer]:
    with ProxyServer(user="mover", password="canary@password") as server:
        monkeypatch.setenv("HTTPS_PROXY", server.url_with(f"mover:{CANARY}"))
        yield server


def sides(world: World) -> list[str]:
    return sorted(url.partition("://")[2] for url in (world.source.url, world.s3.url))


@pytest.mark.parametrize("processes", [1, slow(2)])
def test_all_of_a_migration_goes_through_the_proxy(
    new_world: NewWorld, proxy: ProxyServer, processes: int
) -> None:
    world = new_world(20, PROCESSES=processes, LOG_LEVEL="DEBUG")
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved_once()
    assert sorted(set(proxy.tunnels)) == sides(world)
    assert len(proxy.tunnels) == world.source.network.connections + world.s3.network.connections
    everything = ran.said + "".join(
        path.read_text(errors="replace") for path in world.job.folder.iterdir() if path.is_file()
    )
    assert "canary" not in everything
    assert "is reached through the proxy http://***@127.0.0.1:" in world.job.log


def test_check_tells_which_side_goes_through_which_proxy(
    new_world: NewWorld, proxy: ProxyServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(1)
    ran = world.job.run("--check")
    words = " ".join(ran.out.split())
    for side, url in (("source", world.source.url), ("bucket", world.s3.url)):
        expected = f"{side} {url.partition('://')[2]}: through http://***@127.0.0.1:{proxy.network.port} (HTTPS_PROXY)"
        assert expected in words
    assert sorted(set(proxy.tunnels)) == sides(world)
    assert "canary" not in ran.said


@pytest.mark.parametrize("status", [403, 407])
def test_refusal_of_the_proxy_stops_the_run_and_no_url_is_blamed(
    new_world: NewWorld, proxy: ProxyServer, status: int
) -> None:
    world = new_world(20)
    proxy.answers = response(status, [("Connection", "close")], b"<h1>Not from here</h1>")
    proxy.answers_for = world.source.url.rpartition(":")[2]
    ran = world.job.run()
    assert ran.code == 3, ran.said
    assert f"answered {status} for {proxy.answers_for and world.source.url[8:]} (Not from here)" in ran.err
    assert "Traceback" not in ran.err
    assert (world.job.failed(), world.job.completed(), len(world.source.log)) == ({}, [], 0)


def test_proxy_that_does_not_reach_the_source_is_an_outage_of_the_source(
    new_world: NewWorld, proxy: ProxyServer
) -> None:
    world = new_world(60, OUTAGE_LIMIT=1)
    proxy.answers = response(502, [("Connection", "close")], b"no route")
    proxy.answers_for = world.source.url.rpartition(":")[2]
    ran = world.job.run()
    assert ran.code == 3, ran.said
    assert "answered 502" in ran.said + world.job.log and "no route" in ran.said + world.job.log
    assert (world.job.failed(), world.job.completed()) == ({}, [])
    assert_consistent(world.job, world.source, world.s3)


@pytest.mark.parametrize(
    "arguments",
    [["migrate.py"], slow(["migrate.py", "--check"]), slow(["validate.py"]), slow(["collect_urls.py"])],
    ids=str,
)
@pytest.mark.parametrize(
    ("variable", "value"),
    [("AWS_CA_BUNDLE", "/no/such/bundle.pem"), slow("HTTPS_PROXY", "socks5://canary:canary@127.0.0.1:1080")],
)
def test_variable_that_cannot_be_used_is_named_before_anything_is_contacted(
    new_world: NewWorld, arguments: list[str], variable: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = new_world(1)
    monkeypatch.setenv(variable, value)
    folder = world.job.folder
    lines = [f"{name}={setting}\n" for name, setting in world.job.settings.items()]
    (folder / "migration.env").write_text("".join(lines))
    (folder / "collection.env").write_text(f"API_BASE_URL={world.source.url}/api\nOUTPUT_FILE=new.txt\n")
    command = [sys.executable, str(ROOT / arguments[0]), *arguments[1:]]
    ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert variable in ran.stderr
    assert "Traceback" not in ran.stderr and "canary" not in ran.stderr
    assert world.source.network.connections == world.s3.network.connections == 0
    assert (
        not (folder / "failed_transfers.txt").exists()
        or Path(folder / "failed_transfers.txt").read_text() == ""
    )
