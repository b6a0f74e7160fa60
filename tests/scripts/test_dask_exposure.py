"""What a Dask cluster shows to others while it works: the ports of the documented commands, and Dask's own pages."""

from __future__ import annotations

import json
import re
import signal
import socket
import ssl
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote, urljoin, urlsplit

import pytest

pytest.importorskip("distributed", reason="DASK_SCHEDULER needs requirements-dask.txt, from Python 3.10 on")

from tests import ROOT
from tests.dask_cluster import CREDENTIALS, DaskCluster, DaskProcess, free_port, tls_variables
from tests.fakes.tls import TlsMaterial
from tests.ports import listening
from tests.running import environment
from tests.scripts.world import NewWorld

pytestmark = pytest.mark.slow

CANARY = "CANARY7f3a"
SECRETS = {  # what a worker has in its environment, by the setting
    "AWS_ACCESS_KEY_ID": "AKIACANARY7f3a",
    "AWS_SECRET_ACCESS_KEY": f"aws-{CANARY}",
    "SOURCE_HEADERS": f"Cookie: {CANARY}",
}
PAGES = (
    "info/main/workers.html", "info/main/exceptions.html", "info/main/logs.html", "individual-plots.json",
    "json/counts.json", "json/identity.json", "json/index.html", "metrics", "health", "sitemap.json", "status",
)  # fmt: skip
MOST = 120  # pages
PATIENCE = 60.0  # seconds for an answer
ASK_EVERYTHING = """
import sys
from distributed import Client


def tasks(dask_scheduler):
    return [(str(key), repr(state.run_spec), repr(state)) for key, state in dask_scheduler.tasks.items()]


client = Client(sys.argv[1], timeout=60, set_as_default=False)
found = client.run_on_scheduler(tasks)
print(found, client.scheduler_info(), client.get_scheduler_logs(), client.get_worker_logs())
print(client.get_worker_logs(nanny=True), client.call_stack(keys=[key for key, *_ in found]))
print(client.story([key for key, *_ in found], on_error="ignore"), client.get_events(), client.processing())
print("all asked")
client.close()
"""


@pytest.fixture
def tls(tls_material: TlsMaterial) -> dict[str, str]:
    return tls_variables(str(tls_material.ca_bundle), str(tls_material.certificate))


@pytest.fixture
def dask(tmp_path_factory: pytest.TempPathFactory, tls: dict[str, str]) -> Iterator[DaskCluster]:
    cluster = DaskCluster(tmp_path_factory.mktemp("dask"), tls)
    try:
        cluster.start_worker(variables=SECRETS)
        yield cluster
    finally:
        cluster.close()


def get(url: str) -> str:
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return str(answer.read().decode(errors="replace"))
    except urllib.error.HTTPError as error:
        return str(error.read().decode(errors="replace"))


def crawled(base: str, starts: tuple[str, ...]) -> dict[str, str]:
    """Return the pages below base by their URLs: those of starts, and what these link to."""
    found: dict[str, str] = {}
    waiting = [urljoin(base, start) for start in starts]
    while waiting and len(found) < MOST:
        url = waiting.pop(0)
        if url in found or urlsplit(url).netloc != urlsplit(base).netloc or "/statics/" in url:
            continue
        found[url] = get(url)
        waiting += [urljoin(url, link) for link in re.findall(r'href="([^"#]+)"', found[url])]
    return found


