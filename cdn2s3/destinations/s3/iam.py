"""The identity of a run: where its credentials were found, whose they are, how long they last."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import botocore.exceptions
import botocore.session
from botocore.config import Config

from cdn2s3.destinations.s3.credentials import aws_session, credentials_of, provider_name
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings

_ENDS_WITH_LOGIN = frozenset({"sso", "login"})  # renewed only until the person's own session ends


class Identity(NamedTuple):
    """Credentials, without a secret."""

    source: str  # where they were found
    key_end: str  # last four characters of the access key
    account: str  # 12 digits; "" where it is not known (not AWS, or STS not asked)
    arn: str  # of the user or role; "" likewise
    refused: str  # why STS refuses them; "" where it does not
    renews: bool  # they renew themselves
    ends_at: float | None  # seconds since the epoch; None where it is not known
    has_token: bool  # they are temporary


def identity(settings: MigrationSettings, adapter: PooledAdapter) -> Identity:
    """Return whose credentials they are; ask STS on AWS, over adapter. Raise FatalError when there are none."""
    session = aws_session(settings, adapter)
    credentials = credentials_of(session)
    frozen = credentials.get_frozen_credentials()
    method = str(credentials.method)
    expires = getattr(credentials, "_expiry_time", None)  # botocore has it nowhere else
    account, arn, refused = "", "", ""
    if settings.aws_endpoint_url is None:
        account, arn, refused = _caller(settings, session, frozen)
    return Identity(
        provider_name(method),
        frozen.access_key[-4:],
        account,
        arn,
        refused,
        expires is not None and method not in _ENDS_WITH_LOGIN,
        expires.timestamp() if expires is not None else None,
        bool(frozen.token),
    )


def _caller(
    settings: MigrationSettings, session: botocore.session.Session, frozen: Any
) -> tuple[str, str, str]:
    """Return account, ARN and why not; all empty where STS cannot be reached (it may have no endpoint here)."""
    config = Config(retries={"mode": "standard", "total_max_attempts": 1})
    client: Any = session.create_client(
        "sts",
        region_name=settings.aws_region,
        aws_access_key_id=frozen.access_key,
        aws_secret_access_key=frozen.secret_key,
        aws_session_token=frozen.token,
        config=config,
    )
    try:
        found = client.get_caller_identity()
        return found["Account"], found["Arn"], ""
    except botocore.exceptions.ClientError as error:
        return "", "", f"STS refuses them ({error.response['Error']['Code']})"
    except botocore.exceptions.BotoCoreError:
        return "", "", ""


_ON_OBJECTS = frozenset({
    "PutObject", "PutObjectAcl", "GetObject", "DeleteObject", "DeleteObjectVersion", "AbortMultipartUpload",
})  # fmt: skip


class Policy(str):
    """A statement of a policy as JSON, to be added to a role's policy."""


def policy(settings: MigrationSettings, *actions: str) -> Policy:
    """Return the statement that grants actions (without `s3:`), all of them on objects or all on the bucket."""
    place = f"arn:aws:s3:::{settings.destination_bucket}"
    if _ON_OBJECTS.issuperset(actions):
        place += f"/{settings.destination_prefix}*"
    statement = {"Effect": "Allow", "Action": [f"s3:{action}" for action in actions], "Resource": place}
    return Policy(json.dumps(statement))


def policy_to_put(settings: MigrationSettings) -> Policy:
    """Return the statement that grants what storing an object takes."""
    return policy(settings, "PutObject", *(["PutObjectAcl"] if settings.object_acl else []))
