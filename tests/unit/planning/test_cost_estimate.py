"""Bytes, hours and dollars: the arithmetic, and where each figure says it comes from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.errors import UsageError
from cdn2s3.planning import cost_estimate
from cdn2s3.settings.declarations import MigrationSettings

SETTINGS = MigrationSettings(destination_bucket="bucket")


def settings(**changed: Any) -> MigrationSettings:
    return dataclasses.replace(SETTINGS, **changed)


def test_the_whole_job_is_estimated_as_on_paper() -> None:
    found = cost_estimate.estimate(4_000_000, 390_000, 400, cost_estimate.Prices())
    assert found.size == 1.56e12
    assert found.seconds == 10_000
    assert found.puts == pytest.approx(20.0)
    assert found.machine == pytest.approx(10_000 / 3600 * 0.34)
    assert found.storage == pytest.approx(1560 * 0.023)
    assert found.nat == pytest.approx(1560 * 0.045 + 10_000 / 3600 * 0.045)
    assert found.once == pytest.approx(found.puts + found.machine)


def test_prices_without_a_file_are_the_table(tmp_path: Path) -> None:
    assert cost_estimate.prices(tmp_path / "prices.json") == cost_estimate.Prices()


def test_prices_of_a_file_win_over_those_of_the_class(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"storage_gb_month": 0.02, "date": "2026-11", "ec2_hour": 1}')
    table = cost_estimate.prices(tmp_path / "prices.json", "STANDARD_IA")
    assert table.storage_gb_month == 0.02
    assert table.put_per_thousand == 0.01
    assert (table.ec2_hour, table.date) == (1.0, "2026-11")


@pytest.mark.parametrize(
    "text",
    ["[]", "{", '{"puts": 1}', '{"nat_gb": "1"}', '{"nat_gb": -1}', '{"nat_gb": true}', '{"date": 2026}',
     '{"nat_gb": NaN}'],
    ids=["list", "torn", "unknown", "text", "negative", "boolean", "date-number", "nan"],
)  # fmt: skip
def test_prices_that_are_none_are_refused_by_name(text: str, tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text(text)
    with pytest.raises(UsageError, match=r"prices\.json"):
        cost_estimate.prices(tmp_path / "prices.json")


def test_sizes_measured_give_their_mean_and_how_sure_it_is() -> None:
    size = cost_estimate.sizes([100_000, 300_000], 5)
    assert size.mean == 200_000
    assert "2 of 5 HEADs" in size.source
    assert "±100%" in size.source


def test_sizes_unknown_are_assumed_and_say_so() -> None:
    size = cost_estimate.sizes([], 3, "the CDN cannot be reached (refused)")
    assert size.mean == 390_000
    assert size.source == "assumed: the CDN cannot be reached (refused)"


@pytest.mark.parametrize(
    ("changed", "mean", "expected", "why"),
    [
        ({}, 390_000.0, 1250e6 / 8 / 390_000, "network"),
        ({}, 8_000.0, 600.0, "150 workers"),
        ({"concurrency": 10}, 390_000.0, 40.0, "10 workers"),
        ({"bandwidth_limit_mbps": 100.0}, 390_000.0, 100e6 / 8 / 390_000, "BANDWIDTH_LIMIT_MBPS"),
        ({"bandwidth_limit_mbps": 9000.0}, 390_000.0, 1250e6 / 8 / 390_000, "network"),
    ],
    ids=["network", "thumbnails", "few-workers", "limited", "limit-above"],
)
def test_rate_assumed_is_what_limits(changed: dict[str, Any], mean: float, expected: float, why: str) -> None:
    rate = cost_estimate.assumed_rate(settings(**changed), mean)
    assert rate.files_per_second == pytest.approx(expected)
    assert rate.source.startswith("assumed")
    assert why in rate.source


def report(path: Path, content: object) -> Path:
    (path / "migration_report.json").write_text(json.dumps(content))
    return path / "migration_report.json"


def test_rate_measured_wins_over_the_assumed(tmp_path: Path) -> None:
    report(tmp_path, {"began_at": "2026-11-20T10:00:00Z", "seconds": 100.0, "run": {"stored": 5000}})
    rate = cost_estimate.rate(settings(state_dir=tmp_path), 390_000)
    assert rate == cost_estimate.Rate(50.0, "measured: the run of 2026-11-20T10:00:00Z")


@pytest.mark.parametrize(
    "content",
    [
        {"began_at": "x", "seconds": 100.0, "run": {"stored": 3}},
        {"began_at": "x", "seconds": 0.2, "run": {"stored": 3000}},
        {"seconds": "long"},
        ["no report"],
    ],
    ids=["few-files", "short", "other-fields", "list"],
)
def test_rate_of_a_report_that_means_nothing_is_not_taken(content: object, tmp_path: Path) -> None:
    assert cost_estimate.measured_rate(report(tmp_path, content)) is None


@pytest.mark.parametrize(
    ("amount", "text"), [(0, "$0.00"), (0.001, "under $0.01"), (20.004, "$20.00"), (1234.5, "$1,234.50")]
)
def test_dollars_as_text(amount: float, text: str) -> None:
    assert cost_estimate.dollars(amount) == text
