"""Ceph's object gateway (RGW) over one monitor and one OSD that keeps everything in memory."""

from __future__ import annotations

import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.stores.install import debian_environment, debian_packages
from tests.stores.processes import ServerFailed, environment_with, free_port, server
from tests.stores.store import Endpoint, Store

_PACKAGES = ["ceph-mon", "ceph-osd", "radosgw"]
_KEY, _SECRET = "AKIACEPH", "secret-of-ceph"
_PATIENCE = 60.0  # seconds for one of Ceph's commands


def install(cache: Path) -> None:
    debian_packages(cache, _PACKAGES)


@contextmanager
def serve(cache: Path, folder: Path) -> Iterator[Endpoint]:
    ceph = _Ceph(cache / "root", folder)
    with ExitStack() as stack:
        port = ceph.start(stack)
        version = ceph.run("ceph", "--version").split()[2]
        yield Endpoint(f"http://127.0.0.1:{port}", _KEY, _SECRET, version)


class _Ceph:
    """The programs and the configuration of one node."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._folder = folder
        self._environment = debian_environment(root)
        self._programs = root / "usr" / "bin"
        self._id = str(uuid.uuid4())
        self._monitor = f"v2:127.0.0.1:{free_port()}"
        libraries = next(root.glob("usr/lib/*/ceph"))
        self._configuration = folder / "ceph.conf"
        self._configuration.write_text(
            f"""[global]
fsid = {self._id}
mon host = [{self._monitor}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
run dir = {folder}
admin socket =
log to stderr = true
err to stderr = true
log file =
mon cluster log file =
crash dir = {folder}
plugin dir = {libraries}
erasure code dir = {libraries / "erasure-code"}
osd class dir = {libraries.parent / "rados-classes"}
osd objectstore = memstore
memstore device bytes = 4G
osd data = {folder}/osd
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 4
osd pool default pg autoscale mode = off
osd crush chooseleaf type = 0
mon data = {folder}/mon
mon allow pool size one = true
mon max pg per osd = 1000
rgw data = {folder}/rgw
"""
        )

    def start(self, stack: ExitStack) -> int:
        """Start monitor, OSD and gateway, each for as long as stack; return the gateway's port."""
        self._start_monitor(stack)
        self._start_osd(stack)
        self.run(
            "radosgw-admin", "user", "create", "--uid=user", "--display-name=user",
            f"--access-key={_KEY}", f"--secret-key={_SECRET}",
        )  # fmt: skip
        port = free_port()
        gateway = self._command(
            "radosgw", "-f", "--auth-client-required=none", f"--rgw-frontends=beast endpoint=127.0.0.1:{port}"
        )
        running = stack.enter_context(server(gateway, self._folder, self._environment))
        running.until_it_listens(port)
        return port

    def _start_monitor(self, stack: ExitStack) -> None:
        monitors = self._folder / "monmap"
        self.run(
            "monmaptool", "--create", "--fsid", self._id, "--addv", "a", f"[{self._monitor}]", str(monitors)
        )
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", str(monitors))
        running = stack.enter_context(
            server(self._command("ceph-mon", "-f", "-i", "a"), self._folder, self._environment)
        )
        running.until_it_listens(int(self._monitor.rpartition(":")[2]))

    def _start_osd(self, stack: ExitStack) -> None:
        (self._folder / "osd").mkdir()
        osd = str(uuid.uuid4())
        number = self.run("ceph", "osd", "new", osd).strip()
        self.run("ceph-osd", "-i", number, "--mkfs", "--osd-uuid", osd)
        running = stack.enter_context(
            server(self._command("ceph-osd", "-f", "-i", number), self._folder, self._environment)
        )
        running.until(lambda: "1 up" in self.run("ceph", "osd", "stat"))

    def run(self, program: str, *arguments: str) -> str:
        """Run one of Ceph's commands and return what it prints; raise ServerFailed."""
        ran = subprocess.run(
            self._command(program, *arguments), cwd=self._folder, env=environment_with(self._environment),
            capture_output=True, text=True, timeout=_PATIENCE, check=False,
        )  # fmt: skip
        if ran.returncode:
            raise ServerFailed(f"{program} {' '.join(arguments[:3])}: {ran.stderr[-600:]}")
        return ran.stdout

    def _command(self, program: str, *arguments: str) -> list[str]:
        return [str(self._programs / program), "--conf", os.fspath(self._configuration), *arguments]


STORE = Store("ceph", "Ceph RGW", "Debian ceph-mon ceph-osd radosgw", install, serve)
