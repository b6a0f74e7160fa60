"""The metrics of a run: exact counters, and figures whose size does not grow with the run."""

from __future__ import annotations

import heapq
import math
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from cdn2s3.cdn.file_extensions import misfit
from cdn2s3.cdn.source_headers import WANTED
from cdn2s3.errors import CAUSES
from cdn2s3.records import RENEWED, REPLACED, Stored
from cdn2s3.transfer.outcome import Result
from cdn2s3.url_notes import UrlNotes

EXAMPLES = 10  # of each cause
NO_LABEL = "no type"  # what a body is called that has no Content-Type
_MOST_LABELS = 50  # that are told apart
_SLOWEST = 10
_MOST_STEPS = 600  # steps of the timeline; then neighbors are merged
_RECENT = 1000  # URLs that MAX_ERROR_RATE covers
_GRAIN = 1.05  # ratio of neighboring classes of a Distribution: quantiles are accurate to 5%


class Example(NamedTuple):
    """A URL and its message."""

    url: str
    message: str


class Distribution:
    """Count positive values in classes of 5%."""

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()
        self.count = 0

    def add(self, value: float) -> None:
        self._classes[math.ceil(math.log(max(value, 1e-6), _GRAIN))] += 1
        self.count += 1

    def quantile(self, share: float) -> float | None:
        """Return the value that share (0 to 1) of all values do not exceed; None without values."""
        left = share * self.count
        for number in sorted(self._classes):
            left -= self._classes[number]
            if left <= 0:
                return _GRAIN**number
        return None

    def counts(self, bounds: list[float]) -> list[int]:
        """Return how many values are up to each bound (and above the one before), then above the last."""
        result = [0] * (len(bounds) + 1)
        for number, count in self._classes.items():
            value = _GRAIN**number
            result[next((i for i, bound in enumerate(bounds) if value <= bound), len(bounds))] += count
        return result


class Step(NamedTuple):
    """A stretch of the timeline."""

    begin: float  # seconds since the run began
    seconds: float
    files: int  # stored
    size: int  # bytes stored
    failed: int


class Timeline:
    """Count files and bytes over time in at most _MOST_STEPS steps."""

    def __init__(self) -> None:
        self._seconds = 1.0
        self._steps: list[list[int]] = []

    def add(self, at: float, size: int, stored: bool) -> None:
        """Count a URL that ended at seconds since the run began."""
        while at >= self._seconds * _MOST_STEPS:
            self._halve()
        number = int(at / self._seconds)
        while len(self._steps) <= number:
            self._steps.append([0, 0, 0])
        step = self._steps[number]
        step[0] += stored
        step[1] += size
        step[2] += not stored

    def _halve(self) -> None:
        pairs = zip(self._steps[::2], [*self._steps[1::2], [0, 0, 0]])
        self._steps = [[a + b for a, b in zip(left, right)] for left, right in pairs]
        self._seconds *= 2

    def __iter__(self) -> Iterator[Step]:
        for number, (files, size, failed) in enumerate(self._steps):
            yield Step(number * self._seconds, self._seconds, files, size, failed)


