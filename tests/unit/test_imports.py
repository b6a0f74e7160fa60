"""What a start costs: the scripts do without the packages that a run does not use."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests import ROOT


@pytest.mark.parametrize(
    ("script", "packages"),
    [("collect_urls", {"botocore", "boto3", "asyncio"}), ("migrate", {"boto3", "asyncio"})],
)
def test_script_starts_without_what_only_some_runs_need(script: str, packages: set[str]) -> None:
    code = f"import sys, {script}; print(*sys.modules)"
    ran = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert packages & set(ran.stdout.split()) == set()
