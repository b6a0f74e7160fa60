"""OpenStack Swift with s3api: proxy, account, container and object server, one device, one replica."""

from __future__ import annotations

import getpass
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from tests.stores.install import debian_environment, debian_packages
from tests.stores.processes import ServerFailed, environment_with, free_port, server
from tests.stores.store import Endpoint, Store

_PACKAGES = ["swift-proxy", "swift-account", "swift-container", "swift-object", "memcached"]
_KEY, _SECRET = "test:tester", "testing"
_REGION = "us-east-1"  # its `location` unless it is told otherwise: a signature for another one is refused
_PIPELINE = (
    "catch_errors gatekeeper healthcheck cache listing_formats bulk s3api tempauth copy slo dlo versioned_writes "
    "symlink proxy-server"
)
# swift.conf is sought in /etc/swift unless it is said otherwise before the rest is imported.
_PROGRAM = """\
import sys
from swift.common import utils
utils.set_swift_dir(sys.argv[1])
from swift.common import wsgi
sys.exit(wsgi.run_wsgi(sys.argv[3], sys.argv[2]))
"""


def install(cache: Path) -> None:
    debian_packages(cache, _PACKAGES)


@contextmanager
def serve(cache: Path, folder: Path) -> Iterator[Endpoint]:
    swift = _Swift(cache / "root", folder)
    with ExitStack() as stack:
        port = swift.start(stack)
        yield Endpoint(f"http://127.0.0.1:{port}", _KEY, _SECRET, swift.version, _REGION)


class _Swift:
    """The programs and the configuration of one node."""

    def __init__(self, root: Path, folder: Path) -> None:
        self._root = root
        self._folder = folder
        self._environment = debian_environment(root)
        self._python = next(
            path for path in (root / "usr/bin/python3", Path("/usr/bin/python3")) if path.exists()
        )
        self._user = getpass.getuser()
        (folder / "devices" / "d1").mkdir(parents=True)
        self._write(
            "swift.conf", "[swift-hash]\nswift_hash_path_suffix = suffix\nswift_hash_path_prefix = prefix\n"
        )

    @property
    def version(self) -> str:
        eggs = next(self._root.glob("usr/lib/python3/dist-packages/swift-*.egg-info")).name
        return eggs[len("swift-") : -len(".egg-info")]

    def start(self, stack: ExitStack) -> int:
        """Start all servers, each for as long as stack; return the proxy's port."""
        cache = free_port()
        memcached: list[str | Path] = [
            self._root / "usr/bin/memcached",
            "-u",
            self._user,
            "-l",
            "127.0.0.1",
            "-p",
            str(cache),
        ]
        stack.enter_context(server(memcached, self._folder, self._environment)).until_it_listens(cache)
        for kind in ("account", "container", "object"):
            port = free_port()
            self._ring(kind, port)
            self._serve(stack, kind, port, f"[pipeline:main]\npipeline = {kind}-server\n[app:{kind}-server]\n"
                        f"use = egg:swift#{kind}\n")  # fmt: skip
        port = free_port()
        self._serve(stack, "proxy", port, self._proxy(cache))
        return port

    def _ring(self, kind: str, port: int) -> None:
        """Make the ring of a kind of server: its one device."""
        builder = f"{kind}.builder"
        self._run("create", builder, "4", "1", "0")
        self._run("add", builder, f"r1z1-127.0.0.1:{port}/d1", "1")
        self._run("rebalance", builder)

    def _run(self, command: str, builder: str, *arguments: str) -> None:
        program = self._root / "usr/bin/swift-ring-builder"
        ran = subprocess.run(
            [self._python, program, builder, command, *arguments], cwd=self._folder,
            env=environment_with(self._environment), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if ran.returncode > 1:  # 1 is a warning
            raise ServerFailed(f"swift-ring-builder {builder} {command}: {ran.stdout}{ran.stderr}"[-600:])

    def _serve(self, stack: ExitStack, kind: str, port: int, rest: str) -> None:
        common = (
            f"[DEFAULT]\nbind_ip = 127.0.0.1\nbind_port = {port}\nworkers = 0\nuser = {self._user}\n"
            f"swift_dir = {self._folder}\ndevices = {self._folder / 'devices'}\nmount_check = false\n"
        )
        configuration = self._write(f"{kind}-server.conf", common + rest)
        command: list[str | Path] = [
            self._python,
            "-c",
            _PROGRAM,
            self._folder,
            f"{kind}-server",
            configuration,
        ]
        stack.enter_context(server(command, self._folder, self._environment)).until_it_listens(port)

    def _proxy(self, cache: int) -> str:
        filters = {
            "cache": f"use = egg:swift#memcache\nmemcache_servers = 127.0.0.1:{cache}",
            "s3api": f"use = egg:swift#s3api\ns3_acl = false\nlocation = {_REGION}",
            "tempauth": f"use = egg:swift#tempauth\nuser_{_KEY.replace(':', '_')} = {_SECRET} .admin",
        }
        names = [name for name in _PIPELINE.split() if name != "proxy-server"]
        sections = (f"[filter:{name}]\n{filters.get(name, f'use = egg:swift#{name}')}\n" for name in names)
        app = "[app:proxy-server]\nuse = egg:swift#proxy\nallow_account_management = true\naccount_autocreate = true\n"
        return f"[pipeline:main]\npipeline = {_PIPELINE}\n{app}{''.join(sections)}"

    def _write(self, name: str, content: str) -> Path:
        path = self._folder / name
        path.write_text(content, encoding="ascii")
        return path


_RACES = {
    "conformance: of several writers of one key one wins": "PUT refuses If-None-Match; a HEAD before is no lock",
}

STORE = Store(
    "swift",
    "Swift with s3api",
    "Debian swift-proxy swift-account swift-container swift-object memcached",
    install,
    serve,
    races=_RACES,
)
