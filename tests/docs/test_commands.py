"""The commands in the documents are ones that the scripts, and AWS's own models of its services, take."""

from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from typing import Any, Callable

import botocore.session
import pytest
from botocore import xform_name
from botocore.model import OperationModel
from botocore.validate import ParamValidator

import collect_urls
import migrate
import validate
import variants
from tests.docs.commands import DOCUMENTS, Command, blocks, commands

PARSERS: dict[str, Callable[[list[str]], object]] = {
    "collect_urls.py": collect_urls.parse,
    "migrate.py": migrate.parse,
    "validate.py": validate.parse,
    "variants.py": variants.parse,
}
OURS = [command for command in commands("python") if len(command.words) > 1 and command.words[1] in PARSERS]
MENTIONED = [command for name in PARSERS for command in commands(name) if len(command.words) > 1]
PLACEHOLDERS = {"N": "5", "NEW_BASE": "https://img.example.com/", "BASE": "https://img.example.com/"}
AWS = commands("aws")
# Of the AWS CLI itself, in no model of a service.
GLOBAL = {"region", "profile", "query", "output", "endpoint-url", "no-cli-pager"}
OWN = {
    "s3": {"cp", "ls", "rb", "rm", "sync", "presign"},
    "cloudfront": {"sign"},
    "cloudformation": {"deploy"},  # tests/aws/test_documents.py
    "ssm": {"start-session"},
}
OWN_OPTIONS = {
    ("cloudfront", "create-invalidation"): {"paths"},
    ("ec2", "run-instances"): {"associate-public-ip-address"},
}


@pytest.mark.parametrize("command", sorted(set(OURS)), ids=str)
def test_script_takes_the_command(command: Command, capsys: pytest.CaptureFixture[str]) -> None:
    _, script, *arguments = command.words
    try:
        PARSERS[script]([PLACEHOLDERS.get(word, word) for word in arguments])
    except SystemExit as ended:
        assert arguments == ["--help"], f"{ended.code}: {capsys.readouterr().err}"


@pytest.mark.parametrize("command", sorted(set(MENTIONED)), ids=str)
def test_script_has_the_options_that_are_mentioned(
    command: Command, capsys: pytest.CaptureFixture[str]
) -> None:
    script, *arguments = command.words
    with pytest.raises(SystemExit):
        PARSERS[script](["--help"])
    known = set(re.findall(r"--[a-z-]+", capsys.readouterr().out))
    assert {word for word in arguments if word.startswith("--") and word.strip("-")} <= known


def test_commands_are_found() -> None:
    assert len(OURS) > 80
    assert len(MENTIONED) > 20
    assert {command.words[1] for command in AWS} >= {
        "s3",
        "s3api",
        "cloudfront",
        "route53",
        "dynamodb",
        "iam",
    }


@functools.cache
def _operation(service: str, name: str) -> OperationModel:
    """Return the model of an operation by its name in the AWS CLI; raise KeyError or a botocore error."""
    model = botocore.session.get_session().get_service_model("s3" if service == "s3api" else service)
    return model.operation_model({xform_name(each, "-"): each for each in model.operation_names}[name])


def _options(command: Command) -> dict[str, str]:
    """Return the options of a command with their (first) values, "" where there is none."""
    words = list(command.words[3:])
    given = {}
    for number, word in enumerate(words):
        if word.startswith("--"):
            following = words[number + 1] if number + 1 < len(words) else ""
            given[word[2:]] = "" if following.startswith("--") else following
    return given


IN_MODELS = [one for one in AWS if len(one.words) > 2 and one.words[2] not in OWN.get(one.words[1], ())]


@pytest.mark.parametrize("command", sorted(set(IN_MODELS)), ids=str)
def test_service_has_the_operation_and_its_options(command: Command) -> None:
    service, name = command.words[1:3]
    if name == "wait":
        session = botocore.session.get_session()
        assert command.words[3] in {
            xform_name(each, "-") for each in session.get_waiter_model(service).waiter_names
        }
        return
    shape = _operation(service, name).input_shape
    members = {xform_name(member, "-"): member for member in (shape.members if shape else {})}
    options = _options(command)
    own = OWN_OPTIONS.get((service, name), set())
    flags = {option[3:] if option.startswith("no-") else option for option in options}
    assert flags - set(members) - GLOBAL - own == set()
    required = {xform_name(member, "-") for member in (shape.required_members if shape else ())}
    assert own & flags or required - flags == set()


def _json_of(document: str, command: Command) -> Iterator[tuple[str, Any]]:
    """Yield each option that a command has as JSON, in itself or in a block of its document, and the value."""
    (path,) = (each for each in DOCUMENTS if each.name == document)
    text = path.read_text(encoding="utf-8")
    for option, value in _options(command).items():
        if value.startswith("{"):
            yield option, json.loads(value)
        elif value.startswith("file://") and value.endswith(".json"):
            at = text.find(value)
            block = re.search(r"^```json\n(.*?)^```$", text[at:], re.MULTILINE | re.DOTALL)
            if (
                block and command.words[2] != "update-distribution"
            ):  # which is what the command before has written
                yield option, json.loads(block[1])


WITH_JSON = [
    (command, option, value) for command in IN_MODELS for option, value in _json_of(command.document, command)
]


@pytest.mark.parametrize(("command", "option", "value"), WITH_JSON, ids=lambda part: str(part)[:60])
def test_service_takes_the_json(command: Command, option: str, value: Any) -> None:
    shape = _operation(*command.words[1:3]).input_shape
    assert shape is not None
    members = {xform_name(member, "-"): one for member, one in shape.members.items()}
    if members[option].type_name == "string":  # a policy
        assert {"Version", "Statement"} <= value.keys()
        return
    assert ParamValidator().validate(value, members[option]).generate_report() == ""


def test_json_is_found() -> None:
    assert {command.words[2] for command, *_ in WITH_JSON} >= {
        "put-bucket-policy",
        "put-bucket-lifecycle-configuration",
        "create-response-headers-policy",
        "create-continuous-deployment-policy",
        "change-resource-record-sets",
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_json_in_a_document_is_json(document: Any) -> None:
    for block in blocks(document, "json"):
        json.loads(block)


DELETES = re.compile(r"\b(rm|rb|delete\w*|--undo|expir\w+)\b", re.IGNORECASE)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_no_command_deletes_what_belongs_to_others(document: Any) -> None:
    lines = [line for line in document.read_text(encoding="utf-8").splitlines() if line.startswith("    ")]
    assert [line for line in lines if "unexpected.txt" in line and DELETES.search(line)] == []
