"""Run the real scripts as processes against the local servers, and read what they leave behind."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, NamedTuple

from cdn2s3.state import ledger
from tests import ROOT
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial
from tests.processes import Limits, Process

PATIENCE = 60.0  # seconds; a run that takes longer hangs
QUICK = {  # what makes a test of minutes one of seconds: the code is the same, its waits are shorter
    "migrate.SECOND_PASS_AFTER": 0.3,
    "cdn2s3.resilience.circuit_breaker.FIRST_PROBE": 0.3,
    "cdn2s3.resilience.circuit_breaker.LONGEST_WAIT": 1.0,
    "cdn2s3.resilience.retry.LONGEST_WAIT": 1.0,
}
_RUNNER = """\
import importlib, json, sys
for name, value in json.loads(sys.argv.pop(1)).items():
    module, _, constant = name.rpartition(".")
    assert hasattr(importlib.import_module(module), constant), name
    setattr(sys.modules[module], constant, value)
exec(sys.argv.pop(1))
import migrate
if __name__ == "__main__":
    sys.exit(migrate.main(sys.argv[1:]))
"""


class Ran(NamedTuple):
    """A run that has ended."""

    code: int
    out: str
    err: str
    seconds: float

    @property
    def said(self) -> str:
        """What a person saw."""
        return self.out + self.err


class Running:
    """A run that goes on: wait for a condition, send it a signal, collect its end."""

    def __init__(
        self,
        command: Sequence[str],
        folder: Path,
        limits: Limits | None = None,
        terminal: int | None = None,
        from_nothing: bool = False,
    ) -> None:
        """terminal is the file descriptor of one for it to run in, as the leader of a session of its own.

        from_nothing: start a Python as a user does, instead of a fork of one that has imported everything.
        """
        self._began = time.monotonic()
        self._process: Process | subprocess.Popen[str]
        if from_nothing:
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                command, cwd=folder, env=environment(folder), stdout=pipe, stderr=pipe, text=True
            )
        elif terminal is None:
            self._process = Process(command, folder, environment(folder), limits=limits)
        else:
            streams = {"stdin": terminal, "stdout": terminal, "stderr": terminal}
            self._process = Process(
                command, folder, environment(folder), limits=limits, own_session=True, **streams
            )

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_over(self) -> bool:
        return self._process.poll() is not None

    def until(self, condition: Callable[[], bool], patience: float = PATIENCE) -> None:
        """Wait until condition holds; fail when it does not in time, or the run ends before."""
        deadline = time.monotonic() + patience
        while not condition():
            if self.is_over:
                raise AssertionError(f"the run ended before: {self.end()}")
            assert time.monotonic() < deadline, "what was waited for did not come"
            time.sleep(0.01)

    def send(self, number: int) -> None:
        self._process.send_signal(number)

    def kill(self) -> None:
        """Kill it (-9) and wait for its end."""
        self.send(signal.SIGKILL)
        self.end()

    def end(self, patience: float = PATIENCE) -> Ran:
        """Wait for the end; fail when it does not come."""
        try:
            out, err = self._process.communicate(timeout=patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            out, err = self._process.communicate()
            raise AssertionError(f"it did not end within {patience} s:\n{out}{err}") from None
        return Ran(self._process.returncode, out, err, time.monotonic() - self._began)

    def close(self) -> None:
        if not self.is_over:
            self._process.kill()
        self._process.communicate()


class Migration:
    """A folder with migration.env, urls.txt and the state, and the command that works on it."""

    def __init__(self, folder: Path, **settings: object) -> None:
        self.folder = folder
        self.settings: dict[str, object] = {
            "DESTINATION_BUCKET": "bucket",
            "DESTINATION_PREFIX": "img/",
            "PRESERVE_PATH_STRUCTURE": "true",
            "AWS_ACCESS_KEY_ID": "AKIATEST",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "CONCURRENCY": 8,
            "MAX_RETRIES": 1,
            "DOWNLOAD_TIMEOUT": 5,
            "UPLOAD_TIMEOUT": 5,
            **settings,
        }

    def urls(self, urls: Iterable[str]) -> None:
        """Write urls.txt."""
        (self.folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")

    def start(
        self,
        *arguments: str,
        quick: Mapping[str, float] = QUICK,
        before: str = "",
        limits: Limits | None = None,
        terminal: int | None = None,
        from_nothing: bool = False,
        **settings: object,
    ) -> Running:
        """Start migrate.py; quick are constants to set, before is code to run first, settings as in the file."""
        chosen = {**self.settings, **settings}
        lines = "".join(f"{name}={value}\n" for name, value in chosen.items())
        (self.folder / "migration.env").write_text(lines)
        command = [sys.executable, str(ROOT / "migrate.py")]
        if quick or before:
            command = [sys.executable, "-c", _RUNNER, json.dumps(quick), before]
        return Running([*command, *arguments], self.folder, limits, terminal, from_nothing)

    def run(self, *arguments: str, patience: float = PATIENCE, **options: Any) -> Ran:
        """Run migrate.py to its end."""
        running = self.start(*arguments, **options)
        try:
            return running.end(patience)
        finally:
            running.close()

    @contextmanager
    def running(self, *arguments: str, **options: Any) -> Iterator[Running]:
        """Start migrate.py, and leave nothing behind."""
        running = self.start(*arguments, **options)
        try:
            yield running
        finally:
            running.close()

    # -- what it leaves behind

    def path(self, name: str) -> Path:
        return self.folder / str(self.settings.get("STATE_DIR", ".")) / name

    def text(self, name: str) -> str:
        path = self.path(name)
        return path.read_text(encoding="utf-8", errors="surrogateescape") if path.exists() else ""

    @property
    def log(self) -> str:
        return self.text("migration.log")

    def completed(self) -> list[ledger.Completed]:
        """Return all records of completed.txt; fail when a line is none."""
        return [_record(ledger.completed(line), line) for line in _lines(self.path("completed.txt"))]

    def failed(self) -> dict[str, ledger.Failed]:
        """Return the records of failed_transfers.txt by URL; fail when a line is none, or a URL is there twice."""
        records = [_record(ledger.failed(line), line) for line in _lines(self.path("failed_transfers.txt"))]
        by_url = {record.url: record for record in records}
        assert len(by_url) == len(records), "a URL stands in failed_transfers.txt twice"
        return by_url

    def causes(self) -> dict[str, str]:
        """Return the cause of each URL that failed."""
        return {url: record.cause for url, record in self.failed().items()}

    def report(self) -> dict[str, Any]:
        report: dict[str, Any] = json.loads(self.text("migration_report.json"))
        return report


def migration(
    folder: Path, source: SourceServer, s3: S3Server, tls: TlsMaterial, **settings: object
) -> Migration:
    """Return a migration from source to s3."""
    ends = {"URL_PREFIX": source.url_prefix, "AWS_ENDPOINT_URL": s3.url, "CA_BUNDLE": tls.ca_bundle}
    return Migration(folder, **{**ends, **settings})


def key_of(source: SourceServer, url: str, prefix: str = "img/") -> str:
    """Return the key that a plain URL of source gets."""
    return prefix + url[len(source.url) + 1 :]


def assert_moved(
    job: Migration, source: SourceServer, s3: S3Server, urls: Iterable[str], once: bool = True
) -> None:
    """Assert that each URL is completed, once, and its object is its source's bytes."""
    objects = s3.objects("bucket")
    rows = [record.url for record in job.completed()]
    for url in urls:
        held = objects.get(key_of(source, url))
        assert held is not None, f"{url} was not stored"
        assert held.read() == source.body(url), f"{url} was stored with other bytes"
        assert rows.count(url) == 1 if once else url in rows, f"{url} has {rows.count(url)} completed rows"


