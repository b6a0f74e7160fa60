"""The checks of `migrate.py --check`: each looks at one thing that a migration needs and says how it is.

A check takes the Visit and returns Findings; none of them raises for what it finds. migrate.py holds the list
of checks. What several of them need is asked once and kept in the Visit.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil
import textwrap
import time
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import NamedTuple

from cdn2s3 import estimate, guard, report
from cdn2s3.bucket import Bucket, Guard, probe_image, probe_key
from cdn2s3.connection import Limit
from cdn2s3.errors import CannotGoOn, Fixable, MigrationError, TryAgain, UrlFailed
from cdn2s3.estimate import bytes_text
from cdn2s3.heads import Head, heads
from cdn2s3.identity import Identity, identity
from cdn2s3.job import key_maker
from cdn2s3.keys import Malformed
from cdn2s3.ledger import COMPLETED, decode_line
from cdn2s3.progress import duration
from cdn2s3.regions import nearest_region
from cdn2s3.s3client import Reply, S3Client
from cdn2s3.session import PooledAdapter
from cdn2s3.settings import MigrationSettings
from cdn2s3.statefile import cannot_read, input_lines, whole_lines

OK, WARNING, FAILED = "ok", "warning", "failed"

FILES_BESIDES = 64  # open files that are neither a download nor an upload
BYTES_A_URL = 350  # of state files: a line of completed.txt, its copy while files are replaced, the log
_SOURCE_TRIES = 5  # URLs of the input that are asked for; one may be missing
_CLOCK_FAILED = 900.0  # seconds; S3 refuses requests that are 15 minutes off (RequestTimeTooSkewed)
_CLOCK_WARNING = 60.0
_WIDTH = 79
NOTHING_KNOWN = Guard(etag_is_md5=False, checksum_refused=False, if_none_match=False, can_read=False)


class Finding(NamedTuple):
    """What a check found."""

    level: str  # OK, WARNING or FAILED
    what: str  # one or two words
    detail: str
    remedy: str = ""  # a command or a policy snippet; "" where nothing is to be done


class Visit:
    """What the checks share; each thing is asked for once, when a check first needs it."""

    def __init__(self, settings: MigrationSettings) -> None:
        self.settings = settings

    @cached_property
    def client(self) -> S3Client:
        """The bucket's client; raise CannotGoOn without credentials."""
        return S3Client(self.settings, PooledAdapter(4, self.settings.ca_bundle))

    @cached_property
    def identity(self) -> Identity:
        """Whose credentials they are; raise CannotGoOn when there are none."""
        return identity(self.settings)

    @cached_property
    def bucket_head(self) -> Reply:
        """The answer to HeadBucket; raise TryAgain or CannotGoOn."""
        return self.client.request("HEAD", "", self.limit())

    @property
    def can_sign(self) -> bool:
        """Whether there are credentials; where there are none, check_credentials has said all."""
        try:
            return bool(self.identity)
        except CannotGoOn:
            return False

    @cached_property
    def first_put(self) -> Reply:
        """The answer to a plain PUT of the probe object; raise TryAgain or CannotGoOn."""
        bucket = Bucket(self.settings, self.client, NOTHING_KNOWN)
        image = probe_image() if self.settings.integrity == "md5" else probe_image()._replace(md5=b"")
        return bucket.put(probe_key(self.settings), image, self.limit(), False)

    @cached_property
    def probed(self) -> guard.Probed:
        """What the guard probe found out; raise TryAgain or CannotGoOn."""
        return guard.probe(self.settings, self.client)

    @property
    def probed_or_none(self) -> guard.Probed | None:
        """The same, None where the probe cannot be put (check_permissions has named why)."""
        try:
            return self.probed if self.can_sign and self.first_put.status == 200 else None
        except (TryAgain, CannotGoOn):
            return None

    @cached_property
    def lines(self) -> int:
        """How many lines the input has; raise Fixable when it cannot be read."""
        path = self.settings.source_urls_file
        try:
            return sum(1 for line in input_lines(path) if line)
        except OSError as error:
            raise cannot_read(path, error, "SOURCE_URLS_FILE") from error

    @cached_property
    def pending(self) -> int:
        """About how many URLs are to be moved, blank and repeated lines not looked for."""
        done = sum(1 for _ in whole_lines(self.settings.state_dir / COMPLETED))
        return max(0, self.lines - done)

    @cached_property
    def heads(self) -> list[Head]:
        """Answers of the CDN for the first URLs, until one is a 200."""
        answers: list[Head] = []
        for target in self._first_targets():
            answers += heads(self.settings, [target], 10.0)
            if answers[-1].status in (None, 200):
                break
        return answers

    def _first_targets(self) -> list[str]:
        keys, targets = key_maker(self.settings), []
        try:
            for line in input_lines(self.settings.source_urls_file):
                try:
                    targets.append(keys.address(decode_line(line)).target)
                except Malformed:
                    continue
                if len(targets) == _SOURCE_TRIES:
                    break
        except OSError:
            return []  # check_input names it
        return targets

    @property
    def hours(self) -> float:
        """About how long the migration takes; of the whole default job where the input is not there yet."""
        try:
            files = self.pending
        except Fixable:
            files = 4_000_000
        return files / estimate.rate(self.settings, estimate.ASSUMED_BYTES).files_per_second / 3600

    def limit(self) -> Limit:
        return Limit(min(20.0, self.settings.upload_timeout))

    def policy(self, *actions: str, whole_bucket: bool = False) -> str:
        """Return the statement of a policy that grants actions."""
        place = self.settings.destination_bucket
        if not whole_bucket:
            place += f"/{self.settings.destination_prefix}*"
        listed = ", ".join(f'"s3:{action}"' for action in actions)
        return f'{{"Effect": "Allow", "Action": [{listed}], "Resource": "arn:aws:s3:::{place}"}}'


