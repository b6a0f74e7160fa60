"""The tests: `unit` by room of cdn2s3/, the `scripts` as processes, the `docs`, and the `fakes` they run against."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
