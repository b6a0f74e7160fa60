"""What the journal and a person are told of outages and throttling."""

from __future__ import annotations

from cdn2s3.state.journal import DOWN, THROTTLED, UNTHROTTLED, UP
from cdn2s3.transfer.endpoint_watch import LASTING, EndpointWatch
from cdn2s3.transfer.limiting import Limiting

SOURCE_DOWN = Limiting("source", note="source down 3 s", is_down=True, why="503")
BUCKET_SLOW = Limiting("bucket", 20.0, is_throttled=True, why="429")


class Watched:
    """A watch, its clock and what it reported."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.changes: list[tuple[str, str]] = []
        self.outages: list[tuple[str, str, float]] = []
        self.watch = EndpointWatch(
            lambda event, side, detail, at: self.changes.append((event, side)),
            lambda event, side, detail, at: self.outages.append((event, side, at)),
            lambda: self.now,
        )

    def see(self, *limits: Limiting, after: float = 1.0) -> None:
        self.now += after
        self.watch.see(limits)


def test_each_change_is_reported_once() -> None:
    it = Watched()
    it.see(SOURCE_DOWN)
    it.see(SOURCE_DOWN, BUCKET_SLOW)
    it.see(SOURCE_DOWN, SOURCE_DOWN, BUCKET_SLOW)
    it.see(BUCKET_SLOW)
    it.see()
    assert it.changes == [(DOWN, "source"), (THROTTLED, "bucket"), (UP, "source"), (UNTHROTTLED, "bucket")]


def test_seconds_are_added_up_and_two_sides_at_once_count_once() -> None:
    it = Watched()
    other = SOURCE_DOWN._replace(endpoint="bucket")
    it.see(SOURCE_DOWN)
    it.see(SOURCE_DOWN, other, after=10)
    it.see(after=5)
    assert it.watch.seconds(DOWN) == 15
    assert it.watch.seconds(THROTTLED) == 0


def test_person_is_told_of_an_outage_that_lasts_and_of_its_end() -> None:
    it = Watched()
    it.see(SOURCE_DOWN)
    it.see(SOURCE_DOWN, after=LASTING)
    it.see(SOURCE_DOWN)
    it.see()
    assert it.outages == [(DOWN, "source", 1001.0), (UP, "source", it.now)]


def test_person_is_not_told_of_a_hiccup() -> None:
    it = Watched()
    it.see(SOURCE_DOWN)
    it.see(after=LASTING / 2)
    assert it.outages == []
    assert it.changes == [(DOWN, "source"), (UP, "source")]
