"""The cost estimate of a migration: bytes, hours and dollars, from counts and a few measured or assumed figures. Pure.

Nothing here is a promise. Each figure has its source, so that people can question the right one.
"""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from cdn2s3.errors import UsageError
from cdn2s3.file_names import MIGRATION_JSON
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state.files import cannot_read

ASSUMED_BYTES = 390_000  # of an image, if the CDN does not respond
ASSUMED_MBPS = 1250.0  # megabits per second: half of what a c5.2xlarge sustains (2.5 Gbit/s)
ASSUMED_SECONDS = 0.25  # per transfer of a worker when nothing limits it: CDN, S3 and the network between
PREFIX_PUTS = 3500  # PUT/s that S3 accepts under one prefix before it answers 503 SlowDown and splits it

_GB = 1e9  # AWS bills storage by 2^30 bytes; the 7% are within what is estimated here
_RATE_MEANS_SOMETHING = (100, 1.0)  # fewest files and seconds of a run whose rate counts


@dataclasses.dataclass(frozen=True)
class Prices:
    """Dollars, without tax. Any of them can be set in prices.json in the current folder.

    Compared in 2026-11 with what others quote from these lists (for us-east-1 and us-east-2, which cost the same).
    """

    date: str = "2025-11"  # of the price lists
    source: str = "us-west-2 in AWS's public price lists: S3, EC2 on demand, VPC"
    put_per_thousand: float = 0.005  # S3 Standard, Intelligent-Tiering
    storage_gb_month: float = 0.023  # S3 Standard, the first 50 TB
    ec2_hour: float = 0.34  # c5.2xlarge, Linux
    nat_gb: float = 0.045  # through a NAT gateway, each direction
    nat_hour: float = 0.045  # of a NAT gateway


# PUT a thousand, storage a GB and month (the first 50 TB), of classes other than Standard, from the same lists.
# Nobody else's quote was found of the PUT of STANDARD_IA, ONEZONE_IA and GLACIER_IR. Not counted: the monitoring
# of INTELLIGENT_TIERING ($0.0025 a thousand objects a month) and reading back from the archives.
CLASS_PRICES: dict[str, tuple[float, float]] = {
    "INTELLIGENT_TIERING": (0.005, 0.023),
    "STANDARD_IA": (0.01, 0.0125),
    "ONEZONE_IA": (0.01, 0.01),
    "GLACIER_IR": (0.02, 0.004),
    "GLACIER": (0.03, 0.0036),
    "DEEP_ARCHIVE": (0.05, 0.00099),
}


class Sizes(NamedTuple):
    """How large an image is on average."""

    mean: float  # bytes
    source: str  # one clause: its source


class Rate(NamedTuple):
    """How fast images move."""

    files_per_second: float
    source: str  # one clause: its source


class Estimate(NamedTuple):
    """What moving a number of files will take."""

    files: int
    size: float  # total bytes
    seconds: float
    puts: float  # dollars, once
    machine: float  # dollars, once
    storage: float  # dollars per month
    nat: float  # dollars, once, only if uploads go through a NAT gateway
    in_bucket: int  # how many of the files go to the bucket: PUTs

    @property
    def once(self) -> float:
        """Dollars for the migration itself, without NAT."""
        return self.puts + self.machine


def prices(path: Path, storage_class: str = "") -> Prices:
    """Return the table, with the class's own prices, then what the JSON object in path sets (if it exists).

    Raise UsageError for any other content.
    """
    table = Prices()
    if storage_class in CLASS_PRICES:
        put, storage = CLASS_PRICES[storage_class]
        table = dataclasses.replace(table, put_per_thousand=put, storage_gb_month=storage)
    try:
        given = json.loads(path.read_bytes())
    except FileNotFoundError:
        return table
    except OSError as error:
        raise cannot_read(path, error) from error
    except ValueError:
        given = None
    return dataclasses.replace(table, **_checked(given, path))


