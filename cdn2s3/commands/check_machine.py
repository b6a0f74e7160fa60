"""The checks of `migrate.py --check`: this machine, the credentials, the bucket and the CDN.

A check takes the CheckContext and returns CheckResults; it does not raise for a problem that it finds. check.py has the
list of checks; check_bucket.py checks the permissions.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import time
from email.utils import parsedate_to_datetime

from cdn2s3.bootstrap import open_files_needed
from cdn2s3.collection.region_advice import nearest_region
from cdn2s3.commands.check_context import FAILED, NTP, OK, STS, WARNING, CheckContext, CheckResult, failure
from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.s3.client import aws_session
from cdn2s3.destinations.s3.endpoint import ignored
from cdn2s3.destinations.s3.iam import Identity
from cdn2s3.errors import FatalError, TransientError, UsageError
from cdn2s3.reports import migration_report
from cdn2s3.text import bytes_text, duration, pluralize

BYTES_A_URL = 350  # of state files: a line of completed.txt, its copy while files are replaced, the log
_CLOCK_FAILED = 900.0  # seconds; S3 refuses requests that are 15 minutes off (RequestTimeTooSkewed)
_CLOCK_WARNING = 60.0


# --- this machine ---


def check_versions(context: CheckContext) -> list[CheckResult]:
    found = migration_report.versions()
    libraries = ", ".join(f"{name} {found[name]}" for name in ("boto3", "botocore", "urllib3", "requests"))
    return [CheckResult(OK, "versions", f"Python {platform.python_version()}, {libraries}")]


def check_open_files(context: CheckContext) -> list[CheckResult]:
    needed = open_files_needed(context.settings.concurrency)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        remedy = f"ulimit -n {needed}   (root raises the hard limit), or lower CONCURRENCY"
        return [CheckResult(FAILED, "open files", f"{needed} needed, {hard} allowed", remedy)]
    raised = (
        "" if soft == resource.RLIM_INFINITY or soft >= needed else f" (raised from {soft} automatically)"
    )
    return [CheckResult(OK, "open files", f"{needed} needed and allowed{raised}")]


def check_disk(context: CheckContext) -> list[CheckResult]:
    folder = context.settings.state_dir
    try:
        needed = context.pending * BYTES_A_URL
    except UsageError:
        needed = 4_000_000 * BYTES_A_URL
    if not os.access(folder, os.W_OK | os.X_OK):
        return [CheckResult(FAILED, "disk", f"{folder.resolve()} is not writable", f"chmod u+rwx {folder}")]
    free = shutil.disk_usage(folder).free
    said = f"{bytes_text(free)} free in {folder.resolve()}, about {bytes_text(needed)} needed"
    if free < needed:
        return [CheckResult(FAILED, "disk", said, "make room, or set STATE_DIR to a larger disk")]
    if free < 3 * needed:
        return [CheckResult(WARNING, "disk", said, "watch it (df -h .), or set STATE_DIR to a larger disk")]
    return [CheckResult(OK, "disk", said)]


def check_input(context: CheckContext) -> list[CheckResult]:
    try:
        lines, pending = context.lines, context.pending
    except FatalError as error:
        return [CheckResult(WARNING, "input", str(error), command("collect_urls.py"))]
    if not lines:
        said = f"{context.settings.source_urls_file} contains no URL"
        return [CheckResult(WARNING, "input", said, command("collect_urls.py"))]
    return [CheckResult(OK, "input", f"{pluralize(lines, 'URL')}, about {pending:,} pending")]


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
    if context.settings.expected_bucket_owner:
        said = f"account {context.settings.expected_bucket_owner}, as EXPECTED_BUCKET_OWNER asks"
        return [CheckResult(OK, "owner", said)]
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
        date = parsedate_to_datetime(context.bucket_head.headers.get("date", ""))
        offset = time.time() - date.timestamp()
    except (TransientError, FatalError, TypeError, ValueError, IndexError):
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


# --- the CDN ---


def check_source(context: CheckContext) -> list[CheckResult]:
    answers = context.heads
    if not answers and context.has_lines:
        said = f"no line of {context.settings.source_urls_file} is under {context.settings.url_prefix}"
        return [CheckResult(FAILED, "source", said, "correct URL_PREFIX")]
    if not answers:
        return [CheckResult(WARNING, "source", "there is no URL to request", command("collect_urls.py"))]
    last = answers[-1]
    if last.status == 200:
        size = "" if last.size is None else f", {last.size:,} bytes"
        return [CheckResult(OK, "source", f"{context.settings.url_prefix} answers 200{size}")]
    if last.status is None:
        remedy = f"curl -I {context.settings.url_prefix}"
        return [CheckResult(FAILED, "source", f"the CDN cannot be reached: {last.why}", remedy)]
    said = f"the CDN answered {', '.join(str(head.status) for head in answers)} to HEAD for the first URLs"
    if all(head.status in (401, 403) for head in answers):
        remedy = "open one in a browser; ask the CDN's owner whether it refuses this address"
        return [CheckResult(FAILED, "source", said, remedy)]
    return [CheckResult(WARNING, "source", said, "open one in a browser; check URL_PREFIX")]


def check_edge(context: CheckContext) -> list[CheckResult]:
    """Compare AWS_REGION with the region nearest to the edge location that responds here."""
    edge = next((head.edge for head in context.heads if head.edge), "")
    if not edge:
        return []
    region = nearest_region(edge)
    mine = context.settings.aws_region
    if region is None:
        return [CheckResult(OK, "edge", f"{edge[:20]}, which is not in the table of edge locations")]
    said = f"{edge[:20]} responds here; the nearest region is {region}"
    if region == mine or context.settings.aws_endpoint_url:
        return [CheckResult(OK, "edge", said)]
    said += f"; AWS_REGION is {mine}. The edge location shows only where this machine is"
    return [CheckResult(WARNING, "edge", said, f"run this on an instance in the bucket's region, {mine}")]
