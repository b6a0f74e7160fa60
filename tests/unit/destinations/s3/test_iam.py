"""The policy line that a message shows is JSON that can be copied, and names the run's own place."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from cdn2s3.destinations.s3.iam import policy, policy_to_put
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build


def settings_with(**values: str) -> MigrationSettings:
    return build(MigrationSettings, {"DESTINATION_BUCKET": "bucket", **values}, {}, Path("migration.env"))


@pytest.mark.parametrize(
    ("prefix", "actions", "resource"),
    [
        pytest.param("images/", ["GetObject"], "arn:aws:s3:::bucket/images/*", id="objects"),
        pytest.param("", ["DeleteObject"], "arn:aws:s3:::bucket/*", id="no prefix"),
        pytest.param(
            "images/", ["PutObject", "AbortMultipartUpload"], "arn:aws:s3:::bucket/images/*", id="two"
        ),
        pytest.param("images/", ["ListBucket"], "arn:aws:s3:::bucket", id="bucket"),
        pytest.param(
            "images/", ["CreateBucket", "PutBucketPublicAccessBlock"], "arn:aws:s3:::bucket", id="its own"
        ),
    ],
)
def test_policy_grants_the_actions_where_they_apply(prefix: str, actions: list[str], resource: str) -> None:
    statement = json.loads(policy(settings_with(DESTINATION_PREFIX=prefix), *actions))
    named = [f"s3:{action}" for action in actions]
    assert statement == {"Effect": "Allow", "Action": named, "Resource": resource}


def test_policy_to_put_has_the_acl_where_one_is_sent() -> None:
    assert "PutObjectAcl" not in policy_to_put(settings_with())
    assert '"s3:PutObjectAcl"' in policy_to_put(settings_with(OBJECT_ACL="private"))
