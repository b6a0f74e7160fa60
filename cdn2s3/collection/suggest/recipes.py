"""The recipes in docs/recipes/ whose API looks like a given one, by its address."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import urlsplit

FOLDER = Path(__file__).resolve().parents[3] / "docs" / "recipes"
_ADDRESS = re.compile(r"^API_BASE_URL=(\S+)", re.MULTILINE)
_RESERVED = re.compile(r"(^|\.)example(\.|$)")  # hosts that stand for one's own
_SEGMENTS = 2  # of a path that are the API's, not one's own
_MOST = 4


def like(url: str, folder: Path = FOLDER) -> list[str]:
    """Return the names of the recipes for the host of url or, where that is one's own, for its path."""
    host, path = _parts(url)
    found = []
    for file in sorted(folder.glob("*.env"), key=lambda file: file.stem):
        address = _ADDRESS.search(file.read_text(encoding="utf-8"))
        if address is None:
            continue
        its_host, its_path = _parts(address[1])
        if _RESERVED.search(its_host):
            is_like = len(its_path) == _SEGMENTS and path == its_path and path[0] not in ("api", "v1")
        else:
            is_like = host.split(".")[-2:] == its_host.split(".")[-2:]
        if is_like:
            found.append(file.stem)
    return found[:_MOST]


def _parts(url: str) -> tuple[str, list[str]]:
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.path.strip("/").split("/")[:_SEGMENTS]
    except ValueError:
        return "", []
