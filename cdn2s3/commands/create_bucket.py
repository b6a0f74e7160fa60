"""`migrate.py --create-bucket`: in AWS_REGION, closed to the public, under the first name or the fallback."""

from __future__ import annotations

import argparse
import dataclasses
import time
from contextlib import closing
from typing import Any, Callable, NamedTuple

from cdn2s3.console.logging_setup import show
from cdn2s3.console.rerun_hint import command
from cdn2s3.console.signals import Signals
from cdn2s3.destinations.s3.client import S3Client, S3Response
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.errors import (
    EXIT_DONE,
    EXIT_SOME_FAILED,
    FatalError,
    MigrationError,
    PermanentError,
    TransientError,
    UsageError,
)
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.resilience.retry import RetryPolicy, with_retries
from cdn2s3.settings.declarations import MigrationSettings

_CLOSED = {
    "BlockPublicAcls": True,
    "IgnorePublicAcls": True,
    "BlockPublicPolicy": True,
    "RestrictPublicBuckets": True,
}
_NO_CONSTRAINT = "us-east-1"  # the one region that CreateBucket must not name
_OURS = "BucketAlreadyOwnedByYou"
_TAKEN = "BucketAlreadyExists"
_DENIED = "AccessDenied"

MakeClient = Callable[[MigrationSettings], S3Client]


class Created(NamedTuple):
    """The bucket that exists now."""

    name: str
    is_new: bool  # False: we already owned it
    taken: str  # the first name if another account has it; "" otherwise
    warning: str  # what could not be done, with the remedy; "" if everything was done


def create(
    settings: MigrationSettings, make_client: MakeClient, pause: Callable[[float], object] = time.sleep
) -> Created:
    """Create DESTINATION_BUCKET, or DESTINATION_BUCKET_FALLBACK if another account has that name.

    Raise FatalError if there is no bucket at the end.
    """
    first, fallback = settings.destination_bucket, settings.destination_bucket_fallback
    created = _created(settings, make_client, pause)
    if created is not None:
        return created
    if not fallback or fallback == first:
        raise FatalError(
            f"the name {first} is taken by another account (bucket names are global). Choose another "
            "DESTINATION_BUCKET, or set DESTINATION_BUCKET_FALLBACK, then run it again."
        )
    created = _created(dataclasses.replace(settings, destination_bucket=fallback), make_client, pause)
    if created is None:
        raise FatalError(
            f"the names {first} and {fallback} are both taken by other accounts. Choose another DESTINATION_BUCKET."
        )
    return created._replace(taken=first)


def _created(
    settings: MigrationSettings, make_client: MakeClient, pause: Callable[[float], object]
) -> Created | None:
    """Create settings' bucket and close it; return None when another account has the name."""
    client = make_client(settings)
    name, region = settings.destination_bucket, settings.aws_region
    more: dict[str, Any] = {}
    if region != _NO_CONSTRAINT:
        more["CreateBucketConfiguration"] = {"LocationConstraint": region}
    reply = _asked(settings, client, pause, "create_bucket", {_OURS, _TAKEN}, more)
    if reply.code == _TAKEN:
        return None
    is_new = reply.code != _OURS
    warning = _closed(settings, client, pause) if is_new else _elsewhere(settings, client)
    return Created(name, is_new, "", warning or _of_another_owner(settings, make_client))


def _asked(
    settings: MigrationSettings,
    client: S3Client,
    pause: Callable[[float], object],
    operation: str,
    expected: set[str],
    params: dict[str, Any],
) -> S3Response:
    """Return the response to operation: a success, or one of the expected error codes; raise FatalError."""

    def attempt() -> S3Response:
        reply, _ = client.call(operation, Deadline(settings.upload_timeout), **params)
        if reply.status < 300 or reply.code in expected:
            return reply
        raise _error(settings, reply, operation)

    policy = RetryPolicy(settings.max_retries)
    try:
        return with_retries(attempt, policy, pause)
    except TransientError as error:
        raise FatalError(f"{error.message}, {policy.max_attempts} times. Try again later.") from error


