"""`migrate.py --create-bucket`: in AWS_REGION, closed to the public, under the first name or the fallback."""

from __future__ import annotations

import argparse
import dataclasses
import time
from contextlib import closing
from typing import Any, Callable, NamedTuple, TypeVar

from cdn2s3.console.logging_setup import show
from cdn2s3.console.rerun_hint import command
from cdn2s3.console.signals import Signals
from cdn2s3.destinations.s3.client import S3Client, S3Response
from cdn2s3.destinations.s3.iam import policy
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.probe_requests import UP, probe_image, probe_key
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
# Of stores that know one region, or none (Ceph, Swift: InvalidLocationConstraint).
_NO_SUCH_REGION = frozenset(
    {"InvalidLocationConstraint", "IllegalLocationConstraintException", "InvalidRegion"}
)

Returned = TypeVar("Returned")
MakeClient = Callable[[MigrationSettings], S3Client]


class Created(NamedTuple):
    """The bucket that exists now."""

    name: str
    is_new: bool  # False: it was there before, and was left as it is
    taken: str  # the first name if another account has it; "" otherwise
    warning: str  # what could not be done, with the remedy; "" if everything was done
    note: str = ""  # what was done otherwise than asked for; "" if nothing


def create(
    settings: MigrationSettings, make_client: MakeClient, pause: Callable[[float], object] = time.sleep
) -> Created:
    """Create DESTINATION_BUCKET, or DESTINATION_BUCKET_FALLBACK if another account has that name.

    A bucket that is there already is left as it is. Raise FatalError if there is no bucket at the end.
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
    """Create settings' bucket and close it, unless it is there; return None when another account has the name."""
    client = make_client(dataclasses.replace(settings, expected_bucket_owner=""))
    name = settings.destination_bucket
    before, note = _existing(settings, client, pause), ""
    is_new = False
    if not before:
        reply, note = _creation(settings, client, pause)
        if reply.code == _TAKEN:
            return None
        # A bucket that refuses HEAD is there; us-east-1 answers 200 to its owner's second creation.
        is_new = reply.code != _OURS and before is not None
    warning = _closed_and_usable(settings, client, pause) if is_new else _elsewhere(settings, client)
    return Created(name, is_new, "", warning or _of_another_owner(settings, make_client), note)


def _existing(settings: MigrationSettings, client: S3Client, pause: Callable[[float], object]) -> bool | None:
    """Return whether the bucket is there, and may be used; some stores "create" a bucket that exists.

    None: HEAD is refused, and the bucket is not in the list of ours; the answer to the creation tells more. HEAD
    answers 404 where there is no bucket, whoever asks (API Reference, HeadBucket).
    """

    def head() -> int:
        reply = client.request("HEAD", "", Deadline(settings.upload_timeout))
        if reply.is_passing:
            raise reply.error("HeadBucket")
        return reply.status

    def own() -> frozenset[str] | None:
        return client.own_buckets(Deadline(settings.upload_timeout))

    status = _repeated(settings, head, pause)
    if status in (200, 404):
        return status == 200
    ours = _repeated(settings, own, pause)
    return True if ours and settings.destination_bucket in ours else None


def _creation(
    settings: MigrationSettings, client: S3Client, pause: Callable[[float], object]
) -> tuple[S3Response, str]:
    """Return the response to the creation, and what was asked for and left out; raise FatalError."""
    region, expected = settings.aws_region, {_OURS, _TAKEN}
    if region == _NO_CONSTRAINT:
        return _asked(settings, client, pause, "create_bucket", expected, {}), ""
    named = {"CreateBucketConfiguration": {"LocationConstraint": region}}
    if settings.aws_endpoint_url is None:
        return _asked(settings, client, pause, "create_bucket", expected, named), ""
    reply = _asked(settings, client, pause, "create_bucket", expected | _NO_SUCH_REGION, named)
    if reply.code not in _NO_SUCH_REGION:
        return reply, ""
    note = f"the store knows no region {region} (LocationConstraint): the bucket is where the store puts it"
    return _asked(settings, client, pause, "create_bucket", expected, {}), note


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

    return _repeated(settings, attempt, pause)


def _repeated(
    settings: MigrationSettings, attempt: Callable[[], Returned], pause: Callable[[float], object]
) -> Returned:
    """Return the result of attempt, after as many as MAX_RETRIES allows; raise FatalError."""
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


def _closed_and_usable(
    settings: MigrationSettings, client: S3Client, pause: Callable[[float], object]
) -> str:
    """Block public access; return a warning when that cannot be done, or when the store refuses a PUT since.

    Ceph 16 refuses every PUT under a public access block: so a probe is put before and after it.
    """
    before = _takes_a_put(settings, client)
    warning = _closed(settings, client, pause)
    if warning or not before or _takes_a_put(settings, client):
        return warning
    name, endpoint = settings.destination_bucket, settings.aws_endpoint_url
    where = f" --endpoint-url {endpoint}" if endpoint else ""
    return (
        "the store takes no PUT since public access was blocked (it did before). To take the block away: "
        f"aws s3api delete-public-access-block --bucket {name}{where}"
    )


def _takes_a_put(settings: MigrationSettings, client: S3Client) -> bool:
    """Return whether the bucket takes the probe, which is deleted again."""
    key, objects = probe_key(settings, UP), Objects(settings, client)
    try:
        if objects.put(key, probe_image(), Deadline(settings.upload_timeout), guarded=False).status != 200:
            return False
        objects.delete(key, Deadline(settings.upload_timeout))
    except (TransientError, PermanentError, FatalError):
        return False
    return True


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
        where = "" if created.note else f" in {settings.aws_region}"
        lines = [f"created s3://{created.name}{where}{closed}"]
    else:
        lines = [f"s3://{created.name} already exists; it was left as it is"]
    if created.taken:
        lines.append(f"(the name {created.taken} is taken by another account)")
    if created.note:
        lines.append(f"({created.note})")
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
    if not settings.placement.uses_bucket:
        raise UsageError(
            "--create-bucket creates a bucket, but DESTINATION=local uses a folder. Set DESTINATION=s3."
        )
    with closing(PooledAdapter(1, settings.ca_bundle)) as adapter:
        created = create(settings, lambda chosen: S3Client(chosen, adapter))
    show("\n".join(text(settings, created)))
    return EXIT_SOME_FAILED if created.warning else EXIT_DONE
