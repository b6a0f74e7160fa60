"""What the templates grant on the bucket is what runs ask for on the wire: nothing less, and nothing more."""

from __future__ import annotations

import fnmatch
import json
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import pytest

from tests import ROOT
from tests.aws.stacks import OPTIONS, TEMPLATES, deploy
from tests.docs.commands import blocks
from tests.fakes.s3 import S3Server
from tests.fakes.s3_settings import ACTIONS
from tests.running import Running
from tests.scripts.world import NewWorld, World


class Asked(NamedTuple):
    """One permission that a request needs."""

    action: str
    resource: str


def asked_for(s3: S3Server) -> set[Asked]:
    """Return what all requests so far need, by AWS's table of S3 operations and their actions."""
    found = set()
    for entry in s3.log:
        bucket = f"arn:aws:s3:::{entry.bucket}"
        of_object = f"{bucket}/{entry.key}" if entry.key else bucket
        found.add(Asked(f"s3:{ACTIONS[entry.operation]}", of_object))
        if "x-amz-acl" in entry.headers:
            found.add(Asked("s3:PutObjectAcl", of_object))
        if "if-match" in entry.headers:  # "s3:GetObject is needed as well", of PutObject and DeleteObject
            found.add(Asked("s3:GetObject", of_object))
    return found


def grants(statements: Sequence[dict[str, Any]]) -> set[Asked]:
    """Return what statements allow on S3: each action with each pattern of resources."""
    return {
        Asked(action, resource)
        for one in statements
        for action in ([one["Action"]] if isinstance(one["Action"], str) else one["Action"])
        for resource in ([one["Resource"]] if isinstance(one["Resource"], str) else one["Resource"])
        if action.startswith("s3:")
    }


def compare(asked: set[Asked], granted: set[Asked]) -> tuple[set[Asked], set[str], set[str]]:
    """Return requests that nothing allows, actions and resources that no request needs."""

    def covers(one: Asked, need: Asked) -> bool:
        return one.action == need.action and fnmatch.fnmatchcase(need.resource, one.resource)

    missing = {need for need in asked if not any(covers(one, need) for one in granted)}
    used = {one for one in granted if any(covers(one, need) for need in asked)}
    return (
        missing,
        {one.action for one in granted - used} - {one.action for one in used},
        {one.resource for one in granted - used} - {one.resource for one in used},
    )


def validate(world: World) -> int:
    """Run validate.py and return its exit code."""
    with Running([sys.executable, str(ROOT / "validate.py")], world.job.folder) as running:
        return running.end().code


def everything(new_world: NewWorld, **options: Any) -> World:
    """Return a world in which all has been done from sample to undo.

    Not --check: it asks for more on purpose, such as an ACL, to tell what a refusal means.
    """
    world = new_world(
        4,
        store={"min_part": 1, **options.pop("store", {})},
        DESTINATION_PREFIX="images/",
        DESTINATION_BUCKET="bucket",
        MAX_BUFFER_MB=1,
        MAX_RETRIES=0,
        MAX_CHANGE_RATE=1,
        **options,
    )
    key = {url: world.key(url).replace("img/", "images/", 1) for url in world.urls}
    world.urls.append(world.source.url_of("large.jpg", size=9_000_000))
    cut = world.source.url_of("cut.jpg", "short_body", size=20_000_000)
    world.s3.put("bucket", key[world.urls[0]], world.source.body(world.urls[0]))
    world.job.urls(world.urls)
    assert world.job.run("--sample", "2").code == 0
    world.job.urls([*world.urls, cut])
    assert world.job.run().code == 1
    assert world.job.causes() == {cut: "truncated"}
    world.job.urls(world.urls)
    world.source.change(world.urls[2])
    assert world.job.run("--delta").code == 0
    ran = world.job.run("--undo", "--since", "2020-01-01", "--yes")
    assert ran.code == 1, ran.said  # what was there before stays
    return world


@pytest.mark.slow
def test_policy_is_what_a_run_a_delta_and_an_undo_ask_for(new_world: NewWorld, account: None) -> None:
    world = everything(new_world)
    assert validate(world) == 1
    stack = deploy("one-instance", Bucket="bucket")  # the other one grants the same: test_templates.py
    granted = grants(stack.policy("ImagesPolicy")["Statement"])
    assert compare(asked_for(world.s3), granted) == (set(), set(), set())
    assert stack.inline("Role") == {}, "no option was chosen"


@pytest.mark.slow
def test_options_grant_what_they_ask_for(new_world: NewWorld, account: None) -> None:
    world = everything(
        new_world, store={"versioned": True, "acls": True}, OBJECT_ACL="bucket-owner-full-control"
    )
    assert validate(world) == 1
    stack = deploy("one-instance", Bucket="bucket", **OPTIONS)
    inline = stack.inline("Role")
    assert set(inline) == {"acl", "versions", "key"}
    granted = grants(stack.policy("ImagesPolicy")["Statement"])
    asked = asked_for(world.s3)
    missing, _, _ = compare(asked, granted)
    assert {need.action for need in missing} == {
        "s3:PutObjectAcl",
        "s3:DeleteObjectVersion",
        "s3:ListBucketVersions",
    }
    granted |= grants(inline["acl"] + inline["versions"])
    assert compare(asked, granted) == (set(), set(), set())
    assert inline["key"] == [
        {
            "Effect": "Allow",
            "Action": ["kms:GenerateDataKey", "kms:Decrypt"],
            "Resource": OPTIONS["KmsKeyArn"],
        }
    ]


def test_comparison_tells_what_is_missing_and_what_is_too_much() -> None:
    asked = {Asked("s3:PutObject", "arn:aws:s3:::b/images/x.jpg")}
    granted = {
        Asked("s3:GetObject", "arn:aws:s3:::b/images/*"),
        Asked("s3:PutObject", "arn:aws:s3:::b/other/*"),
    }
    missing, actions, places = compare(asked, granted)
    assert missing == asked
    assert actions == {"s3:GetObject", "s3:PutObject"}
    assert places == {"arn:aws:s3:::b/images/*", "arn:aws:s3:::b/other/*"}


@pytest.mark.parametrize("name", sorted(TEMPLATES))
def test_policy_is_the_one_that_the_document_shows(name: str, account: None) -> None:
    shown = json.loads(blocks(ROOT / "docs" / "ec2-setup.md", "json")[0])
    assert deploy(name).policy("ImagesPolicy") == shown