def assert_consistent(job: Migration, source: SourceServer, s3: S3Server) -> None:
    """Assert what holds after every run: no URL both done and failed, what is completed is in the bucket."""
    rows, failed, objects = job.completed(), job.failed(), s3.objects("bucket")
    assert len({row.url for row in rows}) == len(rows), "a URL is completed twice"
    assert not failed.keys() & {row.url for row in rows}, "a URL is both completed and failed"
    for row in rows:
        held = objects.get(row.key)
        assert held is not None, f"{row.url} is completed and not in the bucket"
        assert held.read() == source.body(row.url), f"{row.url} is completed with other bytes"
        assert (row.size, row.md5) in ((str(held.size), held.md5), (str(held.size), "-"))


def counts(job: Migration) -> dict[str, int]:
    """Return the figures of the closing audit; fail when they do not add up."""
    lines: dict[str, Any] = job.report()["lines"]
    assert lines.pop("add_up") is True, lines
    return lines


def no_processes_of(folder: Path) -> bool:
    """Tell whether no process works in folder any more."""
    return not any(
        re.fullmatch(r"\d+", entry.name) and _cwd(entry) == folder.resolve()
        for entry in Path("/proc").iterdir()
    )


def _cwd(entry: Path) -> Path | None:
    try:
        return (entry / "cwd").resolve()
    except OSError:
        return None


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which nothing of this machine's AWS set-up plays a part."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "HOME": str(folder),
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def _lines(path: Path) -> list[bytes]:
    if not path.exists():
        return []
    content = path.read_bytes()
    assert content == b"" or content.endswith(b"\n"), f"{path.name} ends in a torn line"
    return content.split(b"\n")[:-1]


def _record(record: Any, line: bytes) -> Any:
    assert record is not None, f"no record: {line!r}"
    return record
