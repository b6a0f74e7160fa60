"""The context and the results of the checks of `migrate.py --check`, and their text form.

What several checks need is requested once, when the first of them needs it, and kept.
"""

from __future__ import annotations

import dataclasses
import itertools
import textwrap
from collections.abc import Sequence
from functools import cached_property
from typing import NamedTuple

from cdn2s3.cdn.client import Head
from cdn2s3.cdn.heads import heads
from cdn2s3.console.rerun_hint import command
from cdn2s3.destinations.s3.capabilities import Capabilities
from cdn2s3.destinations.s3.client import S3Client, S3Response
from cdn2s3.destinations.s3.iam import Identity, Policy, identity
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.probe import probe_capabilities
from cdn2s3.errors import FatalError, MigrationError, TransientError, UsageError
from cdn2s3.file_names import COMPLETED_FILE
from cdn2s3.http.deadline import Deadline
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.keys import Address, InvalidUrl
from cdn2s3.planning import cost_estimate
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state.files import cannot_read
from cdn2s3.state.ledger import decode_line
from cdn2s3.state.lines import input_lines, whole_lines

OK, WARNING, FAILED = "ok", "warning", "failed"
INPUT = "input"  # the check of urls.txt: the next step depends on it

_SOURCE_TRIES = 5  # URLs of each host to request; one may be missing
_SOURCE_LINES = 100_000  # of the input, to look for URLs of each host of URL_PREFIX
_WIDTH = 79  # of a terminal's 80 columns

STS = "aws sts get-caller-identity"
NOBODY = "000000000000"  # an account ID that AWS gives to nobody
NTP = "sudo chronyc makestep"


class CheckResult(NamedTuple):
    """The result of one check."""

    level: str  # OK, WARNING or FAILED
    what: str  # one or two words
    detail: str
    remedy: str = ""  # a command or a policy snippet; "" if there is nothing to do


