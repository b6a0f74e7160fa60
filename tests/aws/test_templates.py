"""aws/*.yaml as they are written: valid, closed, pinned, and nothing secret in them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from cfnlint import api
from cfnlint.core import get_rules
from cfnlint.schema import PROVIDER_SCHEMA_MANAGER

from tests import ROOT
from tests.aws.stacks import REGION, TEMPLATES, resources, template

NAMES = sorted(TEMPLATES)
# Chosen once, as their descriptions say: another one is another stack.
FOR_GOOD = {"AvailabilityZone", "Architecture", "Subnet"}


def test_both_templates_are_there() -> None:
    assert NAMES == ["cluster", "one-instance"]


@pytest.mark.parametrize("name", NAMES)
def test_cfn_lint_finds_nothing(name: str) -> None:
    text = TEMPLATES[name].read_text(encoding="utf-8")
    found = api.lint(text, get_rules([], [], ["W", "E"], {}, False), [REGION])
    assert [f"{one.linenumber}: {one.rule.id} {one.message}" for one in found] == []


def _used(value: Any) -> set[str]:
    """Return the names of the parameters and resources that a value depends on."""
    text = json.dumps(value)
    return set(re.findall(r'"Ref": "([^"]+)"', text)) | set(re.findall(r"\$\{(\w+)", text))


@pytest.mark.parametrize("name", NAMES)
def test_no_update_replaces_the_instance(name: str) -> None:
    """The image is looked up by EC2 at the launch, by a text that an update of the stack does not change."""
    (instance,) = resources(name, "AWS::EC2::Instance").values()
    given = template(name)
    assert "AWS::SSM::Parameter::Value" not in json.dumps(given["Parameters"]), (
        "looked up anew at each update"
    )
    assert "{{resolve:" not in json.dumps(given), "looked up anew at each update"
    image = instance["Properties"]["ImageId"]["Fn::Sub"]
    assert image.startswith("resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-")
    schema = PROVIDER_SCHEMA_MANAGER.get_resource_schema(REGION, "AWS::EC2::Instance").schema
    replacing = {path.rsplit("/", 1)[1] for path in schema["createOnlyProperties"]} | {"BlockDeviceMappings"}
    used = {
        each for key in replacing & set(instance["Properties"]) for each in _used(instance["Properties"][key])
    }
    assert used - {"AWS::NoValue"} <= FOR_GOOD


@pytest.mark.parametrize("name", NAMES)
def test_state_outlives_update_and_deletion(name: str) -> None:
    (volume,) = resources(name, "AWS::EC2::Volume").values()
    assert volume["DeletionPolicy"] == volume["UpdateReplacePolicy"] == "Retain"
    assert volume["Properties"]["Encrypted"] is True
    (instance,) = resources(name, "AWS::EC2::Instance").values()
    assert instance["Properties"]["Volumes"][0]["VolumeId"]["Fn::If"][1] == {"Ref": "StateVolume"}


@pytest.mark.parametrize("name", NAMES)
def test_nobody_else_reaches_the_machines(name: str) -> None:
    for group in resources(name, "AWS::EC2::SecurityGroup").values():
        assert "SecurityGroupIngress" not in group["Properties"]
    rules = resources(name, "AWS::EC2::SecurityGroupIngress")
    assert len(rules) == (1 if name == "cluster" else 0)
    for rule in rules.values():
        properties = rule["Properties"]
        assert properties["SourceSecurityGroupId"] == properties["GroupId"]
        assert not {"CidrIp", "CidrIpv6", "SourcePrefixListId"} & set(properties)


def _machines(name: str) -> Iterator[dict[str, Any]]:
    yield from (one["Properties"] for one in resources(name, "AWS::EC2::Instance").values())
    for one in resources(name, "AWS::EC2::LaunchTemplate").values():
        yield one["Properties"]["LaunchTemplateData"]


@pytest.mark.parametrize("name", NAMES)
def test_machines_have_no_key_and_the_metadata_service_of_today(name: str) -> None:
    machines = list(_machines(name))
    assert len(machines) == (2 if name == "cluster" else 1)
    for machine in machines:
        assert machine["MetadataOptions"] == {"HttpTokens": "required", "HttpPutResponseHopLimit": 2}
        assert "KeyName" not in machine
        assert len(json.dumps(machine["UserData"])) < 12_000, "user data has at most 16 KB"


@pytest.mark.parametrize("name", NAMES)
def test_no_parameter_takes_a_secret(name: str) -> None:
    for parameter, described in template(name)["Parameters"].items():
        assert "NoEcho" not in described
        assert not re.search("(?i)secret|token|password|credential|accesskey", parameter)
    assert not re.search(r"AWS_(SECRET|SESSION|ACCESS)|PRIVATE KEY|_TOKEN", TEMPLATES[name].read_text())


@pytest.mark.parametrize("name", NAMES)
def test_session_manager_reads_no_parameter(name: str) -> None:
    text = TEMPLATES[name].read_text(encoding="utf-8")
    assert "policy/AmazonSSMManagedInstanceCore" not in text
    statements = resources(name, "AWS::IAM::ManagedPolicy")["MachinePolicy"]["Properties"]["PolicyDocument"][
        "Statement"
    ]
    assert [one for one in statements for action in one["Action"] if "GetParameter" in action] == []


def test_both_grant_the_same_on_the_bucket() -> None:
    one, cluster = template("one-instance")["Resources"], template("cluster")["Resources"]
    assert one["ImagesPolicy"] == cluster["ImagesPolicy"]
    assert one["MachinePolicy"] == cluster["MachinePolicy"]
    for name in ("AclPolicy", "VersionsPolicy", "KeyPolicy", "CodePolicy"):
        mine, theirs = one[name]["Properties"], cluster[name]["Properties"]
        assert mine["PolicyDocument"] == theirs["PolicyDocument"]


def test_units_are_those_of_the_documents() -> None:
    shown = re.search(
        r"^```ini\n(\[Unit\]\nDescription=Move the images.*?)^```",
        (ROOT / "docs" / "ec2-setup.md").read_text(encoding="utf-8"),
        re.MULTILINE | re.DOTALL,
    )
    assert shown is not None
    unit = (ROOT / "aws" / "cdn2s3-migrate.service").read_text(encoding="utf-8")
    unit = unit.replace("RequiresMountsFor=/srv/migration\n", "")
    unit = unit.replace("/srv/migration", "/home/ec2-user/cdn2s3")
    assert unit.replace("/opt/cdn2s3/current", "/home/ec2-user/cdn2s3") == shown[1]


@pytest.mark.parametrize("unit", sorted((ROOT / "aws").glob("*.service")), ids=lambda path: path.name)
def test_units_may_open_enough_files_and_come_back(unit: Any) -> None:
    text = unit.read_text(encoding="utf-8")
    assert "\nLimitNOFILE=65536\n" in text
    assert "\nRestart=always\n" in text or "\nRestartForceExitStatus=3\n" in text