def test_no_secret_is_in_dasks_pages_tasks_events_and_logs(
    dask: DaskCluster,
    new_world: NewWorld,
    monkeypatch: pytest.MonkeyPatch,
    tls: dict[str, str],
    tmp_path: Path,
) -> None:
    for name, text in tls.items():
        monkeypatch.setenv(name, text)
    world = new_world(240, latency=2.0, CONCURRENCY=8, DASK_SCHEDULER=dask.address, **SECRETS)
    world.s3.change(credentials={SECRETS["AWS_ACCESS_KEY_ID"]: SECRETS["AWS_SECRET_ACCESS_KEY"]})
    world.use(f"{url}?signature={CANARY}" for url in world.urls)
    scheduler = f"http://127.0.0.1:{dask.dashboard}/"
    with world.job.running(LOG_LEVEL="DEBUG") as running:
        running.until(lambda: world.has_completed(8))
        identity = json.loads(get(f"{scheduler}json/identity.json"))["workers"]
        pages = crawled(scheduler, PAGES)
        for address, one in identity.items():
            pages |= crawled(scheduler, (f"info/worker/{quote(address, safe='')}.html",))
            pages |= crawled(
                f"http://127.0.0.1:{one['services']['dashboard']}/", ("metrics", "health", "status")
            )
        asked = subprocess.run(
            [sys.executable, "-c", ASK_EVERYTHING, dask.address],
            env={**environment(tmp_path), **tls}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        running.send(signal.SIGINT)
        ran = running.end()
    assert ran.code == 130, ran.said
    assert "all asked" in asked.stdout, asked.stderr
    assert "cdn2s3-" in asked.stdout, "our task was looked at"
    assert any("/info/task/" in url or "/info/call-stack" in url for url in pages)
    shown = {**pages, "asked": asked.stdout + asked.stderr, "Dask's log": dask.logs(), "screen": ran.said}
    shown["log"] = world.job.log
    assert {name for name, text in shown.items() if CANARY in text} == set()
    assert {name for name, text in shown.items() if world.urls[0].partition("?")[0] in text} <= {"log"}


def documented() -> dict[str, str]:
    """Return both commands of docs/cluster.md, what follows `python -m dask` in them."""
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    commands = re.findall(r"^    python -m dask (.*)$", text, re.MULTILINE)
    return {words.split()[0]: words for words in commands}


def is_refused(address: tuple[str, int], authority: str) -> bool:
    """Return whether somebody without a certificate is told nothing at an address."""
    context = ssl.create_default_context(cafile=authority)
    context.check_hostname = False
    try:
        with (
            socket.create_connection(address, timeout=PATIENCE) as plain,
            context.wrap_socket(plain) as connection,
        ):
            return connection.recv(1) == b""
    except (ssl.SSLError, ConnectionResetError):
        return True


def test_documented_commands_open_dasks_ports_and_these_ask_for_a_certificate(
    tmp_path: Path, tls: dict[str, str], tls_material: TlsMaterial
) -> None:
    port, dashboard = free_port(), free_port()
    variables = {**environment(tmp_path), **tls, **CREDENTIALS, "PYTHONUNBUFFERED": "1"}

    def started(what: str) -> DaskProcess:
        command = documented()[what].replace("--nworkers -1", "--nworkers 1")
        command = command.replace("8786", str(port)).replace("8787", str(dashboard))
        words = command.replace("10.0.0.5", "127.0.0.1").split()
        return DaskProcess(words, tmp_path, tmp_path / f"{what}.log", variables)

    scheduler = started("scheduler")
    worker = None
    try:
        scheduler.until_said("Scheduler at:")
        worker = started("worker")
        worker.until_said("Registered to:")
        identity = json.loads(get(f"http://127.0.0.1:{dashboard}/json/identity.json"))["workers"]
        ((address, one),) = identity.items()
        assert listening(scheduler.pids()) == {("0.0.0.0", port), ("127.0.0.1", dashboard)}
        opened = listening(worker.pids())
        inside = {("127.0.0.1", one["services"]["dashboard"])}
        assert inside <= opened
        dasks = {int(each.rpartition(":")[2]) for each in (address, one["nanny"])}
        assert {number for _, number in opened - inside} == dasks
        for host, number in {*opened - inside, ("127.0.0.1", port)}:
            reached = "127.0.0.1" if host in ("0.0.0.0", "::") else host
            assert is_refused((reached, number), str(tls_material.ca_bundle)), f"{host}:{number}"
    finally:
        for process in (worker, scheduler):
            if process is not None:
                process.close()