class Limited:
    """How long an endpoint that throttles limited the run, and to what."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self.files = 0.0  # that it let through meanwhile

    @property
    def files_per_second(self) -> float:
        return self.files / self.seconds if self.seconds else 0.0


class Tally:
    """Aggregate the results of one run; used by the main thread alone."""

    def __init__(self, began: float) -> None:
        """began is the time in seconds since the epoch."""
        self.began = began
        self.stored = 0  # proven in this run, already_there among them
        self.already_there = 0
        self.renewed = 0  # likewise, of an object that was ours
        self.replaced = 0  # likewise, of one that was not ours, or not known to be
        self.bytes = 0  # of the stored
        self.md5_from: Counter[str] = Counter()  # the stored, by where their MD5 comes from
        self.failed: Counter[str] = Counter()  # URLs by cause, as recorded
        self.examples: dict[str, list[Example]] = {}
        self.retried: Counter[str] = Counter()  # attempts that failed and were retried, by cause
        self.retried_examples: dict[str, list[str]] = {}
        self.download_seconds = Distribution()
        self.upload_seconds = Distribution()
        self.sizes = Distribution()
        self.timeline = Timeline()
        self.refused: Counter[str] = Counter()  # bodies that are no images, by what the CDN calls them
        self.may_want_headers = False  # whether some were answered as CDNs answer that want SOURCE_HEADERS
        self.noted = UrlNotes()  # what is odd about names and responses of the stored
        self.slowest: list[tuple[float, str]] = []  # heap of (seconds, url)
        self.limited: dict[str, Limited] = {}  # by the endpoint's name
        self._recent: deque[bool] = deque(maxlen=_RECENT)

    @property
    def new(self) -> int:
        """How many objects were stored where nothing was."""
        return self.stored - self.already_there - self.renewed - self.replaced

    @property
    def ended(self) -> int:
        """How many URLs have a result."""
        return self.stored + sum(self.failed.values())

    def add(self, result: Result, now: float) -> None:
        """Count result; now is the time in seconds since the epoch."""
        for cause in result.retried:
            self.retried[cause] += 1
            _keep(self.retried_examples.setdefault(cause, []), result.url)
        if result.stored is None:
            self.failed[result.cause] += 1
            _keep(self.examples.setdefault(result.cause, []), Example(result.url, result.message))
            self._add_refused(result)
            self.may_want_headers = self.may_want_headers or result.status in WANTED
            self.timeline.add(now - self.began, 0, stored=False)
        else:
            self._add_stored(result, result.stored, now)
        self._recent.append(result.stored is None and CAUSES[result.cause].unexpected)

    def _add_refused(self, result: Result) -> None:
        if result.cause == "not_an_image":
            label = result.label or NO_LABEL
            is_known = label in self.refused or len(self.refused) < _MOST_LABELS
            self.refused[label if is_known else "others"] += 1

    def _add_stored(self, result: Result, stored: Stored, now: float) -> None:
        size = stored.size
        extension = misfit(result.key, result.media_type)
        if extension:
            self.noted.note(f"named .{extension} that are {result.media_type}", result.url)
        for what in result.noted:
            self.noted.note(what, result.url)
        self.stored += 1
        if stored.already_there:
            self.already_there += 1
        else:
            self.renewed += stored.how == RENEWED
            self.replaced += stored.how == REPLACED
        self.bytes += size
        self.md5_from[stored.md5_from] += 1
        self.download_seconds.add(result.download_seconds)
        self.upload_seconds.add(result.upload_seconds)
        self.sizes.add(size)
        self.timeline.add(now - self.began, size, stored=True)
        seconds = result.download_seconds + result.upload_seconds
        if len(self.slowest) < _SLOWEST:
            heapq.heappush(self.slowest, (seconds, result.url))
        elif seconds > self.slowest[0][0]:
            heapq.heapreplace(self.slowest, (seconds, result.url))

    def add_limited(self, rates: Mapping[str, float], seconds: float) -> None:
        """Count seconds for which endpoints let through no more than rates, in files a second."""
        for name, rate in rates.items():
            limited = self.limited.setdefault(name, Limited())
            limited.seconds += seconds
            limited.files += rate * seconds

    def take_back(self, url: str, cause: str) -> None:
        """Uncount the failure of url for cause: the second pass has a new result for it."""
        self.failed[cause] -= 1
        self.examples[cause] = [example for example in self.examples[cause] if example.url != url]

    @property
    def error_rate(self) -> float:
        """The fraction of the last 1,000 URLs that failed unexpectedly; 0 until there are that many."""
        return sum(self._recent) / _RECENT if len(self._recent) == _RECENT else 0.0


def _keep(examples: list[Any], example: Any) -> None:
    if len(examples) < EXAMPLES and example not in examples:
        examples.append(example)
