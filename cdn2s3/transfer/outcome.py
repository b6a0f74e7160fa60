"""Hand URLs to workers, and settle which failures were a URL's own and which its side's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from cdn2s3.records import Stored, Task
from cdn2s3.resilience.circuit_breaker import Endpoint, EndpointState
from cdn2s3.state.ledger import Completed, Failed, failure, timestamp


class Done(NamedTuple):
    """A task and what became of it."""

    task: Task
    result: Result


class FailureAttribution:
    """Hold failures that may be their side's fault until the side has shown whether it works.

    At most as many are held as a side needs failures in a row to be called down, and one for each worker.
    """

    def __init__(self, endpoints: Mapping[str, Endpoint]) -> None:
        self._endpoints = endpoints
        self._held: list[tuple[Done, FailureEvidence]] = []

    def __len__(self) -> int:
        return len(self._held)

    def hold(self, done: Done) -> bool:
        """Take done into custody; return False when its failure is certain (or it did not fail)."""
        evidence = done.result.evidence
        if evidence is None or (done.task.retry_after_recovery and evidence.health.down_for is None):
            return False
        self._held.append((done, evidence))
        return True

    def settle(self) -> tuple[list[Done], list[Task]]:
        """Return the failures that are certain now, and the tasks that are to be done again."""
        certain, again, held = [], [], []
        for done, evidence in self._held:
            now = self._endpoints[evidence.endpoint].health()
            if now.down_for is not None:
                held.append((done, evidence))
            elif now.times_opened != evidence.health.times_opened or evidence.health.down_for is not None:
                # It went down meanwhile. Was it really? Then the URL is as good as untried.
                was_outage = now.outages != evidence.health.outages
                again.append(done.task._replace(retry_after_recovery=not was_outage))
            elif now.newest_success <= evidence.health.newest_attempt:
                held.append((done, evidence))
            elif evidence.endpoint_wide and not done.task.cause:
                # A burst that all met. (In the second pass nearly all URLs fail: it tells nothing there.)
                again.append(done.task._replace(retry_after_recovery=True))
            else:
                certain.append(done)
        self._held = held
        return certain, again

    def endpoints_in_doubt(self) -> list[Endpoint]:
        """Return the sides that have not shown since the failures held whether they work."""
        names = {evidence.endpoint for _, evidence in self._held}
        return [
            endpoint
            for endpoint in self._endpoints.values()
            if endpoint.name in names and endpoint.health().down_for is None
        ]

    def give_up(self) -> tuple[list[Done], list[Task]]:
        """Return what settle() does, and of what it would still hold: nobody is at work any more.

        Where the side is down the task is to be done again, which waits for the side; otherwise the failure
        is certain. So ask sides_in_doubt() before.
        """
        certain, again = self.settle()
        for done, evidence in self._held:
            now = self._endpoints[evidence.endpoint].health()
            if now.down_for is None:
                certain.append(done)
            else:
                was_outage = now.outages != evidence.health.outages
                again.append(done.task._replace(retry_after_recovery=not was_outage))
        self._held = []
        return certain, again


class FailureEvidence(NamedTuple):
    """What must be known before a failure is laid at its URL's door and not at its side's."""

    endpoint: str  # name of the side
    health: EndpointState  # the side when the last attempt failed
    started_after: (
        int  # number of the side's newest attempt before the first of this URL; -1: there was but one
    )

    @property
    def endpoint_wide(self) -> bool:
        """Whether no attempt of any URL has succeeded on the side from the first of this one to its last."""
        return self.health.newest_success <= self.started_after


class Result(NamedTuple):
    """What became of one URL."""

    url: str
    key: str
    stored: Stored | None = None  # None: it failed
    media_type: str = ""  # of the stored object
    cause: str = ""  # a name in errors.CAUSES; "" when stored
    message: str = ""  # why it failed; "" when stored
    attempts: int = 1  # downloads and uploads that failed, and the one that did not
    retried: tuple[str, ...] = ()  # causes of the attempts that failed and were made again
    download_seconds: float = 0.0  # of the attempt that succeeded
    upload_seconds: float = 0.0  # likewise
    evidence: FailureEvidence | None = None  # None: the cause is certain

    def record(self, now: float) -> Completed | Failed:
        """Return what the ledger keeps of it; now is in seconds since the epoch."""
        if self.stored is None:
            return failure(self.url, self.cause, self.attempts, self.message, now)
        return Completed(
            self.url,
            self.key,
            str(self.stored.size),
            self.stored.etag or "-",
            self.stored.md5,
            self.media_type or "-",
            timestamp(now),
        )
