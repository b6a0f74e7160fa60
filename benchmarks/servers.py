"""nginx as the CDN (static files) and as the bucket (WebDAV and a little Lua), both on a memory disk.

The bucket answers as S3 does where the migration looks: 412 to `If-None-Match: *` on an existing object, the
MD5 as the ETag, a wrong CRC-32 of the guard probe refused. The MD5 is that of the request, or comes from a table of
the photographs' (write_md5s), so that it costs the contest no core. It stores plain files, so that a run can be
checked by comparing files.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import md5
from pathlib import Path
from typing import NamedTuple

import trustme

HERE = Path(__file__).resolve().parent
BUCKET = "bench-bucket"
LOOPBACK = "127.0.0.1"
MODULES = Path("/usr/lib/nginx/modules")
_NEEDED = ("ndk_http_module.so", "ngx_http_lua_module.so")

_CONFIG = """
{modules}
{user}
daemon off;
worker_processes 2;
worker_rlimit_nofile 8192;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    log_format times '$msec $request_time $request_method $status';
    access_log {folder}/requests.log times buffer=256k;
    default_type image/jpeg;
    sendfile on;
    tcp_nopush on;
    keepalive_requests 100000000;
    keepalive_timeout 300s;
    client_max_body_size 0;
    client_body_buffer_size 256k;
    client_body_temp_path {folder}/bodies;
    proxy_temp_path {folder}/unused; fastcgi_temp_path {folder}/unused;
    scgi_temp_path {folder}/unused; uwsgi_temp_path {folder}/unused;
    lua_shared_dict objects 64m;
    lua_shared_dict md5s 64m;
    init_by_lua_block {{
        local table_of_md5s = io.open("{folder}/md5s")
        for line in table_of_md5s and table_of_md5s:lines() or function() end do
            local uri, md5 = line:match("^(%S+) (%x+)$")
            ngx.shared.md5s:set(uri, md5)
        end
    }}
    {certificate}
    server {{
        listen {address}:{source_port}{tls} backlog=1024;
        root {folder}/source;
        location / {{ {source_wait} }}
    }}
    server {{
        listen {address}:{bucket_port}{tls} backlog=1024;
        root {folder}/buckets;
        set $service_ms {bucket_ms};
        location = /{bucket} {{ return 200; }}
        location = /{bucket}/ {{ return 200; }}
        location / {{
            dav_methods PUT DELETE;
            create_full_put_path on;
            client_body_in_file_only clean;
            access_by_lua_file {here}/s3_access.lua;
            header_filter_by_lua_file {here}/s3_answer.lua;
        }}
    }}
}}
"""


def write_md5s(folder: Path, key_of: Mapping[str, str]) -> None:
    """Write the table of MD5s for servers in folder; key_of gives the key for each path below folder/source."""
    lines = (
        f"/{BUCKET}/{key} {md5((folder / 'source' / path).read_bytes(), usedforsecurity=False).hexdigest()}\n"
        for path, key in key_of.items()
    )
    (folder / "md5s").write_text("".join(lines), encoding="ascii")


class Service(NamedTuple):
    """How the servers serve in one case."""

    tls: bool  # True: HTTPS on both sides
    source_ms: int = 0  # milliseconds before the CDN answers
    bucket_ms: int = 0  # milliseconds between the last byte of a body and the bucket's answer


class Times(NamedTuple):
    """When the servers were at work, as they saw it."""

    seconds: float  # from the beginning of the first GET to the end of the last request
    requests: int
    answers: Counter[tuple[str, str]]  # by method and status


class Servers:
    """One nginx, CDN and bucket; a context manager. folder should be on a memory disk.

    prefix is a command to start nginx with, such as `ip netns exec NAME`.
    """

    def __init__(
        self, folder: Path, service: Service, address: str = LOOPBACK, prefix: Sequence[str] = ()
    ) -> None:
        self.folder = folder
        self.service = service
        self._address = address
        self._prefix = list(prefix)
        self._process: subprocess.Popen[bytes] | None = None
        self._ports = (0, 0)

    @property
    def source_url(self) -> str:
        return f"{self._scheme}://{self._address}:{self._ports[0]}/"

    @property
    def bucket_url(self) -> str:
        return f"{self._scheme}://{self._address}:{self._ports[1]}"

    @property
    def _scheme(self) -> str:
        return "https" if self.service.tls else "http"

    @property
    def ca_file(self) -> Path:
        return self.folder / "ca.pem"

    @property
    def stored(self) -> Path:
        """The folder in which the bucket's objects lie, named by their keys."""
        return self.folder / "buckets" / BUCKET

    def __enter__(self) -> Servers:
        """Start with an empty bucket."""
        shutil.rmtree(self.folder / "buckets", ignore_errors=True)
        self.stored.mkdir(parents=True)
        (self.folder / "requests.log").unlink(missing_ok=True)
        if not self.ca_file.exists():
            self._make_certificates()
        self._ports = free_ports()
        config = self.folder / "nginx.conf"
        config.write_text(self._config(), encoding="ascii")
        self._process = subprocess.Popen(
            [*self._prefix, nginx(), "-e", str(self.folder / "error.log"), "-c", str(config)],
            stdin=subprocess.DEVNULL,
        )
        try:
            self._wait_until_up()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *unused: object) -> None:
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            self._process.wait(30)
            self._process = None

    def stop(self, since: float = 0.0, method: str = "GET") -> Times:
        """Stop, so that the log is whole, and return when the servers were at work, as times_in() does."""
        self.__exit__()
        return times_in(self.folder / "requests.log", since, method)

    def _wait_until_up(self) -> None:
        """Wait for nginx's pid file, which it writes once it listens; raise RuntimeError where it does not."""
        assert self._process is not None
        deadline = time.monotonic() + 10
        while not (self.folder / "nginx.pid").exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"nginx did not start:\n{(self.folder / 'error.log').read_text()}")
            time.sleep(0.01)

    def _make_certificates(self) -> None:
        authority = trustme.CA()
        authority.cert_pem.write_to_path(str(self.ca_file))
        authority.issue_cert(self._address).private_key_and_cert_chain_pem.write_to_path(
            str(self.folder / "server.pem")
        )

    def _config(self) -> str:
        service, folder = self.service, self.folder
        return _CONFIG.format(
            modules="\n".join(f"load_module {MODULES / name};" for name in _NEEDED),
            user="user root;" if os.geteuid() == 0 else "",
            folder=folder,
            here=HERE,
            address=self._address,
            bucket=BUCKET,
            source_port=self._ports[0],
            bucket_port=self._ports[1],
            tls=" ssl" if service.tls else "",
            certificate=f"ssl_certificate {folder}/server.pem; ssl_certificate_key {folder}/server.pem; "
            "ssl_session_cache shared:sessions:4m; ssl_prefer_server_ciphers on; "
            "ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384;",  # AWS's order
            source_wait=f"access_by_lua_block {{ ngx.sleep({service.source_ms / 1000}) }}"
            if service.source_ms
            else "",
            bucket_ms=service.bucket_ms,
        )


