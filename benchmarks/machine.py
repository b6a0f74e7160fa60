"""Say on what and with what figures were taken."""

from __future__ import annotations

import os
import platform
import re
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

from benchmarks.movers import ROOT

_PACKAGES = ("requests", "urllib3", "boto3", "botocore")


def described(tools: dict[str, list[str]]) -> list[str]:
    """Return lines for the head of a table; tools gives the command that prints each tool's version."""
    return [
        f"machine: {_processor()}, {os.cpu_count()} cores, {_memory_gb():.0f} GB, Linux {platform.release()}",
        f"python {platform.python_version()}, " + ", ".join(f"{name} {version(name)}" for name in _PACKAGES),
        *(
            [", ".join(f"{name} {_first_number(command)}" for name, command in tools.items())]
            if tools
            else []
        ),
        f"this project at {_commit()}",
    ]


def _processor() -> str:
    found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.M)
    return found[1] if found else platform.machine()


def _memory_gb() -> float:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9


def _first_number(command: list[str]) -> str:
    """Return the version that a command prints: the first thing like 1.2.3."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    found = re.search(r"\d+\.\d+(\.\d+)?", done.stdout)
    return found[0] if found else "of unknown version"


@cache  # before the results are written: they would make it "dirty"
def _commit() -> str:
    command = ["git", "describe", "--always", "--dirty"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "an unknown commit"
