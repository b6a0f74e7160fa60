"""The checks of `migrate.py --check` of the way to the bucket, read only: credentials, address, bucket, clock.

check_bucket.py has those that write.
"""

from __future__ import annotations

import time
from email.utils import parsedate_to_datetime

from cdn2s3.commands.check_context import FAILED, NTP, OK, STS, WARNING, CheckContext, CheckResult, failure
from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.s3.credentials import aws_session
from cdn2s3.destinations.s3.endpoint import ignored
from cdn2s3.destinations.s3.iam import Identity
from cdn2s3.errors import FatalError, TransientError, UsageError
from cdn2s3.text import duration

_CLOCK_FAILED = 900.0  # seconds; S3 refuses requests that are 15 minutes off (RequestTimeTooSkewed)
_CLOCK_WARNING = 60.0


# --- credentials ---


def check_credentials(context: CheckContext) -> list[CheckResult]:
    try:
        found = context.identity
    except FatalError as error:
        return [CheckResult(FAILED, "credentials", str(error), STS)]
    whose = f", account {found.account} ({found.arn})" if found.account else ""
    said = f"from {found.source}, access key …{found.key_end}{whose}"
    if found.refused:
        return [CheckResult(FAILED, "credentials", f"{said}: {found.refused}", STS)]
    return [CheckResult(OK, "credentials", said), _expiry(found, context.hours)]


def _expiry(found: Identity, hours: float) -> CheckResult:
    about = f"about {duration(hours * 3600)} needed"
    if found.renews:
        return CheckResult(OK, "expiry", "they renew themselves")
    if found.ends_at is not None:
        left = found.ends_at - time.time()
        said = f"they expire in {duration(max(0.0, left))}, {about}"
        level = OK if left > 1.5 * hours * 3600 else WARNING
        return CheckResult(level, "expiry", said, _ROLE if level == WARNING else "")
    if found.has_token:
        said = f"a session token that does not renew itself: it expires within 1 to 12 hours, {about}"
        return CheckResult(WARNING, "expiry", said, _ROLE)
    return CheckResult(OK, "expiry", "a long-lived access key")


_ROLE = "use an instance role (docs/ec2-setup.md), or a profile with role_arn; a stopped run resumes"


# --- the bucket ---


def check_address(context: CheckContext) -> list[CheckResult]:
    """Report the address of requests; raise UsageError if botocore has none for the bucket."""
    if not context.can_sign:
        return []
    try:
        address = context.client.address
    except UsageError:
        raise  # like every other setting that an edit fixes
    except FatalError as error:
        return [failure("address", error, STS)]
    said = f"{address.url}, signed for {address.region}"
    missed = ignored(aws_session(context.settings)) if context.settings.aws_endpoint_url else []
    if not missed:
        return [CheckResult(OK, "address", said)]
    said += (
        f". With AWS_ENDPOINT_URL set, botocore ignores these AWS configuration options: {', '.join(missed)}"
    )
    return [
        CheckResult(
            WARNING,
            "address",
            said,
            "leave AWS_ENDPOINT_URL empty, or set it to a FIPS or dual-stack endpoint",
        )
    ]


def check_bucket(context: CheckContext) -> list[CheckResult]:
    settings = context.settings
    name = settings.destination_bucket
    if not context.can_sign:
        return []
    try:
        head = context.bucket_head
    except (TransientError, FatalError) as error:
        return [failure("bucket", error, "check the network, AWS_ENDPOINT_URL and AWS_REGION")]
    region = head.headers.get("x-amz-bucket-region", "")
    if head.status == 404:
        return [
            CheckResult(FAILED, "bucket", f"{name} does not exist", command("migrate.py", "--create-bucket"))
        ]
    if region and region != settings.aws_region:
        said = f"{name} is in {region}, AWS_REGION is {settings.aws_region}"
        return [CheckResult(FAILED, "bucket", said, f"AWS_REGION={region}")]
    if 300 <= head.status < 400 or head.status == 400:
        said = f"the store answered {head.status} to HeadBucket: expired credentials, or another region"
        remedy = "read the `put` line; otherwise set AWS_REGION and AWS_ENDPOINT_URL to those of the bucket"
        return [CheckResult(FAILED, "bucket", said, remedy)]
    if head.status == 403:  # s3:ListBucket is not needed to migrate
        said = f"{name}: HeadBucket is refused, which is not an error in itself"
        return [CheckResult(OK, "bucket", f"{said}; region {region or 'unknown'}")]
    if head.status != 200:
        return [CheckResult(FAILED, "bucket", f"the store answered {head.status} to HeadBucket", "try again")]
    return [
        CheckResult(OK, "bucket", f"{name} in {region or settings.aws_region + ' (as configured)'}"),
        *_owner(context),
    ]


def _owner(context: CheckContext) -> list[CheckResult]:
    account = context.account
    expected = context.settings.expected_bucket_owner
    if expected and not context.checks_owner:
        said = f"the store does not check owners: EXPECTED_BUCKET_OWNER={expected} proves nothing here"
        return [CheckResult(WARNING, "owner", said, "EXPECTED_BUCKET_OWNER=")]
    if expected:
        return [CheckResult(OK, "owner", f"account {expected}, as EXPECTED_BUCKET_OWNER asks")]
    if not account:
        return []
    if context.is_ours(account):
        return [CheckResult(OK, "owner", f"account {account}, to which these credentials belong")]
    said = f"it belongs to an account other than {account}: its bucket policy must allow your role (docs/ec2-setup.md)"
    return [CheckResult(WARNING, "owner", said, "EXPECTED_BUCKET_OWNER=<the account that should own it>")]


def check_clock(context: CheckContext) -> list[CheckResult]:
    if not context.can_sign:
        return []
    try:
        head = context.bucket_head
    except (TransientError, FatalError):
        return []  # check_bucket reports it
    try:
        date = parsedate_to_datetime(head.headers.get("date", ""))
        offset = time.time() - date.timestamp()
    except (TypeError, ValueError, IndexError):
        return [
            CheckResult(
                WARNING,
                "clock",
                "the S3 response had no Date header, so the clock was not checked",
                "date -u; chronyc tracking",
            )
        ]
    said = f"{abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the store's"
    if abs(offset) >= _CLOCK_FAILED:
        return [
            CheckResult(
                FAILED, "clock", f"{said}: S3 refuses requests that are more than 15 minutes off", NTP
            )
        ]
    if abs(offset) >= _CLOCK_WARNING:
        return [CheckResult(WARNING, "clock", said, NTP)]
    return [CheckResult(OK, "clock", said if abs(offset) >= 2 else "matches the store's")]