def _checked(given: Any, path: Path) -> dict[str, Any]:
    kinds = {field.name: type(field.default) for field in dataclasses.fields(Prices)}
    if not isinstance(given, dict):
        raise UsageError(f"{path}: must be a JSON object with any of {', '.join(kinds)}.")
    wrong = [
        name
        for name, value in given.items()
        if name not in kinds
        or (kinds[name] is str) != isinstance(value, str)
        or (kinds[name] is float and not _is_price(value))
    ]
    if wrong:
        raise UsageError(
            f"{path}: {', '.join(wrong)}: not a known price, or not a number of dollars, 0 or more. "
            f"Known: {', '.join(kinds)}."
        )
    return {name: value if kinds[name] is str else float(value) for name, value in given.items()}


def _is_price(value: Any) -> bool:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return number and math.isfinite(value) and value >= 0


def sizes(measured: Sequence[int], asked: int, why_not: str = "") -> Sizes:
    """Return the mean size after asked HEADs, of which measured are the sizes; why_not: why there are none."""
    if not measured:
        return Sizes(ASSUMED_BYTES, f"assumed: {why_not or 'no HEAD response had a size'}")
    mean = sum(measured) / len(measured)
    said = f"mean of {len(measured)} of {asked} HEADs"
    if len(measured) > 1:
        variance = sum((size - mean) ** 2 for size in measured) / (len(measured) - 1)
        off = 2 * math.sqrt(variance / len(measured)) / mean if mean else 0.0
        said += f", ±{100 * off:.0f}%"
    return Sizes(mean, said)


def measured_rate(report: Path) -> Rate | None:
    """Return the rate of the run in report (migration_report.json); None if it is meaningless."""
    try:
        content = json.loads(report.read_bytes())
        stored = int(content["run"]["stored"])
        seconds, began = float(content["seconds"]), str(content["began_at"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # none yet, or not one of our reports
    if stored < _RATE_MEANS_SOMETHING[0] or seconds < _RATE_MEANS_SOMETHING[1]:
        return None
    return Rate(stored / seconds, f"measured: the run of {began}")


def assumed_rate(settings: MigrationSettings, mean: float) -> Rate:
    """Return what the workers or the network would allow for files of mean bytes, the smaller of them."""
    by_workers = settings.concurrency / ASSUMED_SECONDS
    limit = settings.bandwidth_limit_mbps
    mbps = min(ASSUMED_MBPS, limit) if limit else ASSUMED_MBPS
    by_network = mbps * 1e6 / 8 / max(mean, 1.0)
    if by_workers < by_network:
        return Rate(by_workers, f"assumed: {settings.concurrency} workers, {ASSUMED_SECONDS} s per file each")
    named = "BANDWIDTH_LIMIT_MBPS" if limit and limit <= ASSUMED_MBPS else "half a c5.2xlarge's network"
    return Rate(by_network, f"assumed: {mbps:.0f} Mbit/s, {named}")


def rate(settings: MigrationSettings, mean: float) -> Rate:
    """Return the last run's measured rate, or else the assumed one."""
    return measured_rate(settings.state_dir / MIGRATION_JSON) or assumed_rate(settings, mean)


def estimate(
    files: int, mean: float, files_per_second: float, table: Prices, in_bucket: int | None = None
) -> Estimate:
    """Return what moving files of mean bytes takes at that rate and those prices.

    in_bucket is how many of them go to the bucket, None: all.
    """
    in_bucket = files if in_bucket is None else in_bucket
    size, stored = files * mean, in_bucket * mean
    seconds = files / files_per_second
    return Estimate(
        files,
        size,
        seconds,
        puts=in_bucket / 1000 * table.put_per_thousand,
        machine=seconds / 3600 * table.ec2_hour,
        storage=stored / _GB * table.storage_gb_month,
        nat=stored / _GB * table.nat_gb + seconds / 3600 * table.nat_hour,
        in_bucket=in_bucket,
    )


def dollars(amount: float) -> str:
    """Return dollars as text, "under $0.01" for less than a cent."""
    return "under $0.01" if 0 < amount < 0.01 else f"${amount:,.2f}"
