"""The charts: nothing invented, nothing fetched."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from cdn2s3.reports import charts
from cdn2s3.reports.charts import Moment, Series


def drawings() -> list[str]:
    return [
        charts.over_time([Moment(second, second % 7) for second in range(600)], "var(--accent)"),
        charts.columns(["p50", "p95"], [Series("a", [1, 2]), Series("b", [3, 4])], ["red", "blue"]),
        charts.rows(["not_found", "timeout"], [3, 1], "var(--bad)"),
    ]


def test_drawing_is_well_formed_and_without_script() -> None:
    for svg in drawings():
        root = ElementTree.fromstring(svg)
        assert root.tag.endswith("svg")
        assert not [node for node in root.iter() if str(node.tag).endswith("script")]
        assert "http" not in svg.replace("http://www.w3.org/2000/svg", "")


def test_drawing_without_values_is_none() -> None:
    assert charts.over_time([], "red") == ""
    assert charts.rows([], [], "red") == ""
    assert charts.rows(["a"], [0], "red") == ""
    assert charts.columns(["a"], [Series("x", [0])], ["red"]) == ""


def test_line_of_one_moment_is_drawn() -> None:
    assert "<path" in charts.over_time([Moment(0, 5)], "red")


def test_thinned_keeps_the_mean() -> None:
    thin = charts.thinned([Moment(second, float(second % 2)) for second in range(600)])
    assert len(thin) == 120
    assert sum(moment.value for moment in thin) / 120 == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    ("seconds", "labels"),
    [
        pytest.param(4, ["0:00", "0:01", "0:02", "0:03"], id="seconds"),
        pytest.param(100, ["0:00", "0:20", "0:40", "1:00", "1:20"], id="minutes"),
        pytest.param(9000, ["0:00", "30:00", "1:00:00", "1:30:00", "2:00:00"], id="hours"),
    ],
)
def test_times_on_the_axis_are_round(seconds: int, labels: list[str]) -> None:
    moments = [Moment(at, 1) for at in range(0, seconds, max(1, seconds // 120))]
    assert [label for label in charts._times(moments) if label] == labels


@pytest.mark.parametrize(
    ("value", "words"),
    [
        pytest.param(4000, "4,000", id="whole"),
        pytest.param(0.25, "0.25", id="small"),
        pytest.param(12.34, "12.3", id="odd"),
    ],
)
def test_number_is_short(value: float, words: str) -> None:
    assert charts.number(value) == words