# --- this machine ---


def check_versions(visit: Visit) -> list[Finding]:
    found = report.versions()
    libraries = ", ".join(f"{name} {found[name]}" for name in ("boto3", "botocore", "urllib3", "requests"))
    return [Finding(OK, "versions", f"Python {platform.python_version()}, {libraries}")]


def check_open_files(visit: Visit) -> list[Finding]:
    needed = 2 * visit.settings.concurrency + FILES_BESIDES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        remedy = f"ulimit -n {needed}   (root raises the hard limit), or lower CONCURRENCY"
        return [Finding(FAILED, "open files", f"{needed} are needed, {hard} are allowed", remedy)]
    raised = "" if soft == resource.RLIM_INFINITY or soft >= needed else f" (raised from {soft} by itself)"
    return [Finding(OK, "open files", f"{needed} are needed, and allowed{raised}")]


def check_disk(visit: Visit) -> list[Finding]:
    folder = visit.settings.state_dir
    try:
        needed = visit.pending * BYTES_A_URL
    except Fixable:
        needed = 4_000_000 * BYTES_A_URL
    if not os.access(folder, os.W_OK | os.X_OK):
        return [Finding(FAILED, "disk", f"{folder.resolve()} cannot be written", f"chmod u+rwx {folder}")]
    free = shutil.disk_usage(folder).free
    said = f"{bytes_text(free)} free in {folder.resolve()}, about {bytes_text(needed)} are needed"
    if free < needed:
        return [Finding(FAILED, "disk", said, "make room, or set STATE_DIR to a larger disk")]
    if free < 3 * needed:
        return [Finding(WARNING, "disk", said, "watch it (df -h .), or set STATE_DIR to a larger disk")]
    return [Finding(OK, "disk", said)]


def check_input(visit: Visit) -> list[Finding]:
    try:
        lines, pending = visit.lines, visit.pending
    except CannotGoOn as error:
        return [Finding(WARNING, "input", str(error), "python collect_urls.py")]
    if not lines:
        said = f"{visit.settings.source_urls_file} holds no URL"
        return [Finding(WARNING, "input", said, "python collect_urls.py")]
    return [Finding(OK, "input", f"{lines:,} URLs, about {pending:,} pending")]


# --- who we are ---


def check_credentials(visit: Visit) -> list[Finding]:
    try:
        found = visit.identity
    except CannotGoOn as error:
        return [Finding(FAILED, "credentials", str(error), _STS)]
    whose = f", account {found.account} ({found.arn})" if found.account else ""
    said = f"from {found.source}, access key …{found.key_end}{whose}"
    if found.refused:
        return [Finding(FAILED, "credentials", f"{said}: {found.refused}", _STS)]
    return [Finding(OK, "credentials", said), _expiry(found, visit.hours)]


