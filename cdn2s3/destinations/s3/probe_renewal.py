"""The questions of a delta to the store: does it replace an object only while that is the one that was named?

Each way of replacing is asked by itself: some stores honor If-Match on PUT and ignore it where an upload in parts is
completed.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Callable

from cdn2s3.destinations.base import PROBE_BODY
from cdn2s3.destinations.s3.capabilities import Capabilities, Condition, Support
from cdn2s3.destinations.s3.client import NOT_IMPLEMENTED, S3Response
from cdn2s3.destinations.s3.objects import Objects
from cdn2s3.destinations.s3.probe_requests import ABSENT, ProbeRequests, probe_image
from cdn2s3.errors import TransientError
from cdn2s3.records import Image
from cdn2s3.resilience.retry import FailedAttempt, ignore
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)

_WRONG = "0" * 32  # an ETag that no object of ours has
_CANNOT = frozenset({400, 405, NOT_IMPLEMENTED})  # the store does not know the condition
_REFUSED = 412
_OTHER_BODY = PROBE_BODY + b"This is the body that replaces it.\n"


def probe_renewing(
    settings: MigrationSettings,
    objects: Objects,
    known: Capabilities,
    sleep: Callable[[float], object] = time.sleep,
    on_failure: Callable[[FailedAttempt], object] = ignore,
) -> Capabilities:
    """Return known with what the store makes of If-Match, and leave nothing behind where that is allowed.

    Raise FatalError, or TransientError when the store does not answer; each request has the attempts that MAX_RETRIES
    allows.
    """
    requests = ProbeRequests(settings, objects, sleep, on_failure)
    found = {}
    with requests.cleaned_up():
        for condition, ask in QUESTIONS.items():
            if condition is Condition.RENEW_BY_PARTS and not known.takes_parts:
                continue
            found[condition] = ask(_Question(requests, condition, known.can_read, known.etag_is_md5))
        left = requests.delete_all()
    return known._replace(conditions={**known.conditions, **found}, left=(*known.left, *left))


class _Question:
    """What a question is asked with."""

    def __init__(
        self, requests: ProbeRequests, condition: Condition, can_read: bool, etag_is_md5: bool
    ) -> None:
        self.requests = requests
        self.name = condition.value
        self.can_read = can_read
        self._etag_is_md5 = etag_is_md5

    def etag(self, written: S3Response) -> str:
        """Return the plain ETag of what was just written, "" if nothing shows it."""
        if self.can_read:
            return self.requests.head(self.name).etag
        return written.etag


def _by_put(question: _Question) -> Support:
    def write(name: str, image: Image, match: str) -> S3Response:
        return question.requests.put(name, image, match=match)

    return _asked(question, write)


def _by_parts(question: _Question) -> Support:
    question.requests.clear_parts(question.name)

    def write(name: str, image: Image, match: str) -> S3Response:
        return question.requests.put_parts(name, image, guarded=False, match=match)

    try:
        return _asked(question, write)
    except TransientError as error:  # a PUT works: most images need no parts
        log.warning("renewing in parts could not be probed: %s", error.message)
        return Support.UNKNOWN


def _asked(question: _Question, write: Callable[[str, Image, str], S3Response]) -> Support:
    """Return what the store makes of If-Match, with which write stores an image under a name.

    | the ETag is another                 | nothing is at the key | it is the object's | the condition is       |
    |-------------------------------------|-----------------------|--------------------|------------------------|
    | 412, and the object is the first one| not 200               | 200                | honored                |
    | 200; or 412, and it is replaced     |                       |                    | ignored                |
    |                                     | 200                   |                    | ignored: MinIO of 2025 |
    | 400, 405, 501                       |                       |                    | refused                |
    | others                              |                       | others             | unknown                |
    """
    first, other, name = probe_image(), probe_image(_OTHER_BODY), question.name
    written = write(name, first, "")
    etag = question.etag(written) if written.status == 200 else ""
    wrong = write(name, other, _WRONG).status
    if wrong in _CANNOT:
        return Support.REFUSED
    if wrong == 200 or (question.can_read and question.etag(written) != etag):
        return Support.IGNORED
    if wrong != _REFUSED or not etag:
        return Support.UNKNOWN
    if write(name + ABSENT, other, etag).status == 200:
        return Support.IGNORED
    right = write(name, other, etag).status
    if right == 200:
        return Support.HONORED
    return Support.REFUSED if right in {*_CANNOT, _REFUSED} else Support.UNKNOWN


# How each condition is asked.
QUESTIONS: Mapping[Condition, Callable[[_Question], Support]] = {
    Condition.RENEW_BY_PUT: _by_put,
    Condition.RENEW_BY_PARTS: _by_parts,
}