def nginx() -> str:
    """Return the path of nginx; end the program where it or its Lua module is missing."""
    path = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin:/usr/local/sbin")
    missing = [str(MODULES / name) for name in _NEEDED if not (MODULES / name).exists()]
    if path is None or missing:
        raise SystemExit("the benchmark needs nginx: apt-get install nginx libnginx-mod-http-lua")
    return path


def free_ports() -> tuple[int, int]:
    """Return two ports that were free a moment ago (nginx cannot be asked to choose)."""
    with socket.socket() as one, socket.socket() as two:
        for sock in (one, two):
            sock.bind(("", 0))
        return one.getsockname()[1], two.getsockname()[1]


def times_in(log: Path, since: float = 0.0, first: str = "GET") -> Times:
    """Return when the servers were at work, from nginx's log; 0 seconds where there was no request of method first.

    Requests that ended before since, in seconds since the epoch, do not count.
    """
    began, ended, answers = float("inf"), 0.0, Counter[tuple[str, str]]()
    with log.open(encoding="ascii") as lines:
        for line in lines:
            at, took, method, status = line.split()
            if float(at) < since:
                continue
            answers[method, status] += 1
            ended = max(ended, float(at))
            if method == first:
                began = min(began, float(at) - float(took))
    return Times(max(0.0, ended - began), sum(answers.values()), answers)
