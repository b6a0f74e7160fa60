"""The commands of the documents deploy the templates with parameters that these have."""

from __future__ import annotations

import re

import pytest

from tests import ROOT
from tests.aws.stacks import TEMPLATES, template
from tests.docs.commands import Command, commands

DEPLOY = [command for command in commands("aws") if command.words[1:3] == ("cloudformation", "deploy")]
OPTIONS = {"--region", "--stack-name", "--template-file", "--capabilities", "--parameter-overrides"}


def test_both_templates_are_deployed() -> None:
    assert {command.document for command in DEPLOY} == {"ec2-setup.md", "cluster.md"}


@pytest.mark.parametrize("command", DEPLOY, ids=str)
def test_command_names_parameters_that_the_template_has(command: Command) -> None:
    words = list(command.words)
    assert {word for word in words if word.startswith("--")} - {"--short"} <= OPTIONS
    path = ROOT / words[words.index("--template-file") + 1]
    assert TEMPLATES[path.stem] == path
    known = template(path.stem)["Parameters"]
    given = {word.partition("=")[0]: word for word in words if re.match(r"[A-Z][A-Za-z]+=", word)}
    assert set(given) <= set(known)
    if "Bucket" in given:  # the first time: all that has no default
        assert {name for name, one in known.items() if "Default" not in one} <= set(given)
        assert {"Repository", "Commit"} <= set(given)


def test_units_start_dask_as_the_document_says() -> None:
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    shown = re.findall(r"^    python (-m dask .*)$", text, re.MULTILINE)
    started = []
    for unit in ("scheduler", "worker"):
        content = (ROOT / "aws" / f"cdn2s3-dask-{unit}.service").read_text(encoding="utf-8")
        content = content.replace("\\\n  ", "").replace("${SCHEDULER}", "tls://10.0.0.5:8786")
        started += re.findall(r"^ExecStart=\S+/python (.*)$", content, re.MULTILINE)
    assert started == shown
    assert len(shown) == 2


def test_certificates_are_made_as_the_document_says() -> None:
    script = (ROOT / "aws" / "dask_tls.sh").read_text(encoding="utf-8")
    text = (ROOT / "docs" / "cluster.md").read_text(encoding="utf-8")
    for part in (
        "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes",
        "-addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign",
        "-subj /CN=cdn2s3-dask",
    ):
        assert part in script and part in text
