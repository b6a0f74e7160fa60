"""What the scripts write into a checkout is not offered to `git add`, and is not taken by `git stash -u`."""

from __future__ import annotations

from fnmatch import fnmatch

import pytest

from cdn2s3.file_names import COLLECTED, FAILED_FILE, WRITTEN
from tests import ROOT

KEPT = sorted(WRITTEN | COLLECTED | {FAILED_FILE})
RULES = [line for line in (ROOT / ".gitignore").read_text().splitlines() if line and not line.startswith("#")]


def _is_ignored(name: str) -> bool:
    """Apply the rules as git does to a name in any folder: the last one that fits wins."""
    ignored = False
    for rule in RULES:
        if fnmatch(name, rule.lstrip("!").lstrip("/")):
            ignored = not rule.startswith("!")
    return ignored


@pytest.mark.parametrize("name", KEPT)
def test_what_the_scripts_write_is_ignored(name: str) -> None:
    assert _is_ignored(name)
    assert all(_is_ignored(name + end) for end in (".bak", ".bak.1", ".tmp"))


def test_settings_file_of_ones_own_is_ignored_and_the_templates_are_not() -> None:
    assert _is_ignored("production.env")
    assert not _is_ignored("collection.env")
    assert not _is_ignored("migration.env")


@pytest.mark.parametrize(
    "name", ["README.md", "migrate.py", "requirements.txt", "constraints.txt", "CHANGELOG.md"]
)
def test_what_belongs_to_the_project_is_not_ignored(name: str) -> None:
    assert not _is_ignored(name)