def _expiry(found: Identity, hours: float) -> Finding:
    about = f"about {duration(hours * 3600)} are needed"
    if found.renews:
        return Finding(OK, "expiry", "they renew themselves")
    if found.ends_at is not None:
        left = found.ends_at - time.time()
        said = f"they end in {duration(max(0.0, left))}, {about}"
        level = OK if left > 1.5 * hours * 3600 else WARNING
        return Finding(level, "expiry", said, _ROLE if level == WARNING else "")
    if found.has_token:
        said = f"a session token that nobody renews: it ends within 1 to 12 hours, {about}"
        return Finding(WARNING, "expiry", said, _ROLE)
    return Finding(OK, "expiry", "a long-lived access key")


_ROLE = "use an instance role (docs/ec2-setup.md), or a profile with role_arn; a stopped run resumes"


# --- the bucket ---


def check_bucket(visit: Visit) -> list[Finding]:
    settings = visit.settings
    name = settings.destination_bucket
    if not visit.can_sign:
        return []
    try:
        head = visit.bucket_head
    except (TryAgain, CannotGoOn) as error:
        return [_failure("bucket", error, "check the network, AWS_ENDPOINT_URL and AWS_REGION")]
    region = head.headers.get("x-amz-bucket-region", "")
    if head.status == 404:
        return [Finding(FAILED, "bucket", f"{name} does not exist", "python migrate.py --create-bucket")]
    if region and region != settings.aws_region:
        said = f"{name} is in {region}, AWS_REGION is {settings.aws_region}"
        return [Finding(FAILED, "bucket", said, f"AWS_REGION={region}")]
    if 300 <= head.status < 400 or head.status == 400:
        said = f"the store answered {head.status} to HeadBucket: another region, or a request it cannot read"
        return [Finding(FAILED, "bucket", said, "set AWS_REGION and AWS_ENDPOINT_URL to the bucket's own")]
    if head.status == 403:  # s3:ListBucket is not needed to migrate
        said = f"{name}: HeadBucket is refused, which is no error by itself"
        return [Finding(OK, "bucket", f"{said}; region {region or 'not told'}")]
    if head.status != 200:
        return [Finding(FAILED, "bucket", f"the store answered {head.status} to HeadBucket", "try again")]
    return [Finding(OK, "bucket", f"{name} in {region or settings.aws_region + ' (as set)'}"), *_owner(visit)]


def _owner(visit: Visit) -> list[Finding]:
    account = _account(visit)
    if visit.settings.expected_bucket_owner:
        said = f"account {visit.settings.expected_bucket_owner}, as EXPECTED_BUCKET_OWNER asks"
        return [Finding(OK, "owner", said)]
    if not account:
        return []
    if _is_ours(visit, account):
        return [Finding(OK, "owner", f"account {account}, whose credentials these are")]
    said = f"another account than {account}: its bucket policy has to allow ours (docs/ec2-setup.md)"
    return [Finding(WARNING, "owner", said, "EXPECTED_BUCKET_OWNER=<the account that should own it>")]


def _account(visit: Visit) -> str:
    try:
        return visit.identity.account
    except CannotGoOn:
        return ""


def _is_ours(visit: Visit, account: str) -> bool:
    owner = {"x-amz-expected-bucket-owner": account}
    try:
        return visit.client.request("HEAD", "", visit.limit(), headers=owner).status == 200
    except (TryAgain, CannotGoOn):
        return False


def check_clock(visit: Visit) -> list[Finding]:
    if not visit.can_sign:
        return []
    try:
        date = parsedate_to_datetime(visit.bucket_head.headers.get("date", ""))
        offset = time.time() - date.timestamp()
    except (TryAgain, CannotGoOn, TypeError, ValueError, IndexError):
        return [
            Finding(WARNING, "clock", "the store told no date to compare with", "date -u; chronyc tracking")
        ]
    said = f"{abs(offset):.0f} s {'ahead of' if offset > 0 else 'behind'} the store's"
    if abs(offset) >= _CLOCK_FAILED:
        return [Finding(FAILED, "clock", f"{said}: S3 refuses what is over 15 minutes off", _NTP)]
    if abs(offset) >= _CLOCK_WARNING:
        return [Finding(WARNING, "clock", said, _NTP)]
    return [Finding(OK, "clock", said if abs(offset) >= 2 else "as the store's")]


def check_permissions(visit: Visit) -> list[Finding]:
    if not visit.can_sign:
        return []
    try:
        first = visit.first_put
        if first.status != 200:
            return [_refused_put(visit, first)]
        probed = visit.probed
    except (TryAgain, CannotGoOn) as error:
        return [_failure("put", error, f"curl -I {visit.client.endpoint}")]
    findings = [Finding(OK, "put", f"{probe_key(visit.settings)} was stored")]
    return findings + _get(visit, probed) + _delete(visit, probed) + _list(visit)


