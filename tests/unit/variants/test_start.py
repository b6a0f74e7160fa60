"""Without Pillow, variants.py says what to type, and contacts nothing; an undo needs none."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from cdn2s3.errors import UsageError
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.variants import start
from tests import ROOT


def test_without_pillow_the_message_has_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    settings = build(
        MigrationSettings, {"DESTINATION_BUCKET": "bucket", "STATE_DIR": str(tmp_path)}, {}, tmp_path
    )
    start.refuse_to_start(settings)  # as an undo does
    with pytest.raises(UsageError, match=r"-m pip install -r .*requirements-variants\.txt") as refused:
        start.refuse_to_make(settings)
    assert refused.value.exit_code == 2


def test_the_file_that_the_message_names_has_pillow() -> None:
    assert "Pillow>=" in (ROOT / start.REQUIREMENTS).read_text()
