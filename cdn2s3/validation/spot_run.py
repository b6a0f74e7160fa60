"""The run of a spot check: draw images, compare them in several threads, and say what could not be compared."""

from __future__ import annotations

import logging
import random
import threading
from typing import Callable

from cdn2s3.console.progress import counted_checks
from cdn2s3.resilience.fan_out import fan_out
from cdn2s3.validation import spot_check
from cdn2s3.validation.comparison import Records
from cdn2s3.validation.expected import Expected
from cdn2s3.validation.spot_check import Check, Comparer
from cdn2s3.validation.spot_findings import Spot

log = logging.getLogger(__name__)


def run_spot_check(
    spot: Spot,
    compare: Comparer,
    expected: Expected,
    records: Records,
    workers: int,
    stop: threading.Event,
    note: Callable[[int, Check], None],
) -> None:
    """Check as many images as spot asks for in so many threads, and add the results to it.

    note is called in this thread with the line's number and the result of each. stop is that of compare.
    """
    spot.drawn = min(spot.asked, spot_check.checkable(expected.states))
    spot.sampled = spot_check.sampled(expected.states, spot.drawn)
    log.info("spot check of %s images, seed %d", f"{spot.drawn:,}", spot.seed)
    draw = random.Random(spot.seed)  # noqa: S311  # a sample, not a secret
    numbers = spot_check.drawn(expected.states, spot.drawn, draw)
    drawn = (
        (number, expected.place_of(number), records.completed(number), records.line(number))
        for number in numbers
    )
    in_a_row = 0
    with fan_out(lambda one: (one[0], compare(*one[1:])), drawn, workers, stop) as checks:
        for number, check in counted_checks(checks, spot.drawn):
            spot.add(check)
            note(number, check)
            in_a_row = in_a_row + 1 if check.outcome == spot_check.UNANSWERED else 0
            if check.outcome == spot_check.REFUSED:
                spot.not_done = f"the bucket refuses GET: {check.message}"
            elif in_a_row >= 2 * workers:  # the CDN or the bucket is down
                spot.not_done = f"{in_a_row} in a row without a response; the last error: {check.message}"
            if spot.not_done:
                break
    failed = spot.outcomes[spot_check.UNANSWERED] + spot.outcomes[spot_check.SOURCE_FAILED]
    if failed and not spot.not_done:
        spot.not_done = f"{failed:,} could not be compared: {spot.why_not}"
    if spot.not_done:
        log.warning("the spot check is incomplete: %s", spot.not_done)