def _refused_put(visit: Visit, reply: Reply) -> Finding:
    said = f"the bucket answered {reply.status} {reply.code} to PUT {probe_key(visit.settings)}"
    actions = ["PutObject"] + (["PutObjectAcl"] if visit.settings.object_acl else [])
    if reply.code == "AccessDenied":
        return Finding(FAILED, "put", said, visit.policy(*actions))
    error = reply.error(f"PUT {probe_key(visit.settings)}")
    return _failure("put", error, _REMEDIES.get(reply.code, "see docs/ec2-setup.md"))


_STS = "aws sts get-caller-identity"
_RENEW = "aws sso login   (or renew the keys; an instance role renews itself)"
_NTP = "sudo chronyc makestep"
_WRONG_REGION = "set AWS_REGION to the bucket's own region"
_REMEDIES = {
    "NoSuchBucket": "python migrate.py --create-bucket",
    "InvalidAccessKeyId": _STS,
    "SignatureDoesNotMatch": _STS,
    "ExpiredToken": _RENEW,
    "InvalidToken": _RENEW,
    "RequestTimeTooSkewed": _NTP,
    "AuthorizationHeaderMalformed": _WRONG_REGION,
    "PermanentRedirect": _WRONG_REGION,
    "AccessControlListNotSupported": "OBJECT_ACL=",
    "InvalidStorageClass": "STORAGE_CLASS=",
    "KMS.NotFoundException": "SSE_KMS_KEY_ID=<a key in AWS_REGION>",
}


def _get(visit: Visit, probed: guard.Probed) -> list[Finding]:
    if probed.guard.can_read:
        return [Finding(OK, "get", "the probe was read back")]
    said = (
        "s3:GetObject is refused: what is already there cannot be compared and ends as `unverified`; "
        "--sample and the spot check of validate.py need it"
    )
    return [Finding(WARNING, "get", said, visit.policy("GetObject"))]


def _delete(visit: Visit, probed: guard.Probed) -> list[Finding]:
    if probed.can_delete:
        return [Finding(OK, "delete", "the probe was deleted")]
    said = f"s3:DeleteObject is refused: the probe stays at {probe_key(visit.settings)}; --sample leaves its files"
    return [Finding(WARNING, "delete", said, visit.policy("DeleteObject"))]


def _list(visit: Visit) -> list[Finding]:
    query = {"list-type": "2", "max-keys": "1", "prefix": visit.settings.destination_prefix}
    try:
        status = visit.client.request("GET", "", visit.limit(), query=query).status
    except (TryAgain, CannotGoOn) as error:
        return [_failure("list", error, "try again")]
    if status == 200:
        return [Finding(OK, "list", "the bucket was listed")]
    said = f"s3:ListBucket is refused ({status}): validate.py and --adopt need it"
    return [Finding(WARNING, "list", said, visit.policy("ListBucket", whole_bucket=True))]


def check_guard(visit: Visit) -> list[Finding]:
    probed = visit.probed_or_none
    if probed is None:
        return []
    found, settings = probed.guard, visit.settings
    if found.if_none_match:
        overwrite = Finding(OK, "overwrite", "If-None-Match is honoured: no existing object is replaced")
    elif settings.on_existing == "overwrite":
        overwrite = Finding(OK, "overwrite", "ON_EXISTING=overwrite: existing objects are replaced")
    elif found.can_read:
        said = "the store ignores If-None-Match: a HEAD comes before each PUT instead, which is slower"
        overwrite = Finding(WARNING, "overwrite", said, "nothing else may write under the prefix meanwhile")
    else:
        said = "the store ignores If-None-Match and refuses s3:GetObject: a run would not start"
        overwrite = Finding(FAILED, "overwrite", said, visit.policy("GetObject"))
    return [overwrite, _checksum(settings, probed)]


def _checksum(settings: MigrationSettings, probed: guard.Probed) -> Finding:
    found = probed.guard
    etag = "the ETag is the MD5" if found.etag_is_md5 else "the ETag is no MD5"
    if probed.encrypted_by_kms:
        etag += " (KMS)"
    if found.checksum_refused:
        return Finding(OK, "checksum", f"a wrong {settings.integrity} is refused; {etag}")
    if found.etag_is_md5:
        said = f"a wrong {settings.integrity} is not refused; {etag}, so each answer is compared with it"
        return Finding(OK if settings.integrity == "md5" else WARNING, "checksum", said, "INTEGRITY=md5")
    said = f"a wrong {settings.integrity} is not refused and {etag}: only the size is compared after each PUT"
    return Finding(WARNING, "checksum", said, "afterwards: python validate.py --spot-check 1000")


