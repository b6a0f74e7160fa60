"""The error types, and the causes in failed_transfers.txt, in one table.

    MigrationError
    ├── PermanentError      this URL has failed for good: record its cause, continue with the others
    ├── TransientError      this attempt has failed; another one may work
    ├── BufferExhausted     (cdn/buffer_pool) no memory is free for the body: wait, then try again
    ├── Cancelled           the run is stopping: this URL stays as it was, not tried
    ├── Parked              an endpoint of this URL is down or throttles, and there are others: put it aside
    └── FatalError          stop the run, exit 3: the state is saved and a rerun resumes
        └── UsageError      exit 2: an edit fixes it, and nothing was contacted

Foreign exceptions (sockets, TLS, botocore) become one of these at the edge where they appear, by type or
error code, never by message text.
"""

from __future__ import annotations

import signal
from typing import NamedTuple

EXIT_DONE = 0
EXIT_SOME_FAILED = 1
EXIT_FIXABLE = 2
EXIT_CANNOT_GO_ON = 3
EXIT_SIGHUP = 128 + signal.SIGHUP
EXIT_SIGINT = 128 + signal.SIGINT
EXIT_SIGTERM = 128 + signal.SIGTERM

EXIT_CODES_HELP = """\
exit codes:
  0  all done and nothing wrong
  1  finished, but some items or checks failed
  2  you can fix it with an edit; nothing was contacted (settings, arguments, input, collisions)
  3  cannot continue (credentials, bucket, disk, outage, another run); state saved, a rerun resumes
  129 / 130 / 143  stopped by SIGHUP / SIGINT / SIGTERM, state saved
"""

RESUME = "run the same command again: it resumes"  # the end of messages about a stop that isn't for good


class Cause(NamedTuple):
    """Why a URL was tried and not completed."""

    name: str
    transient: bool  # True: a later attempt may work, so the second pass takes it
    unexpected: bool  # True: counts toward MAX_ERROR_RATE (a missing image is not a sign of a broken run)
    meaning: str  # one clause for people
    remedy: str  # what to do next, as one imperative clause


CAUSES: dict[str, Cause] = {
    cause.name: cause
    for cause in (
        Cause("malformed", False, False, "not a valid URL under URL_PREFIX", "correct the line in urls.txt"),
        Cause(
            "other_host",
            False,
            False,
            "URL_PREFIX does not name the URL's host",
            "add the host to URL_PREFIX, or remove the line",
        ),
        Cause("collision", False, False, "another URL has the same key", "set PRESERVE_PATH_STRUCTURE=true"),
        Cause("not_found", False, False, "the CDN has no such file (404, 410)", "ask the owner of the CDN"),
        Cause(
            "forbidden", False, False, "the CDN refuses this file (401, 403, 451)", "ask the owner of the CDN"
        ),
        Cause(
            "throttled",
            True,
            True,
            "the CDN or the bucket kept throttling this file alone (429, SlowDown)",
            "retry later; then ask its owner",
        ),
        Cause("server_error", True, True, "the CDN kept failing (5xx or an invalid response)", "retry later"),
        Cause(
            "timeout",
            True,
            True,
            "no complete response within DOWNLOAD_TIMEOUT",
            "retry, or raise DOWNLOAD_TIMEOUT",
        ),
        Cause(
            "connection", True, True, "the connection failed or broke", "retry when the network works again"
        ),
        Cause(
            "truncated", True, True, "the body ended early each time", "retry; then ask the owner of the CDN"
        ),
        Cause("empty", False, False, "the CDN sent no bytes", "ask the owner of the CDN"),
        Cause("not_an_image", False, False, "the body is not an image", "open the URL; see CONTENT_CHECK"),
        Cause(
            "conflict",
            False,
            False,
            "an object with different content exists",
            "compare, then ON_EXISTING=overwrite",
        ),
        Cause(
            "unverified",
            False,
            True,
            "an object exists that could not be compared",
            "grant s3:GetObject, then retry",
        ),
        Cause(
            "key_refused",
            False,
            False,
            "the store cannot hold an object at this key",
            "name the object with a key=NAME field, or use another store",
        ),
        Cause("destination", True, True, "the bucket kept failing", "retry later"),
        Cause(
            "unstable",
            True,
            True,
            "the CDN sends other bytes each time (found by --delta alone)",
            "look again with --delta; then ask the owner of the CDN",
        ),
    )
}

# An attempt that fails for one of these may be the endpoint's fault, not the URL's: it counts toward an outage.
OUTAGE_CAUSES = frozenset({"connection", "timeout", "server_error", "throttled"})

# Failures at the bucket, not at the source.
DESTINATION = "destination"  # an attempt to store that has failed, whatever it was
BUCKET_CAUSES = frozenset({DESTINATION, "key_refused"})


class MigrationError(Exception):
    """Root of everything this tool raises on purpose."""


class PermanentError(MigrationError):
    """One URL has failed for good.

    cause is a name in CAUSES; message is one line for people, without the URL. doubtful is True when the
    endpoint may be at fault and not the URL (a 403 for everything); later attempts will show which.
    status is that of the HTTP response, None if there was none. remedy is the edit without which every URL fails
    like this one, "" where there is none. label is what the CDN calls a body that was refused, "" for nothing.
    """

    def __init__(
        self,
        cause: str,
        message: str,
        doubtful: bool = False,
        status: int | None = None,
        remedy: str = "",
        label: str = "",
    ) -> None:
        super().__init__(cause, message)
        self.cause = cause
        self.message = message
        self.doubtful = doubtful
        self.status = status
        self.remedy = remedy
        self.label = label

    def __str__(self) -> str:
        return self.message


class TransientError(MigrationError):
    """One attempt has failed; another one may work.

    cause is a name in CAUSES; retry_after is how long the server asked us to wait, in seconds, or None.
    status is that of the HTTP response, None if there was none; code is the error code in an S3
    response, "" if it has none.
    """

    def __init__(
        self,
        cause: str,
        message: str,
        retry_after: float | None = None,
        status: int | None = None,
        code: str = "",
    ) -> None:
        super().__init__(cause, message)
        self.cause = cause
        self.message = message
        self.retry_after = retry_after
        self.status = status
        self.code = code

    def __str__(self) -> str:
        return self.message


class Cancelled(MigrationError):
    """The run is being stopped; the worker's URL stays not tried."""


class Parked(MigrationError):  # no error, like Cancelled
    """The endpoint with that name is not available now: the worker's URL waits, and the worker takes another."""

    def __init__(self, endpoint: str) -> None:
        super().__init__(endpoint)
        self.endpoint = endpoint


class FatalError(MigrationError):
    """The run must stop. The message says what, where and what to do next."""

    exit_code = EXIT_CANNOT_GO_ON


class UsageError(FatalError):
    """The script refuses to start: an edit of settings, arguments or input fixes it."""

    exit_code = EXIT_FIXABLE
