"""The settings that the head of an export suggests: its format, and the columns that have image URLs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cdn2s3.collection.suggest.proposal import Proposal


def propose(path: Path) -> Proposal:
    return Proposal([], [])


def propose_body(url: str, content: bytes, headers: Mapping[str, str]) -> Proposal:
    return Proposal([], [])
