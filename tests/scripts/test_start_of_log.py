"""Each script's log begins with its effective settings, and with what is wrong in the environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests import ROOT

MIGRATION = ("migration.env", "DESTINATION_BUCKET=bucket\nCONCURRENCY=5\nAWS_REGION=eu-west-1\n")
COLLECTION = ("collection.env", "SOURCE=lots\nRESULTS_PER_PAGE=50\nAPI_AUTH_TOKEN=s3cret-canary\n")


@pytest.mark.parametrize(
    ("command", "file", "log", "misspelled"),
    [
        (["migrate.py"], MIGRATION, "migration.log", "CONCURENCY"),
        (["validate.py"], MIGRATION, "validation.log", "CONCURENCY"),
        (["collect_urls.py", "--region-only"], COLLECTION, "collection.log", "API_TOKEN"),
    ],
    ids=["migrate", "validate", "collect"],
)
def test_log_begins_with_settings_and_misspelled_variables(
    command: list[str], file: tuple[str, str], log: str, misspelled: str, tmp_path: Path
) -> None:
    (tmp_path / file[0]).write_text(file[1])
    ended = subprocess.run(
        [sys.executable, str(ROOT / command[0]), *command[1:]],
        cwd=tmp_path,
        env={**os.environ, misspelled: "s3cret-canary"},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode in (2, 3)  # there is no urls.txt
    first, *further = (tmp_path / log).read_text(encoding="utf-8").splitlines()
    assert first.endswith(" INFO    Settings that differ from the defaults:")
    settings = file[1].replace("s3cret-canary", "***").splitlines()
    assert sorted(further[: len(settings)]) == sorted(f"  {line} ({file[0]})" for line in settings)
    assert f" WARNING {misspelled} is set in the environment, but isn't a setting" in further[len(settings)]
    assert f" WARNING {misspelled} is set in the environment, but isn't a setting" in ended.stderr
    assert "Settings that differ" not in ended.stderr
    assert "s3cret" not in ended.stderr + "".join(further)
