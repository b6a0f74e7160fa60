"""Both templates deployed on moto: what of them it knows is made, updated and deleted as it should be."""

from __future__ import annotations

import boto3
import pytest

from tests.aws.stacks import REGION, TEMPLATES, deploy, script_in

MAIN = {"one-instance": "Instance", "cluster": "Coordinator"}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_update_keeps_volume_and_deletion_leaves_it(name: str, account: None) -> None:
    stack = deploy(name)
    volume = stack.names["StateVolume"]
    assert deploy(name, Commit="f" * 40).names["StateVolume"] == volume
    boto3.client("cloudformation", region_name=REGION).delete_stack(StackName="migration")
    volumes = boto3.client("ec2", region_name=REGION).describe_volumes(VolumeIds=[volume])["Volumes"]
    assert [one["VolumeId"] for one in volumes] == [volume]


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_volume_of_an_earlier_stack_is_taken_and_none_is_made(name: str, account: None) -> None:
    stack = deploy(name, ExistingVolume="vol-0123456789abcdef0")
    assert "StateVolume" not in stack.names
    assert "VOLUME='vol-0123456789abcdef0'" in stack.user_data(MAIN[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_security_groups_let_nobody_else_in(name: str, account: None) -> None:
    group = deploy(name).names["SecurityGroup"]
    ec2 = boto3.client("ec2", region_name=REGION)
    (described,) = ec2.describe_security_groups(GroupIds=[group])["SecurityGroups"]
    sources = [pair["GroupId"] for rule in described["IpPermissions"] for pair in rule["UserIdGroupPairs"]]
    assert sources == ([group] if name == "cluster" else [])
    assert [rule["IpRanges"] + rule["Ipv6Ranges"] for rule in described["IpPermissions"]] in ([], [[]])


@pytest.mark.slow
def test_workers_are_told_where_the_coordinator_is_and_may_only_read_the_key(account: None) -> None:
    stack = deploy("cluster", Spot="true", Workers="3")
    worker = stack.worker()
    assert worker["MetadataOptions"]["HttpTokens"] == "required"
    (tls,) = stack.inline("WorkerRole")["tls"]
    assert tls["Action"] == "ssm:GetParameter"
    (coordinator,) = stack.inline("Role")["tls"]
    identifier = stack.identifier.split("/")[2]
    assert tls["Resource"] == coordinator["Resource"]
    assert tls["Resource"].endswith(f":parameter/cdn2s3/{identifier}/dask-tls")
    script = script_in(stack.user_data("Coordinator"))
    assert f"TLS_PARAMETER='/cdn2s3/{identifier}/dask-tls'" in script
    groups = boto3.client("autoscaling", region_name=REGION).describe_auto_scaling_groups()[
        "AutoScalingGroups"
    ]
    assert [(one["DesiredCapacity"], one["MinSize"]) for one in groups] == [(3, 0)]


@pytest.mark.slow
def test_code_of_an_object_may_be_read_and_nothing_else(account: None) -> None:
    stack = deploy("one-instance", Repository="", Commit="", CodeObject="our-code/cdn2s3-1.tar.gz")
    assert stack.inline("Role") == {
        "code": [
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::our-code/cdn2s3-1.tar.gz"}
        ]
    }
