"""docs/first-run-on-aws.md shows what the scripts print: its steps are done here, at a local S3 and a local CDN."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = (ROOT / "docs" / "first-run-on-aws.md").read_text(encoding="utf-8")
STEPS = re.findall(r"^    python ([^\n]+)\n\n```text\n(.*?)```", DOCUMENT, re.MULTILINE | re.DOTALL)
SETTINGS = re.findall(r"^    ([A-Z_]+)=(.*)$", DOCUMENT, re.MULTILINE)


def _plain(text: str) -> str:
    """Return text in one line, without what differs from run to run: addresses, numbers, units."""
    text = re.sub(r"https?://[^\s,]+", "URL", text)
    text = re.sub(r"\d[\d,.]*", "N", text)
    return " ".join(re.sub(r"\b[KMGT]?B\b", "B", text).split())


@pytest.mark.slow
def test_each_step_prints_what_the_document_shows(
    tmp_path: Path, s3_server: Callable[..., S3Server], source_server: Callable[..., SourceServer]
) -> None:
    assert len(STEPS) == 6
    store, source = s3_server(buckets=()), source_server()
    settings = dict(SETTINGS)
    assert settings["AWS_ENDPOINT_URL"] == ""
    settings.update(
        AWS_ENDPOINT_URL=store.url,
        URL_PREFIX=source.url_of(""),
        AWS_ACCESS_KEY_ID="AKIATEST",
        AWS_SECRET_ACCESS_KEY="secret",
    )
    (tmp_path / "first-run.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    (tmp_path / "first.txt").write_text("".join(f"{source.url_of(f'{n:04}.jpg')}\n" for n in range(1000)))
    (tmp_path / "first-run").mkdir()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    for command, shown in STEPS:
        script, *arguments = shlex.split(command)
        ran = subprocess.run(
            [sys.executable, str(ROOT / script), *arguments],
            cwd=tmp_path,
            env={**environment, "HOME": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=120,
        )
        assert ran.returncode == 0, (command, ran.stdout, ran.stderr)
        for line in shown.splitlines():
            assert _plain(line) in _plain(ran.stdout), (command, line, ran.stdout)
    assert not any("_test/" in key for key in store.objects(settings["DESTINATION_BUCKET"]))
