"""No secret is written anywhere but where the contract puts the line it stands in."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.fakes.rules import Rule
from tests.fakes.tls import TlsMaterial
from tests.running import migration
from tests.tiers import slow

KEY, SECRET, TOKEN, QUERY, USER = (
    "AKIACANARY0KEY", "canary-secret-key", "canary-session-token", "canary-query", "canary-user",
)  # fmt: skip
CANARIES = (KEY, SECRET, TOKEN, QUERY, USER)
EXACT_LINES = {"urls.txt", "completed.txt", "failed_transfers.txt", "collisions.txt"}  # their first field


@pytest.mark.parametrize(
    ("method", "processes"), [("signed", "1"), slow("put_object", "1"), slow("signed", "2")]
)
def test_secrets_are_in_no_log_state_report_or_process_title(
    tmp_path: Path,
    source_tls_server: Any,
    s3_tls_server: Any,
    tls_material: TlsMaterial,
    method: str,
    processes: str,
) -> None:
    source = source_tls_server()
    s3 = s3_tls_server(credentials={KEY: SECRET}, tokens={KEY: TOKEN})
    faults = ["404", "403", "500", "reset", "short_body", "html", "redirect_host", "stall_headers", "garbage"]
    urls = [f"{source.url_of('a.jpg', fault)}?token={QUERY}/{number}" for number, fault in enumerate(faults)]
    urls += [f"{source.url_prefix}b{n}.jpg?token={QUERY}" for n in range(40)]
    urls += [
        f"https://{USER}:{USER}@{source.url[8:]}/images/c.jpg?{QUERY}",
        f"https://elsewhere.example/c.jpg?{QUERY}",
        f"{source.url_prefix}d%0a.jpg?{QUERY}",
    ]
    job = migration(
        tmp_path,
        source,
        s3,
        tls_material,
        UPLOAD_METHOD=method,
        PROCESSES=processes,
        STATE_DIR="state",
        LOG_LEVEL="DEBUG",
        DOWNLOAD_TIMEOUT=1,
        AWS_ACCESS_KEY_ID=KEY,
        AWS_SECRET_ACCESS_KEY=SECRET,
        AWS_SESSION_TOKEN=TOKEN,
    )
    job.urls(urls)
    s3.rules.add(Rule("InternalError", operation="PutObject", pattern="b1"))
    s3.put("bucket", "img/images/b20.jpg", b"other")
    with job.running(from_nothing=True) as running:  # a fork has the title of its server
        running.until(lambda: len(source.log) > 10)
        titles = titles_of(running.pid)
        ran = running.end()
    assert len(titles) >= (1 if processes == "1" else 3), titles  # the run, and each of its processes
    assert ran.code == 1, ran.said
    assert len(job.completed()) > 20
    assert len(job.failed()) > 10
    s3.change(tokens={KEY: "renewed"})
    refused = job.run()
    assert refused.code == 3, refused.said
    texts = {"stdout": ran.out, "stderr": ran.err, "titles": "\n".join(titles), "refused": refused.said}
    for path in (tmp_path / "state").iterdir():
        text = path.read_text(encoding="utf-8", errors="replace")
        if path.name in EXACT_LINES:
            text = "\n".join(line.partition("\t")[2] for line in text.splitlines())
        texts[path.name] = text
    assert "migration.log" in texts
    leaks = [(name, canary) for name, text in texts.items() for canary in CANARIES if canary in text]
    assert leaks == []


def titles_of(pid: int) -> list[str]:
    """Return what anybody on the machine may read of a process and of those it started: command line and name."""
    titles = []
    for task in Path(f"/proc/{pid}/task").iterdir():
        children = (task / "children").read_text().split()
        titles += [title for child in children for title in titles_of(int(child))]
    folder = Path(f"/proc/{pid}")
    return [f"{(folder / 'cmdline').read_text()} {(folder / 'comm').read_text()}", *titles]


def test_image_requests_carry_no_credentials(
    tmp_path: Path, source_tls_server: Any, s3_tls_server: Any, tls_material: TlsMaterial
) -> None:
    source, s3 = source_tls_server(), s3_tls_server()
    (tmp_path / ".netrc").write_text("machine 127.0.0.1 login canary-user password canary-secret\n")
    source.rules.add(Rule("cookies"))
    job = migration(tmp_path, source, s3, tls_material)
    job.urls(source.url_of(f"{n}.jpg") for n in range(30))
    assert job.run().code == 0
    for entry in source.log:
        assert entry.headers.keys() == {"host", "user-agent", "accept", "accept-encoding"}


def test_urls_cannot_make_it_talk_to_another_host(
    tmp_path: Path, source_tls_server: Any, s3_tls_server: Any, tls_material: TlsMaterial
) -> None:
    source, other, s3 = source_tls_server(), source_tls_server(), s3_tls_server()
    port = other.network.port
    host = source.url[8:]
    hosts = [
        f"127.0.0.1:{port}", f"localhost:{port}", f"127.1:{port}", f"2130706433:{port}", f"0x7f000001:{port}",
        f"{host}@127.0.0.1:{port}", f"{host}\\@127.0.0.1:{port}", f"{host}#@127.0.0.1:{port}",
        f"{host}.evil.example", f"[::1]:{port}",
    ]  # fmt: skip
    job = migration(tmp_path, source, s3, tls_material)
    job.urls([*(f"https://{name}/images/{n}.jpg" for n, name in enumerate(hosts)), source.url_of("good.jpg")])
    assert job.run().code == 1
    assert set(job.causes().values()) == {"malformed", "other_host"}
    assert [row.url for row in job.completed()] == [source.url_of("good.jpg")]
    assert other.network.connections == 0


def test_redirect_is_followed_within_the_prefix_alone(
    tmp_path: Path, source_tls_server: Any, s3_tls_server: Any, tls_material: TlsMaterial
) -> None:
    source, other, s3 = source_tls_server(), source_tls_server(), s3_tls_server()
    source.rules.add(Rule("redirect_login_outside", pattern="0.jpg", value=other.url_of("stolen.jpg")))
    source.rules.add(
        Rule("redirect_login_outside", pattern="1.jpg", value=f"http{source.url_prefix[5:]}x.jpg")
    )
    source.rules.add(Rule("redirect_login_outside", pattern="2.jpg", value="/images/../secret.jpg"))
    job = migration(tmp_path, source, s3, tls_material)
    job.urls(source.url_of(f"{n}.jpg") for n in range(4))
    assert job.run().code == 1
    assert set(job.causes().values()) == {"forbidden"}
    assert len(job.failed()) == 3
    assert other.network.connections == 0


def test_untrusted_certificate_stops_the_run_whatever_the_environment_says(
    tmp_path: Path,
    source_tls_server: Any,
    s3_tls_server: Any,
    tls_material: TlsMaterial,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    source, s3 = source_tls_server(), s3_tls_server()
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    job = migration(tmp_path, source, s3, tls_material, CA_BUNDLE="")
    job.urls([source.url_of("a.jpg")])
    ran = job.run()
    assert ran.code == 3
    assert "not trusted" in ran.err
    assert len(s3.log) == len(source.log) == 0
