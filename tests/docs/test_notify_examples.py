"""The commands that docs/reliability.md proposes for NOTIFY_COMMAND survive the settings file as they stand there."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.parsers import command
from tests import ROOT

EXAMPLES = re.findall(
    r"^    (NOTIFY_COMMAND=.*)$", (ROOT / "docs/reliability.md").read_text(encoding="utf-8"), re.MULTILINE
)


@pytest.mark.parametrize("line", EXAMPLES)
def test_example_is_taken_as_it_is_written(line: str, tmp_path: Path) -> None:
    file = tmp_path / "migration.env"
    file.write_text(line + "\n")
    value = read_env_file(file)["NOTIFY_COMMAND"]
    assert value == line.partition("=")[2]
    assert command(value).reveal() == value
    assert shlex.split(value)[0] in ("sh", "curl")


def test_examples_are_mail_a_webhook_and_sns() -> None:
    said = "\n".join(EXAMPLES)
    assert all(word in said for word in ("mail -s", "curl", "aws sns publish"))
