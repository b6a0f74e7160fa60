"""The statement that a policy lacks, with the run's own bucket and prefix, to be copied. Pure."""

from __future__ import annotations

import json

from cdn2s3.settings.declarations import MigrationSettings

_ON_OBJECTS = frozenset({"PutObject", "PutObjectAcl", "GetObject", "DeleteObject", "AbortMultipartUpload"})


def policy(settings: MigrationSettings, *actions: str) -> str:
    """Return the statement that grants actions (without `s3:`), all of them on objects or all on the bucket."""
    place = f"arn:aws:s3:::{settings.destination_bucket}"
    if _ON_OBJECTS.issuperset(actions):
        place += f"/{settings.destination_prefix}*"
    return json.dumps(
        {"Effect": "Allow", "Action": [f"s3:{action}" for action in actions], "Resource": place}
    )


def policy_to_put(settings: MigrationSettings) -> str:
    """Return the statement that grants what storing an object takes."""
    return policy(settings, "PutObject", *(["PutObjectAcl"] if settings.object_acl else []))
