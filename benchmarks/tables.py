"""Write figures as a Markdown table, with the ratios to rclone and to the plain loop. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.movers import PLAIN, RCLONE
from benchmarks.runs import Figures

_HEAD = (
    "| | files/s | MB/s | CPU ms/file | peak RSS MB | x rclone | x plain loop | moving files/s | files verified |",
    "|---|---:|---:|---:|---:|---:|---:|---:|---:|",
)


def table(rows: Sequence[Figures]) -> str:
    """Return rows as a table; a ratio is files/s over files/s of the same table, "-" where it has none."""
    rates = {row.mover: row.files_per_second for row in rows}
    return "\n".join([*_HEAD, *(_line(row, rates.get(RCLONE.name), rates.get(PLAIN.name)) for row in rows)])


def _line(row: Figures, rclone: float | None, plain: float | None) -> str:
    cells = (
        row.mover,
        f"{row.files_per_second:,.0f}",
        f"{row.mb / row.seconds:,.0f}",
        f"{row.cpu_ms:.2f}",
        f"{row.peak_rss / 1e6:,.0f}",
        _ratio(row.files_per_second, rclone),
        _ratio(row.files_per_second, plain),
        f"{row.moving_rate:,.0f}",
        f"{row.files:,}",
    )
    return f"| {' | '.join(cells)} |"


def _ratio(rate: float, other: float | None) -> str:
    return "-" if other is None else f"{rate / other:.2f}"


def share_of(rows: Sequence[Figures], carried_mbps: float) -> str:
    """Return what share of the link each row used.

    carried_mbps is what iperf3 carried, both directions added up; each byte of a file crosses the link in
    both.
    """
    shares = (f"{row.mover} {100 * _used_mbps(row) / carried_mbps:.1f} %" for row in rows)
    return (
        f"iperf3 in both directions at once: {carried_mbps:,.0f} Mbit/s in all. Used while moving: "
        + ", ".join(shares)
    )


def _used_mbps(row: Figures) -> float:
    return 2 * 8 * row.mb / row.moving_seconds
