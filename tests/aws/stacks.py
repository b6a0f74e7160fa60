"""The templates of aws/: read as they are written, and deployed on moto in this process."""

from __future__ import annotations

import base64
import email
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import boto3
from cfnlint import decode
from moto import mock_aws

from tests import ROOT

TEMPLATES = {path.stem: path for path in sorted((ROOT / "aws").glob("*.yaml"))}
REGION = "us-west-2"
PARAMETERS = {
    "Bucket": "my-auction-images",
    "AvailabilityZone": f"{REGION}a",
    "Repository": "https://git.example.com/cdn2s3.git",
    "Commit": "0123456789abcdef0123456789abcdef01234567",
}
OPTIONS = {
    "ObjectAcl": "true",
    "Versioned": "true",
    "KmsKeyArn": f"arn:aws:kms:{REGION}:111122223333:key/11112222-3333-4444-5555-666677778888",
}


def template(name: str) -> dict[str, Any]:
    """Return a template as data, its short functions (`!Ref`) in their long form."""
    content, problems = decode.decode(str(TEMPLATES[name]))
    assert not problems and content is not None
    return dict(content)


def resources(name: str, kind: str) -> dict[str, Any]:
    """Return the resources of a type (`AWS::EC2::Instance`) by their names."""
    return {key: one for key, one in template(name)["Resources"].items() if one["Type"] == kind}


class Stack(NamedTuple):
    """What moto has made of a template."""

    identifier: str
    names: Mapping[str, str]  # logical name -> physical one

    def policy(self, name: str) -> dict[str, Any]:
        """Return the document of a managed policy."""
        iam = boto3.client("iam", region_name=REGION)
        version = iam.get_policy_version(PolicyArn=self.names[name], VersionId="v1")
        return dict(version["PolicyVersion"]["Document"])

    def inline(self, role: str) -> dict[str, list[dict[str, Any]]]:
        """Return the statements of a role's own policies, by their names."""
        iam = boto3.client("iam", region_name=REGION)
        found = iam.list_role_policies(RoleName=self.names[role])["PolicyNames"]
        documents = {
            name: iam.get_role_policy(RoleName=self.names[role], PolicyName=name)["PolicyDocument"]
            for name in found
        }
        return {name: document["Statement"] for name, document in documents.items()}

    def instance(self, name: str) -> Any:
        """Return an instance as EC2 describes it."""
        ec2 = boto3.client("ec2", region_name=REGION)
        return ec2.describe_instances(InstanceIds=[self.names[name]])["Reservations"][0]["Instances"][0]

    def user_data(self, name: str) -> str:
        """Return the user data of an instance, decoded."""
        ec2 = boto3.client("ec2", region_name=REGION)
        got = ec2.describe_instance_attribute(InstanceId=self.names[name], Attribute="userData")
        return base64.b64decode(got["UserData"]["Value"]).decode()

    def worker(self) -> dict[str, Any]:
        """Return the data of the workers' launch template."""
        ec2 = boto3.client("ec2", region_name=REGION)
        found = ec2.describe_launch_template_versions(LaunchTemplateId=self.names["WorkerTemplate"])
        return dict(found["LaunchTemplateVersions"][0]["LaunchTemplateData"])


def script_in(user_data: str) -> str:
    """Return the shell script of user data, which may be one part of several."""
    if not user_data.startswith("Content-Type: multipart/"):
        return user_data
    (script,) = (
        part.get_payload()
        for part in email.message_from_string(user_data).walk()
        if part.get_content_type() == "text/x-shellscript"
    )
    return str(script)


@contextmanager
def account() -> Iterator[None]:
    """Be an AWS account of moto's, without anything of this machine's."""
    with mock_aws():
        yield


def deploy(name: str, **parameters: str) -> Stack:
    """Create a stack of a template, or update the one that is there, within account()."""
    given = {**PARAMETERS, **parameters}
    client = boto3.client("cloudformation", region_name=REGION)
    stacks = {one["StackName"] for one in client.describe_stacks()["Stacks"]}
    act = client.update_stack if "migration" in stacks else client.create_stack
    act(
        StackName="migration",
        TemplateBody=Path(TEMPLATES[name]).read_text(encoding="utf-8"),
        Parameters=[{"ParameterKey": key, "ParameterValue": value} for key, value in given.items()],
        Capabilities=["CAPABILITY_IAM"],
    )
    stack = client.describe_stacks(StackName="migration")["Stacks"][0]
    assert stack["StackStatus"] in ("CREATE_COMPLETE", "UPDATE_COMPLETE")
    made = client.describe_stack_resources(StackName="migration")["StackResources"]
    names = {
        one["LogicalResourceId"]: one.get("PhysicalResourceId", "")
        for one in made
        if "LogicalResourceId" in one
    }
    return Stack(stack["StackId"], names)
