"""The machine that a run is on, as the report names it: read from this machine alone, nothing is contacted."""

from __future__ import annotations

import json
import os
import platform
from pathlib import Path
from typing import Any

_DMI = Path("/sys/devices/virtual/dmi/id")  # what the firmware says; on EC2, the instance type
_CLOUD = Path("/run/cloud-init/instance-data.json")  # readable by everybody; without credentials


def machine(dmi: Path = _DMI, cloud: Path = _CLOUD) -> dict[str, Any]:
    """Return name, kind ("" if unknown), region ("" if unknown), CPUs and memory in bytes (0 if unknown)."""
    return {
        "name": platform.node(),
        "kind": _kind(dmi),
        "region": _region(cloud),
        "cpus": os.cpu_count() or 1,
        "memory": _memory(),
        "system": platform.platform(),
    }


def _kind(dmi: Path) -> str:
    """Return the instance type on EC2, else the model that the firmware names."""
    vendor, product = _line_of(dmi / "sys_vendor"), _line_of(dmi / "product_name")
    return product if vendor in product or vendor == "Amazon EC2" else f"{vendor} {product}".strip()


def _line_of(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace").strip()
    except OSError:
        return ""  # no such firmware, as in most containers


def _region(cloud: Path) -> str:
    try:
        found = json.loads(cloud.read_bytes())["v1"]["region"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return ""  # not in a cloud, or without cloud-init
    return found if isinstance(found, str) else ""


def _memory() -> int:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return 0