def check_acl(visit: Visit) -> list[Finding]:
    """Tell whether OBJECT_ACL is needed, taken, or refused (check_permissions has named a refusal)."""
    settings = visit.settings
    if visit.probed_or_none is None:
        return []
    if settings.object_acl:
        return [Finding(OK, "ACL", f"OBJECT_ACL={settings.object_acl} is taken")]
    try:
        reply = visit.client.request(
            "PUT",
            probe_key(settings),
            visit.limit(),
            headers={"content-type": "text/plain", "x-amz-acl": "private"},
            body=(probe_image().body,),
        )
        visit.client.request("DELETE", probe_key(settings), visit.limit())
    except (TryAgain, CannotGoOn):
        return []
    if reply.code == "AccessControlListNotSupported":
        return [Finding(OK, "ACL", "ACLs are disabled in the bucket: none is needed")]
    if reply.status != 200:
        said = "whether the bucket takes ACLs could not be learned; none is sent, which suits a bucket of one's own"
        return [Finding(OK, "ACL", said)]
    account = _account(visit)
    if account and not _is_ours(visit, account):
        said = (
            "ACLs are enabled, the bucket is another account's: without one its owner cannot read the objects"
        )
        return [Finding(WARNING, "ACL", said, "OBJECT_ACL=bucket-owner-full-control")]
    return [Finding(OK, "ACL", "ACLs are enabled, none is sent: the objects belong to this account")]


# --- the CDN ---


def check_source(visit: Visit) -> list[Finding]:
    answers = visit.heads
    if not answers:
        return [Finding(WARNING, "source", "there is no URL to ask for", "python collect_urls.py")]
    last = answers[-1]
    if last.status == 200:
        size = "" if last.size is None else f", {last.size:,} bytes"
        return [Finding(OK, "source", f"{visit.settings.url_prefix} answers 200{size}")]
    if last.status is None:
        remedy = f"curl -I {visit.settings.url_prefix}"
        return [Finding(FAILED, "source", f"the CDN cannot be reached: {last.why}", remedy)]
    said = f"the CDN answered {', '.join(str(head.status) for head in answers)} to HEAD for the first URLs"
    return [Finding(WARNING, "source", said, "open one of them in a browser; check URL_PREFIX")]


def check_edge(visit: Visit) -> list[Finding]:
    """Compare AWS_REGION with the region nearest to the edge location that answers here."""
    edge = next((head.edge for head in visit.heads if head.edge), "")
    if not edge:
        return []
    region = nearest_region(edge)
    mine = visit.settings.aws_region
    if region is None:
        return [Finding(OK, "edge", f"{edge[:20]}, which is not in the table of edge locations")]
    said = f"{edge[:20]} answers here; the nearest region is {region}"
    if region == mine or visit.settings.aws_endpoint_url:
        return [Finding(OK, "edge", said)]
    said += f", AWS_REGION is {mine}. It tells only where this machine is"
    return [Finding(WARNING, "edge", said, f"run this on an instance in the bucket's region, {mine}")]


# --- what a person sees ---


def _failure(what: str, error: MigrationError, remedy: str) -> Finding:
    said = error.message if isinstance(error, (TryAgain, UrlFailed)) else str(error)
    return Finding(FAILED, what, said, remedy)


def text(finding: Finding) -> str:
    """Return a finding as the lines that a person sees; a remedy is on lines of its own, to be copied."""
    head = f"{finding.level:<8} {finding.what:<12} "
    lines = _wrapped(finding.detail, head)
    if finding.remedy.startswith("{"):  # JSON may be broken between words, a command may not
        lines += _wrapped(finding.remedy, " " * len(head) + "-> ")
    elif finding.remedy:
        lines.append(" " * len(head) + f"-> {finding.remedy}")
    return "\n".join(lines)


def _wrapped(words: str, head: str) -> list[str]:
    return textwrap.wrap(
        words,
        _WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )


def worst(findings: Sequence[Finding]) -> str:
    """Return the gravest level among findings."""
    levels = {finding.level for finding in findings}
    return FAILED if FAILED in levels else WARNING if WARNING in levels else OK
