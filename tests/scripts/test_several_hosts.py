"""One list of several hosts: twins are one URL, each host has its place, and what is of another host is counted."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Callable

import pytest

from tests import ROOT, processes
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import Migration, environment

Sources = Callable[..., SourceServer]


@pytest.fixture
def hosts(source_server: Sources) -> tuple[SourceServer, SourceServer]:
    return source_server(), source_server()


@pytest.fixture
def s3(s3_server: Callable[..., S3Server]) -> S3Server:
    return s3_server()


def validated(job: Migration) -> tuple[int, dict[str, Any]]:
    """Run validate.py; return its exit code and its report."""
    command = [sys.executable, str(ROOT / "validate.py")]
    ran = processes.run(command, job.folder, environment(job.folder))
    assert "Traceback" not in ran.stderr
    return ran.returncode, json.loads(job.text("validation_report.json"))


def port_of(source: SourceServer) -> int:
    return source.network.port


def job_of(folder: Path, s3: S3Server, prefix: str, **settings: object) -> Migration:
    return Migration(
        folder, URL_PREFIX=prefix, AWS_ENDPOINT_URL=s3.url, DESTINATION_PREFIX="images/", **settings
    )


def keys_in(s3: S3Server) -> set[str]:
    return {key for key in s3.objects("bucket") if "probe" not in key}


def test_twins_are_one_url_and_each_host_has_its_place(
    tmp_path: Path, s3: S3Server, hosts: tuple[SourceServer, SourceServer]
) -> None:
    first, second = hosts
    job = job_of(tmp_path, s3, f"{first.url}/images/=one/ {second.url}/images/")
    twins = [
        first.url_of("a.jpg"),
        f"HTTPS://127.0.0.1:{port_of(first)}/images/a.jpg",
        f"http://127.0.0.1:{port_of(first)}/images/%61.jpg#top",
        first.url_of("b%20c.jpg"),
        f"https://127.0.0.1:{port_of(first)}/images/b c.jpg",
        second.url_of("a.jpg"),
        "https://elsewhere.example/a.jpg",
        "https://u:canary@third.example/b.jpg",
    ]
    job.urls(twins)
    plan = job.run("--plan", quick={})
    assert plan.code == 1, plan.said
    assert "1 of elsewhere.example" in plan.out
    assert "2 of 8 lines can never be moved" in plan.out
    ran = job.run()
    assert ran.code == 1, ran.said
    assert keys_in(s3) == {"images/one/images/a.jpg", "images/one/images/b c.jpg", "images/images/a.jpg"}
    assert sum(first.bodies.values()) == 2
    assert sum(second.bodies.values()) == 1
    assert set(job.causes().values()) == {"other_host"}
    assert "8 lines = 0 blank + 3 duplicates + 3 completed + 2 failed + 0 not tried" in ran.said
    assert "canary" not in plan.said + ran.said
    code, report = validated(job)
    assert (code, report["verdict"], report["counts"]["complete"]) == (1, "incomplete", 3)
    assert report["failed"]["other_host"]["remedy"].startswith("add the host to URL_PREFIX")
    assert report["counts"]["unexpected"] == 0


def test_what_one_spelling_completed_is_done_in_every_other(
    tmp_path: Path, s3: S3Server, hosts: tuple[SourceServer, SourceServer]
) -> None:
    source, other = hosts
    job = job_of(tmp_path, s3, source.url_prefix)
    job.urls([source.url_of("a.jpg"), source.url_of("b%20c.jpg")])
    assert job.run().code == 0
    job.settings["URL_PREFIX"] = (
        f"{source.url_prefix} {other.url_prefix}"  # one more is no difference to the state
    )
    lines = [
        source.url_of("a.jpg").replace("http:", "https:"),
        source.url_of("b%20c.jpg").replace("%20", " "),
    ]
    job.urls([*lines, other.url_of("d.jpg")])
    ran = job.run()
    assert ran.code == 0, ran.said
    assert "3 lines = 0 blank + 0 duplicates + 3 completed" in ran.said
    assert sum(source.bodies.values()) == 2
    job.settings["URL_PREFIX"] = other.url_prefix
    refused = job.run()
    assert refused.code == 2
    assert "URL_PREFIX: was" in refused.said
    job.settings["URL_PREFIX"] = f"{source.url_prefix}=place/ {other.url_prefix}"
    assert job.run().code == 2
    assert keys_in(s3) == {"images/images/a.jpg", "images/images/b c.jpg", "images/images/d.jpg"}