class CheckContext:
    """What the checks share; each item is requested once, when a check first needs it."""

    def __init__(self, settings: MigrationSettings) -> None:
        self.settings = settings
        self._adapter = PooledAdapter(4, settings.ca_bundle)

    def close(self) -> None:
        """Close the connections."""
        self._adapter.close()

    @cached_property
    def client(self) -> S3Client:
        """The bucket's client; raise FatalError without credentials."""
        return S3Client(self.settings, self._adapter)

    @cached_property
    def objects(self) -> Objects:
        """The bucket's objects; raise FatalError without credentials."""
        return Objects(self.settings, self.client)

    @cached_property
    def identity(self) -> Identity:
        """The identity behind the credentials; raise FatalError when there are none."""
        return identity(self.settings)

    @cached_property
    def bucket_head(self) -> S3Response:
        """The response to HeadBucket; raise TransientError or FatalError."""
        return self.client.request("HEAD", "", self.deadline())

    @property
    def can_sign(self) -> bool:
        """Whether there are credentials; if there are none, check_credentials reports it."""
        try:
            return bool(self.identity)
        except FatalError:
            return False

    @property
    def probed(self) -> Capabilities:
        """The result of the capability probe; raise TransientError or FatalError (PutRefused with its remedy)."""
        if isinstance(self._probe, Capabilities):
            return self._probe
        raise self._probe

    @cached_property
    def _probe(self) -> Capabilities | MigrationError:
        try:
            return probe_capabilities(self.settings, self.objects)
        except (TransientError, FatalError) as error:
            return error

    @property
    def probed_or_none(self) -> Capabilities | None:
        """The same, None if the probe cannot be stored (check_permissions reports why)."""
        return self._probe if self.can_sign and isinstance(self._probe, Capabilities) else None

    @cached_property
    def lines(self) -> int:
        """How many lines the input has; raise UsageError when it cannot be read."""
        path = self.settings.source_urls_file
        try:
            return sum(1 for line in input_lines(path) if line)
        except OSError as error:
            raise cannot_read(path, error, "SOURCE_URLS_FILE") from error

    @property
    def has_lines(self) -> bool:
        """Whether the input can be read and has lines."""
        try:
            return bool(self.lines)
        except UsageError:
            return False

    @cached_property
    def pending(self) -> int:
        """The approximate number of URLs to move, without checking for blank and repeated lines."""
        done = sum(1 for _ in whole_lines(self.settings.state_dir / COMPLETED_FILE))
        return max(0, self.lines - done)

    @cached_property
    def heads(self) -> dict[str, list[Head]]:
        """The CDN's responses for the first URLs of each host of URL_PREFIX, until one is a 200."""
        answers: dict[str, list[Head]] = {}
        for origin, addresses in self._first_addresses().items():
            answers[origin] = []
            for address in addresses:
                answers[origin] += heads(self.settings, [address], 10.0, by_get=True)
                if answers[origin][-1].status in (None, 200):
                    break
        return answers

    def _first_addresses(self) -> dict[str, list[Address]]:
        """Return the first URLs of each host; looking for them ends early in a long list."""
        keys = key_maker(self.settings)
        first: dict[str, list[Address]] = {origin: [] for origin in keys.origins}
        missing = len(first) * _SOURCE_TRIES
        try:
            for line in itertools.islice(input_lines(self.settings.source_urls_file), _SOURCE_LINES):
                try:
                    address = keys.address(decode_line(line))
                except InvalidUrl:
                    continue
                of_host = first[keys.origins[address.source]]
                if len(of_host) < _SOURCE_TRIES:
                    of_host.append(address)
                    missing -= 1
                if not missing:
                    break
        except OSError:
            pass  # check_input reports it
        return first

    @property
    def hours(self) -> float:
        """The approximate duration of the migration; of the whole default job if there is no input yet."""
        try:
            files = self.pending
        except UsageError:
            files = 4_000_000
        return files / cost_estimate.rate(self.settings, cost_estimate.ASSUMED_BYTES).files_per_second / 3600

    def deadline(self) -> Deadline:
        return Deadline(min(20.0, self.settings.upload_timeout))

    @property
    def account(self) -> str:
        """The account of the credentials; "" if unknown."""
        try:
            return self.identity.account
        except FatalError:
            return ""

    @cached_property
    def checks_owner(self) -> bool:
        """Whether the store refuses a bucket whose owner is expected to be NOBODY."""
        stranger = dataclasses.replace(self.settings, expected_bucket_owner=NOBODY)
        try:
            return S3Client(stranger, self._adapter).request("HEAD", "", self.deadline()).status != 200
        except (TransientError, FatalError):
            return True  # what it would say is not known

    def is_ours(self, account: str) -> bool:
        """Return whether the bucket reports that account owns it."""
        owner = {"x-amz-expected-bucket-owner": account}
        try:
            return self.client.request("HEAD", "", self.deadline(), headers=owner).status == 200
        except (TransientError, FatalError):
            return False


def failure(what: str, error: MigrationError, remedy: str) -> CheckResult:
    """Return the CheckResult for error."""
    return CheckResult(FAILED, what, str(error), remedy)


def text(finding: CheckResult) -> str:
    """Return a result as lines for people; a remedy is on lines of its own, to be copied."""
    head = f"{finding.level:<8} {finding.what:<12} "
    lines = _wrapped(finding.detail, head)
    if isinstance(finding.remedy, Policy):  # JSON may be wrapped between words, a command may not
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


def worst(findings: Sequence[CheckResult]) -> str:
    """Return the most severe level among findings."""
    levels = {finding.level for finding in findings}
    return FAILED if FAILED in levels else WARNING if WARNING in levels else OK


def next_step(findings: Sequence[CheckResult]) -> str:
    """Return what to do after all checks."""
    if worst(findings) == FAILED:
        return f"fix what failed, then run: {command('migrate.py', '--check')}"
    if any(finding.what == INPUT and finding.level != OK for finding in findings):
        return command("collect_urls.py")
    return command("migrate.py", "--sample", "100")
