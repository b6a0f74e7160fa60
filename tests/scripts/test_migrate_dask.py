"""migrate.py with DASK_SCHEDULER: a real scheduler and real workers over TLS keep what one machine keeps."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("distributed", reason="DASK_SCHEDULER needs requirements-dask.txt, from Python 3.10 on")

from tests import ROOT
from tests.dask_cluster import CREDENTIALS, DaskCluster, tls_variables, until
from tests.fakes.rules import Rule
from tests.fakes.tls import TlsMaterial
from tests.ports import listening
from tests.running import QUICK, assert_consistent, counts
from tests.scripts.world import NewWorld, World

URLS = 240
WORKERS = 8  # CONCURRENCY: of this machine, whose two Dask workers share them
CANARY = "CANARY7f3a"
PAGES = ("info/main/workers.html", "info/main/logs.html", "json/identity.json", "info/logs.html", "metrics")


@pytest.fixture(scope="module")
def dask(tmp_path_factory: pytest.TempPathFactory, tls_material: TlsMaterial) -> Iterator[DaskCluster]:
    """A scheduler and two workers over TLS, which all tests share that leave it as it was."""
    pair = str(tls_material.certificate)
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"), tls_variables(str(tls_material.ca_bundle), pair))
    try:
        cluster.start_worker(count=2, variables={**CREDENTIALS, "SOURCE_HEADERS": f"X-Token: {CANARY}"})
        yield cluster
    finally:
        cluster.close()


@pytest.fixture
def own_dask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DaskCluster]:
    """A scheduler, which a test may break, and no workers yet."""
    cluster = DaskCluster(tmp_path_factory.mktemp("own-dask"))
    yield cluster
    cluster.close()


def world_of(dask: DaskCluster, new_world: NewWorld, patch: pytest.MonkeyPatch, **settings: object) -> World:
    for name, text in dask.client_variables.items():
        patch.setenv(name, text)
    return new_world(
        URLS, **{"latency": 0.02, "CONCURRENCY": WORKERS, "DASK_SCHEDULER": dask.address, **settings}
    )


@pytest.fixture
def world(new_world: NewWorld, dask: DaskCluster, monkeypatch: pytest.MonkeyPatch) -> World:
    return world_of(dask, new_world, monkeypatch, SOURCE_HEADERS=f"X-Token: {CANARY}")


def page(dask: DaskCluster, path: str) -> str:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{dask.dashboard}/{path}", timeout=5) as answer:
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return str(error.read().decode(errors="replace"))


def test_all_is_moved_once_and_no_secret_shows(world: World, dask: DaskCluster) -> None:
    world.use(f"{url}?signature={CANARY}" for url in world.urls)
    pages: list[str] = []

    def look() -> None:
        pages.extend(page(dask, path) for path in PAGES)
        keys = [
            word
            for word in page(dask, "info/main/workers.html").split('"')
            if "/info/worker/" in word or "worker/" in word
        ]
        pages.extend(
            page(dask, "info/" + key.partition("info/")[2] if "info/" in key else f"info/{key}")
            for key in keys[:4]
        )

    with world.job.running(LOG_LEVEL="DEBUG") as running:
        running.until(lambda: world.has_completed(40))
        look()
        ran = running.end()
    assert ran.code == 0, ran.said
    assert world.job.failed() == {}
    assert len(world.job.completed()) == URLS
    assert world.writes() == {1}
    assert sum(world.source.bodies.values()) == URLS
    assert counts(world.job)["completed"] == URLS
    assert any("cdn2s3" in text or "127.0.0.1" in text for text in pages)
    for text in (*pages, dask.logs(), ran.said, world.job.log):
        assert CANARY not in text
        assert "secret" not in text.replace("/secrets", "")


@pytest.mark.slow
def test_nothing_listens_but_dask_itself(
    dask: DaskCluster, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = f"X-Token: {CANARY}"  # its workers have them
    world = world_of(dask, new_world, monkeypatch, latency=1.0, SOURCE_HEADERS=headers)
    workers = dask.workers[0]
    until(lambda: len(workers.children()) == 2)
    with world.job.running() as running:
        running.until(lambda: world.has_completed(8))
        of_coordinator = listening([running.pid])
        of_scheduler, of_workers = listening(dask.scheduler.pids()), listening(workers.pids())
        identity = json.loads(page(dask, "json/identity.json"))["workers"]
        running.send(signal.SIGINT)
        assert running.end().code == 130
    assert of_coordinator == set()
    assert of_scheduler == {("127.0.0.1", dask.port), ("127.0.0.1", dask.dashboard)}
    known = {int(address.rpartition(":")[2]) for address in identity}
    known |= {int(one["nanny"].rpartition(":")[2]) for one in identity.values()}
    known |= {one["services"]["dashboard"] for one in identity.values()}
    assert {port for _, port in of_workers} == known
    assert {address for address, _ in of_workers} == {"127.0.0.1"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("side", "how"), [("source", "refuse"), ("bucket", "ServiceUnavailable")], ids=lambda value: value
)
def test_outage_over_the_limit_ends_the_run_and_blames_no_url(world: World, side: str, how: str) -> None:
    server = {"source": world.source, "bucket": world.s3}[side]
    world.source.rules.at(
        80, server.network.refuse if how == "refuse" else lambda: server.rules.add(Rule(how))
    )
    ran = world.job.run(OUTAGE_LIMIT=2, MAX_RETRIES=0)
    assert ran.code == 3, ran.said
    assert f"the {side} has been down" in ran.err
    assert "OUTAGE_LIMIT" in ran.err
    assert ran.err.count("error:") <= 1  # of both workers, once
    assert world.job.failed() == {}
    assert counts(world.job)["not_tried"] == URLS - len(world.job.completed()) > 0
    assert_consistent(world.job, world.source, world.s3)
    server.rules.clear()
    server.network.heal()
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved()
    assert world.writes() == {1}


def test_killed_worker_costs_what_it_had_in_flight(world: World, dask: DaskCluster) -> None:
    workers = dask.workers[0]
    until(lambda: len(workers.children()) == 2)
    with world.job.running() as running:
        world.source.rules.at(60, lambda: os.kill(workers.children()[0], signal.SIGKILL))
        ran = running.end()
    assert ran.code == 0, ran.said
    assert ran.err.count("is gone: others take over its") == 1
    world.assert_all_moved_once(again=100)  # and what it had not told yet: it tells four times a second
    assert counts(world.job)["completed"] == URLS


def test_killed_coordinator_stops_its_workers_and_the_next_run_loses_nothing(
    dask: DaskCluster, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    headers = f"X-Token: {CANARY}"
    world = world_of(dask, new_world, monkeypatch, latency=0.25, SOURCE_HEADERS=headers)
    world.use(world.urls[:120])  # handed out at once: four seconds of work
    with world.job.running() as running:
        world.source.rules.at(30, lambda: os.kill(running.pid, signal.SIGKILL))
        assert running.end().code == -signal.SIGKILL
    time.sleep(1)  # so long the workers may go on
    before = sum(world.source.bodies.values())
    time.sleep(1)
    assert sum(world.source.bodies.values()) == before < 90
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved()
    assert world.writes() == {1}
    assert {row.how for row in world.job.completed()} <= {"stored", "found"}


def test_first_signal_ends_uploads_in_flight(world: World) -> None:
    with world.job.running() as running:
        world.source.rules.at(80, lambda: running.send(signal.SIGINT))
        ran = running.end()
    assert ran.code == 130, ran.said
    assert "stopping: waiting for" in ran.err
    objects = {key for key in world.s3.objects("bucket") if key.endswith(".jpg")}
    assert {row.key for row in world.job.completed()} == objects
    assert 0 < len(objects) < URLS
    assert counts(world.job)["not_tried"] == URLS - len(objects)


def test_scheduler_that_is_not_there_is_an_error_that_says_what_to_type(new_world: NewWorld) -> None:
    world = new_world(3, DASK_SCHEDULER="tcp://127.0.0.1:9")
    ran = world.job.run(quick={**QUICK, "cdn2s3.executors.dask_client._CONNECT_SECONDS": 0.3})
    assert ran.code == 3
    assert "the Dask scheduler at tcp://127.0.0.1:9 (DASK_SCHEDULER) does not answer" in ran.err
    assert (
        "python -m dask scheduler --host tcp://0.0.0.0 --port 9 --dashboard-address 127.0.0.1:8787" in ran.err
    )
    assert world.s3.objects("bucket") == {}
    assert "Traceback" not in ran.said


@pytest.mark.slow
def test_check_tells_of_the_scheduler_and_of_each_worker(world: World, dask: DaskCluster) -> None:
    stranger = dask.start_worker(variables={}, nanny=False)
    ran = world.job.run("--check")
    stranger.close()
    said = " ".join(ran.out.split())
    assert f"cluster the scheduler at {dask.address} answers" in said
    assert said.count(": credentials from the environment or the settings file, key ...TEST") in (1, 2)
    assert "SOURCE_HEADERS in its environment are not those of the coordinator" in said
    assert "no AWS credentials were found" in said
    assert ran.code == 1, ran.said
    assert CANARY not in ran.said
    assert not any("probe" in key for key in world.s3.objects("bucket"))


@pytest.mark.slow
def test_unfit_workers_are_named_and_the_others_do_the_work(
    own_dask: DaskCluster, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    older, nothing = tmp_path / "older", tmp_path / "nothing"
    shutil.copytree(ROOT / "cdn2s3", older / "cdn2s3", ignore=shutil.ignore_patterns("__pycache__"))
    (older / "cdn2s3" / "keys.py").write_text((ROOT / "cdn2s3" / "keys.py").read_text() + "\n# older\n")
    nothing.mkdir()
    for code, variables in ((older, CREDENTIALS), (nothing, CREDENTIALS), (ROOT, {}), (ROOT, CREDENTIALS)):
        own_dask.start_worker(code, variables=variables, nanny=False)
    world = world_of(own_dask, new_world, monkeypatch)
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved_once()
    assert ran.err.count("is left out") == 3
    assert "has other code than this machine: there cdn2s3" in ran.err
    assert "does not find this project's code (ModuleNotFoundError)" in ran.err
    assert "no AWS credentials were found" in ran.err


@pytest.mark.slow
def test_worker_with_other_headers_gets_no_work(
    own_dask: DaskCluster, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_dask.start_worker(nanny=False)
    world = world_of(own_dask, new_world, monkeypatch, SOURCE_HEADERS=f"X-Token: {CANARY}")
    ran = world.job.run()
    assert ran.code == 3
    assert "SOURCE_HEADERS in the environment of this worker are not those of the coordinator" in ran.err
    assert sum(world.source.bodies.values()) == 0
    assert CANARY not in ran.said + own_dask.logs()


@pytest.mark.slow
def test_dead_scheduler_ends_the_run_and_a_new_one_resumes_it(
    own_dask: DaskCluster, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    own_dask.start_worker(nanny=False)
    world = world_of(own_dask, new_world, monkeypatch)
    with world.job.running() as running:
        world.source.rules.at(80, own_dask.scheduler.close)
        ran = running.end()
    assert ran.code == 3, ran.said
    assert "is gone" in ran.err
    assert "run the same command again: it resumes" in ran.err
    done = len(world.job.completed())
    assert counts(world.job)["not_tried"] == URLS - done
    own_dask.restart_scheduler()
    own_dask.start_worker(nanny=False)
    ran = world.job.run()
    assert ran.code == 0, ran.said
    world.assert_all_moved()
    assert world.writes() == {1}


@pytest.mark.slow
def test_worker_that_joins_late_is_used(
    own_dask: DaskCluster, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(own_dask, new_world, monkeypatch, latency=0.4)
    with world.job.running() as running:
        running.until(lambda: "0 already done" in world.job.log)
        own_dask.start_worker(nanny=False)
        running.until(lambda: world.has_completed(20))
        own_dask.start_worker(nanny=False)
        ran = running.end()
    assert ran.code == 0, ran.said
    assert ran.err.count("begins:") == 2
    world.assert_all_moved_once()


@pytest.mark.slow
def test_no_worker_is_an_error_that_says_what_to_type(
    own_dask: DaskCluster, new_world: NewWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = world_of(own_dask, new_world, monkeypatch)
    ran = world.job.run(quick={**QUICK, "cdn2s3.executors.cluster._FIRST_WORKER": 0.5})
    assert ran.code == 3
    assert f"python -m dask worker {own_dask.address} --nthreads 1 --nworkers -1 --no-dashboard" in ran.err


@pytest.mark.slow
def test_delta_and_undo_work_on_this_machine_and_say_so(new_world: NewWorld) -> None:
    world = new_world(3)
    assert world.job.run().code == 0
    for arguments in (("--delta",), ("--undo", "--yes")):
        ran = world.job.run(*arguments, DASK_SCHEDULER="tcp://127.0.0.1:9")
        assert ran.code == 0, ran.said
        assert (
            "DASK_SCHEDULER is for the transfers of a run: this command works on this machine alone"
            in ran.err
        )
    assert not [key for key in world.s3.objects("bucket") if key.endswith(".jpg")]
