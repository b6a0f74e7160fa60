"""What a run adds up: counters that are true, figures of bounded size."""

from __future__ import annotations

import pytest

from cdn2s3.records import Stored
from cdn2s3.reports.metrics import EXAMPLES, NO_LABEL, Distribution, Tally, Timeline
from cdn2s3.transfer.outcome import Result


def stored(url: str = "u", size: int = 100, seconds: float = 1.0, already: bool = False) -> Result:
    return Result(url, "k", Stored("e", size, "m", already), download_seconds=seconds, upload_seconds=seconds)


def failed(url: str = "u", cause: str = "timeout") -> Result:
    return Result(url, "k", cause=cause, message="m")


def test_tally_counts_what_was_stored_and_what_failed() -> None:
    tally = Tally(0)
    tally.add(stored(size=100), 1)
    tally.add(stored(size=200, already=True), 2)
    tally.add(failed(cause="not_found"), 3)
    assert (tally.stored, tally.already_there, tally.bytes, tally.ended) == (2, 1, 300, 3)
    assert tally.failed == {"not_found": 1}


def test_tally_takes_a_failure_back_when_the_second_pass_has_a_result() -> None:
    tally = Tally(0)
    tally.add(failed("a"), 1)
    tally.add(failed("b"), 1)
    tally.take_back("a", "timeout")
    tally.add(stored("a"), 70)
    assert tally.ended == 2
    assert tally.failed["timeout"] == 1
    assert [example.url for example in tally.examples["timeout"]] == ["b"]


def test_tally_keeps_ten_examples_of_a_cause() -> None:
    tally = Tally(0)
    for number in range(50):
        tally.add(failed(str(number)), 1)
    assert len(tally.examples["timeout"]) == EXAMPLES
    assert tally.failed["timeout"] == 50


def test_tally_keeps_the_slowest_ten() -> None:
    tally = Tally(0)
    for number in range(100):
        tally.add(stored(str(number), seconds=number / 2), 1)
    assert sorted(tally.slowest) == [(float(number), str(number)) for number in range(90, 100)]


def test_tally_counts_attempts_that_were_made_again() -> None:
    tally = Tally(0)
    tally.add(stored("a")._replace(retried=("connection", "connection", "timeout")), 1)
    assert tally.retried == {"connection": 2, "timeout": 1}
    assert tally.retried_examples["connection"] == ["a"]


@pytest.mark.parametrize(
    ("results", "rate"),
    [
        pytest.param(999 * [failed()], 0.0, id="too few to tell"),
        pytest.param(1000 * [failed()], 1.0, id="all failed"),
        pytest.param(1000 * [failed(cause="not_found")], 0.0, id="missing images are no sign"),
        pytest.param(1000 * [failed()] + 500 * [stored()], 0.5, id="the last 1,000 only"),
    ],
)
def test_error_rate_is_of_the_last_thousand(results: list[Result], rate: float) -> None:
    tally = Tally(0)
    for result in results:
        tally.add(result, 1)
    assert tally.error_rate == rate


def test_timeline_halves_when_it_grows_long_and_loses_nothing() -> None:
    timeline = Timeline()
    for second in range(2000):
        timeline.add(second + 0.5, 10, stored=second % 4 != 0)
    steps = list(timeline)
    assert len(steps) <= 600
    assert {step.seconds for step in steps} == {4.0}
    assert (sum(step.files for step in steps), sum(step.failed for step in steps)) == (1500, 500)
    assert sum(step.size for step in steps) == 20_000


def test_quantiles_are_true_to_five_percent() -> None:
    values = Distribution()
    for number in range(1, 1001):
        values.add(number / 100)
    for share in (0.5, 0.95, 0.99):
        assert values.quantile(share) == pytest.approx(share * 10, rel=0.05)


def test_quantile_without_values_is_none() -> None:
    assert Distribution().quantile(0.5) is None


def test_counts_put_each_value_into_its_class() -> None:
    values = Distribution()
    for value in (5, 50, 55, 5000):
        values.add(value)
    assert values.counts([10, 100]) == [1, 2, 1]


def test_tally_counts_refused_bodies_by_what_the_cdn_calls_them() -> None:
    tally = Tally(0)
    for label in ("text/html", "text/html", "", *map(str, range(100))):
        tally.add(failed(cause="not_an_image")._replace(label=label), 1)
    tally.add(failed(cause="timeout")._replace(label="text/plain"), 1)
    assert tally.refused["text/html"] == 2
    assert tally.refused[NO_LABEL] == 1
    assert len(tally.refused) == 51
    assert sum(tally.refused.values()) == 103


def test_tally_notes_names_that_do_not_fit_and_odd_responses() -> None:
    tally = Tally(0)
    tally.add(stored("u1")._replace(key="a.jpg", media_type="image/webp", noted=("odd",)), 1)
    tally.add(stored("u2")._replace(key="b.jpg", media_type="image/webp"), 1)
    tally.add(stored("u3")._replace(key="c.jpg", media_type="image/jpeg"), 1)
    assert tally.noted.most_common() == [
        ("named .jpg that are image/webp", 2, "u1"),
        ("odd", 1, "u1"),
    ]


@pytest.mark.parametrize(("status", "wants"), [(403, True), (401, True), (404, False), (None, False)])
def test_tally_knows_whether_the_cdn_may_want_headers(status: int | None, wants: bool) -> None:
    tally = Tally(0)
    tally.add(failed()._replace(status=status), 1)
    tally.add(failed(), 1)
    assert tally.may_want_headers is wants
