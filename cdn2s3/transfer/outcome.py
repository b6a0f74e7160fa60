"""The outcome of a URL, and whether a failure is attributed to the URL or to its endpoint."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import NamedTuple

from cdn2s3.errors import DESTINATION
from cdn2s3.keys import divided
from cdn2s3.records import UNKNOWN, Stored, Task
from cdn2s3.resilience.endpoint import Endpoint, EndpointState
from cdn2s3.state.ledger import Completed, Failed, failure, timestamp


class FailureEvidence(NamedTuple):
    """The evidence needed to attribute a failure to its URL or to its endpoint."""

    endpoint: str  # its name
    state: EndpointState  # the endpoint's, when the last attempt failed
    started_after: int  # number of the newest attempt there before the first of this URL; -1: it had one

    @property
    def endpoint_wide(self) -> bool:
        """Whether no attempt of any URL has succeeded there from the first of this one to its last."""
        return self.state.newest_success <= self.started_after


class SourceVersion(NamedTuple):
    """The validators of the response that gave a body, as received; UNKNOWN where one is absent or cannot be kept."""

    etag: str = UNKNOWN
    modified: str = UNKNOWN


_LONGEST_VALIDATOR = 200  # characters


def source_version(headers: Mapping[str, str]) -> SourceVersion:
    """Return the validators of a response: what a later request has to repeat to the letter (RFC 9110, 13.1)."""
    return SourceVersion(_validator(headers.get("etag")), _validator(headers.get("last-modified")))


def _validator(text: str | None) -> str:
    if not text or len(text) > _LONGEST_VALIDATOR or not (text.isascii() and text.isprintable()):
        return UNKNOWN
    return text


class Look(NamedTuple):
    """What the CDN showed of a URL that is completed."""

    is_changed: bool
    status: int  # 304, or 200 with a body
    size: int  # bytes of the body; 0 for a 304
    md5: str  # of the body, 32 hex digits; "" for a 304
    version: SourceVersion
    age: int  # seconds since the CDN got its copy from the origin; 0 if it does not say


class Result(NamedTuple):
    """The outcome of one URL."""

    url: str  # its line of the input
    key: str
    stored: Stored | None = None  # None: it failed
    media_type: str = ""  # of the stored object
    status: int | None = (
        None  # of the HTTP response that it failed for; None: there was none, or it is stored
    )
    label: str = ""  # what the CDN calls a body that was refused; "" for nothing
    noted: tuple[str, ...] = ()  # what is odd about the CDN's response, each as a plural clause
    cause: str = ""  # a name in errors.CAUSES; "" when stored
    message: str = ""  # why it failed; "" when stored
    attempts: int = 1  # downloads and uploads that failed, and the one that did not
    retried: tuple[str, ...] = ()  # causes of the attempts that failed and were retried
    download_seconds: float = 0.0  # of the attempt that succeeded
    upload_seconds: float = 0.0  # likewise
    source: SourceVersion = SourceVersion()  # of the stored object
    evidence: FailureEvidence | None = None  # None: the cause is certain
    look: Look | None = None  # of a task to LOOK that has not failed
    what: str = ""  # why a task to RENEW has left the object alone: BOTH_ENDS or LOST; "" for another reason

    def record(self, now: float) -> Completed | Failed:
        """Return its ledger record; now is in seconds since the epoch."""
        if self.stored is None:
            return failure(self.url, self.cause, self.attempts, self.message, now)
        return Completed(
            divided(self.url)[0],
            self.key,
            str(self.stored.size),
            self.stored.etag or UNKNOWN,
            self.stored.md5,
            self.media_type or UNKNOWN,
            timestamp(now),
            self.stored.how,
            self.source.etag,
            self.source.modified,
            self.stored.place,
        )


class Done(NamedTuple):
    """A task and its outcome."""

    task: Task
    result: Result

    def again(self) -> Task:
        """Return the task to be done once more, after a failure."""
        failures = {self.result.cause, *self.result.retried}
        return self.task._replace(was_sent=self.task.was_sent or DESTINATION in failures)


class Verdict(Enum):
    """What a failure means; FailureAttribution has the table."""

    UNDECIDED = "undecided"
    CERTAIN = "certain"
    UNTRIED = "untried"
    ONCE_MORE = "once more"


class FailureAttribution:
    """Defer failures that may be their endpoint's fault until it has shown whether it works.

    | the endpoint since the last attempt of the URL                | verdict                                  |
    |---------------------------------------------------------------|------------------------------------------|
    | its circuit is open now                                       | undecided                                |
    | it was open, and its first probe failed: an outage            | untried: do it again                     |
    | it was open, and the first probe succeeded                    | once more, and then the failure is final |
    | no attempt that began later has succeeded yet                 | undecided                                |
    | one has, but none from the URL's first attempt to its last    | once more; in the second pass, where     |
    | (a burst of failures that all URLs met)                       | nearly all URLs fail: certain            |
    | one has, and others did meanwhile                             | certain: the failure is the URL's own    |

    When no worker is busy anymore, undecided is certain if the circuit is closed, and untried or once more,
    as above, where it is open. At most as many failures are deferred as open a circuit, and one for each worker.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = endpoints
        self._deferred: list[tuple[Done, FailureEvidence]] = []

    def __len__(self) -> int:
        return len(self._deferred)

    def defer(self, done: Done) -> bool:
        """Keep done until it is decided; return False when it is certain already (or no failure)."""
        evidence = done.result.evidence
        if evidence is None or (done.task.retry_after_recovery and evidence.state.down_for is None):
            return False
        self._deferred.append((done, evidence))
        return True

    def resolve(self) -> tuple[list[Done], list[Task]]:
        """Return the failures that are certain now, and the tasks that are to be done again."""
        return self._resolve(nobody_at_work=False)

    def resolve_all(self) -> tuple[list[Done], list[Task]]:
        """Return the same for everything deferred: no worker is busy anymore.

        If the circuit is open, the task is repeated, which waits for the endpoint; otherwise the
        failure is certain. So call endpoints_in_doubt() first.
        """
        return self._resolve(nobody_at_work=True)

    def _resolve(self, nobody_at_work: bool) -> tuple[list[Done], list[Task]]:
        certain, again, undecided = [], [], []
        for done, evidence in self._deferred:
            now = self._endpoints[evidence.endpoint].health()
            verdict = _verdict(done.task, evidence, now)
            if verdict is Verdict.UNDECIDED and nobody_at_work:
                verdict = Verdict.CERTAIN if now.down_for is None else _after_outage(evidence, now)
            if verdict is Verdict.CERTAIN:
                certain.append(done)
            elif verdict is Verdict.UNDECIDED:
                undecided.append((done, evidence))
            else:
                again.append(done.again()._replace(retry_after_recovery=verdict is Verdict.ONCE_MORE))
        self._deferred = undecided
        return certain, again

    def endpoints_in_doubt(self) -> list[Endpoint]:
        """Return the endpoints that have not shown since the deferred failures whether they work."""
        names = {evidence.endpoint for _, evidence in self._deferred}
        return [
            endpoint
            for endpoint in self._endpoints.values()
            if endpoint.name in names and endpoint.health().down_for is None
        ]


def _verdict(task: Task, evidence: FailureEvidence, now: EndpointState) -> Verdict:
    """Return what evidence means while its endpoint is as now; FailureAttribution has the table."""
    then = evidence.state
    if now.down_for is not None:
        return Verdict.UNDECIDED
    if now.times_opened != then.times_opened or then.down_for is not None:
        return _after_outage(evidence, now)
    if now.newest_success <= then.newest_attempt:
        return Verdict.UNDECIDED
    if evidence.endpoint_wide and not task.cause:
        return Verdict.ONCE_MORE
    return Verdict.CERTAIN


def _after_outage(evidence: FailureEvidence, now: EndpointState) -> Verdict:
    """Return the verdict on a failure since which the circuit was open: a probe has shown whether rightly."""
    return Verdict.UNTRIED if now.outages != evidence.state.outages else Verdict.ONCE_MORE