def _error(settings: MigrationSettings, reply: S3Response, operation: str) -> MigrationError:
    if reply.code == _DENIED:
        return FatalError(
            "the credentials are not allowed to create buckets. Ask somebody who is to "
            f"create {settings.destination_bucket}, or grant:\n"
            f"  {policy(settings, 'CreateBucket', 'PutBucketPublicAccessBlock')}"
        )
    error = reply.error(operation)
    return FatalError(f"{error}.") if isinstance(error, PermanentError) else error


def _closed(settings: MigrationSettings, client: S3Client, pause: Callable[[float], object]) -> str:
    """Block public access; return a warning when that cannot be done."""
    params = {"PublicAccessBlockConfiguration": _CLOSED}
    try:
        reply = _asked(settings, client, pause, "put_public_access_block", {_DENIED}, params)
    except FatalError as error:
        why = str(error)
    else:
        if reply.code != _DENIED:
            return ""
        why = "s3:PutBucketPublicAccessBlock is not granted"
    return (
        f"public access could not be blocked ({why}). AWS blocks it in new buckets by default. "
        f"To check: aws s3api get-public-access-block --bucket {settings.destination_bucket}"
    )


def _of_another_owner(settings: MigrationSettings, make_client: MakeClient) -> str:
    """Return a warning when the bucket, which is ours, is not in the account of EXPECTED_BUCKET_OWNER.

    Requested with and without that setting: a 403 may also mean that s3:ListBucket is not granted.
    """
    if not settings.expected_bucket_owner:
        return ""
    statuses = []
    for owner in (settings.expected_bucket_owner, ""):
        client = make_client(dataclasses.replace(settings, expected_bucket_owner=owner))
        try:
            statuses.append(client.request("HEAD", "", Deadline(settings.upload_timeout)).status)
        except (TransientError, FatalError) as error:
            return f"EXPECTED_BUCKET_OWNER could not be checked ({error}): run {_check()}"
    if statuses[0] != 403 or statuses[1] == 403:
        return ""
    return (
        f"EXPECTED_BUCKET_OWNER={settings.expected_bucket_owner} is refused: the bucket is in another account. "
        "Correct that setting, or leave it empty."
    )


def _elsewhere(settings: MigrationSettings, client: S3Client) -> str:
    """Return a warning when the bucket that already exists is in another region."""
    try:
        head = client.request("HEAD", "", Deadline(settings.upload_timeout))
    except (TransientError, FatalError) as error:
        return f"its region is unknown ({error}): run {_check()}"
    region = head.headers.get("x-amz-bucket-region", settings.aws_region)
    if region == settings.aws_region:
        return ""
    return f"it is in {region}, not in {settings.aws_region}: set AWS_REGION={region}"


def _check() -> str:
    return command("migrate.py", "--check")


def text(settings: MigrationSettings, created: Created) -> list[str]:
    """Return the text for people."""
    if created.is_new:
        closed = "" if created.warning else ", public access blocked"
        lines = [f"created s3://{created.name} in {settings.aws_region}{closed}"]
    else:
        lines = [f"s3://{created.name} already exists, and you own it"]
    if created.taken:
        lines.append(f"(the name {created.taken} is taken by another account)")
    if created.warning:
        lines.append(f"warning: {created.warning}")
    return [
        *lines,
        "",
        "in the settings file:",
        f"DESTINATION_BUCKET={created.name}",
        "",
        f"next: {_check()}",
    ]


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--create-bucket", action="store_true", help="create DESTINATION_BUCKET")


def run(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Create the bucket and print the setting that names it; return the exit code."""
    if settings.destination != "s3":
        raise UsageError(
            "--create-bucket creates a bucket, but DESTINATION=local uses a folder. Set DESTINATION=s3."
        )
    with closing(PooledAdapter(1, settings.ca_bundle)) as adapter:
        created = create(settings, lambda chosen: S3Client(chosen, adapter))
    show("\n".join(text(settings, created)))
    return EXIT_SOME_FAILED if created.warning else EXIT_DONE
