"""What fails in a pass of a delta, said in the log: changes.txt has the causes alone."""

from __future__ import annotations

import logging
from collections import Counter

from cdn2s3.transfer.outcome import Result

log = logging.getLogger(__name__)

_SHOWN = 5  # of each cause


class Failures:
    """Say the first failures of each cause, and know the last; for one thread."""

    def __init__(self) -> None:
        self.last = ""  # the latest one, whether it may pass or not: "URL: cause: message"
        self._said: Counter[str] = Counter()

    def meet(self, result: Result) -> None:
        """Take a failure, which may be tried again."""
        self.last = f"{result.url}: {result.cause}: {result.message}"

    def say(self, result: Result) -> None:
        """Log a failure that is final."""
        self._said[result.cause] += 1
        if self._said[result.cause] <= _SHOWN:
            log.warning("%s failed: %s: %s", result.url, result.cause, result.message)
        elif self._said[result.cause] == _SHOWN + 1:
            log.warning("more URLs failed for the cause %s; changes.txt names them", result.cause)
