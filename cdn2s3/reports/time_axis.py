"""All runs on one time axis, as SVG: how many images a second, and below it when runs were on, down or throttled.

There is no text in the drawing, which is stretched to the page's width: the page writes the labels around it. Colors
are the page's CSS variables.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from cdn2s3.state.ledger import seconds_of, timestamp

_WIDTH, _HEIGHT = 1000, 240
_PLOT = 190  # height of the curve
_BAND = 206, 16  # of the runs: where it begins, and its height
_LEAST = 1.5  # width of what is very short
_TICKS = 5
_MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]


class TimeAxis(NamedTuple):
    """A drawing and the labels around it."""

    svg: str
    ticks: list[str]  # from left to right, evenly spread
    highest: float  # images a second, at the top of the drawing


def moment(at: str, with_year: bool = False) -> str:
    """Return a time of a report as people write it: 27 Nov 02:02; at unchanged if it is none."""
    if seconds_of(at) is None:
        return at
    year, month, day = at[:10].split("-")
    return f"{int(day)} {_MONTHS[int(month) - 1]}{f' {year}' if with_year else ''} {at[11:16]}"


def time_axis(job: Mapping[str, Any]) -> TimeAxis:
    """Draw the field `job` of migration_report.json."""
    began, seconds = seconds_of(job["began_at"]) or 0, max(job["seconds"], 1)
    rates = [(at, length, images / length) for at, length, images, _ in job["timeline"]]
    highest = max([rate for _, _, rate in rates] + [0.0])
    scale = _WIDTH / seconds
    parts = [
        _rect(at, at + length, "pause", "", scale, (0, _PLOT)) for at, length in _pauses(job, began, seconds)
    ]
    for span in job["spans"]:
        at = (seconds_of(span["began_at"]) or began) - began
        title = (
            f"{span['side']} {span['event']} from {span['began_at']}, {span['seconds']} s ({span['detail']})"
        )
        parts.append(_rect(at, at + span["seconds"], span["event"], title, scale, (0, _PLOT)))
    parts.append(_curve(rates, highest, scale))
    for run in job["runs"]:
        at = (seconds_of(run["started_at"]) or began) - began
        end = "killed" if run["exit_code"] is None else f"exit code {run['exit_code']}"
        title = f"{run['command']}: {run['started_at']} to {run['ended_at']}, {end}"
        kind = "run" if run["exit_code"] in (0, 1) else "run ended"
        parts.append(_rect(at, at + run["seconds"], kind, title, scale, _BAND))
    for stop in job["stops"]:
        at = (seconds_of(stop["at"]) or began) - began
        parts.append(_rect(at, at, "stop", f"{stop['at']}: {stop['why']}", scale, (0, _HEIGHT)))
    svg = (
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" preserveAspectRatio="none" role="img" '
        f'aria-label="Images stored per second over all runs">{"".join(parts)}</svg>'
    )
    every = seconds / (_TICKS - 1)
    ticks = [_tick(began + number * every, seconds) for number in range(_TICKS)]
    return TimeAxis(svg, ticks, highest)


def _tick(at: float, seconds: float) -> str:
    said = timestamp(at)
    if seconds < 600:
        return said[11:19]
    return said[11:16] if seconds < 86_400 / 2 else moment(said)


def _pauses(job: Mapping[str, Any], began: int, seconds: int) -> list[tuple[int, int]]:
    """Return when no run was on, as seconds since the beginning, and how long."""
    pauses, free_from = [], 0
    for run in job["runs"]:
        at = (seconds_of(run["started_at"]) or began) - began
        if at > free_from and any(step[2] for step in job["timeline"] if free_from <= step[0] < at - step[1]):
            pass  # an older version, which kept no journal, was on
        elif at > free_from:
            pauses.append((free_from, at - free_from))
        free_from = max(free_from, at + run["seconds"])
    return pauses


def _rect(begin: float, end: float, kind: str, title: str, scale: float, rows: tuple[int, int]) -> str:
    x, width = begin * scale, max((end - begin) * scale, _LEAST)
    said = f"<title>{escape(title)}</title>" if title else ""
    return (
        f'<rect class="{kind}" x="{x:.1f}" y="{rows[0]}" width="{width:.1f}" height="{rows[1]}">{said}</rect>'
    )


def _curve(rates: Sequence[tuple[int, int, float]], highest: float, scale: float) -> str:
    """Return the area under the rates, in steps: what is a mean over a time is drawn as one."""
    if not highest:
        return ""
    points = [f"M0,{_PLOT}"]
    for at, length, rate in rates:
        y = _PLOT - rate / highest * (_PLOT - 4)
        points.append(f"L{at * scale:.1f},{y:.1f}L{(at + length) * scale:.1f},{y:.1f}")
    points.append(f"L{(rates[-1][0] + rates[-1][1]) * scale:.1f},{_PLOT}Z")
    return f'<path class="rate" d="{"".join(points)}"/>'
