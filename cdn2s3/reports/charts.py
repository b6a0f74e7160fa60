"""The charts of a report, as SVG inside an HTML page: no script, no font, nothing fetched.

Colors are the page's CSS variables, so a chart follows the page into dark mode and print. Each function
returns "" when there is nothing to draw; the page then says so.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple
from xml.etree import ElementTree

import pygal
from pygal.style import Style

_WIDTH, _HEIGHT = 420, 200  # drawn for a phone's column; wider columns scale it up a little
_BAR_HEIGHT = 26  # of one row of a horizontal chart
_MOST_POINTS = 120  # points on a line over time: more than a screen can show
_ROUND = (1, 2, 5, 10, 20, 30, 60, 120, 300, 600, 1200, 1800, 3600, 7200, 14400, 28800, 43200)  # seconds
_MOST_LABELS = 5  # of an axis of time
_FONT = "system-ui, sans-serif"
_UNWANTED = frozenset({"script", "title", "desc"})  # what pygal adds for its own script


class Series(NamedTuple):
    """A row of values with its name in the legend."""

    name: str
    values: Sequence[float]


class Moment(NamedTuple):
    """A value over a stretch of time."""

    begin: float  # seconds since the run began
    value: float


def over_time(moments: Sequence[Moment], color: str) -> str:
    """Draw a value over the time of a run."""
    if not moments:
        return ""
    moments = thinned(moments)
    if len(moments) == 1:
        moments = [*moments, *moments]  # a line needs two points
    chart = pygal.Line(
        _config(color),
        style=_style([color], opacity=".3"),
        fill=True,
        show_dots=False,
        show_minor_x_labels=False,
        truncate_label=-1,
        range=(0, max(moment.value for moment in moments) or 1),
    )
    chart.x_labels = _times(moments)
    chart.x_labels_major = [label for label in chart.x_labels if label]
    chart.add("", [moment.value for moment in moments])
    return _svg(chart)


def columns(labels: Sequence[str], series: Sequence[Series], colors: Sequence[str]) -> str:
    """Draw a group of columns for each label."""
    if not any(value for one in series for value in one.values):
        return ""
    chart = pygal.Bar(
        _config(*colors), show_legend=len(series) > 1, legend_at_bottom=True, legend_at_bottom_columns=2
    )
    chart.x_labels = labels
    for one in series:
        chart.add(one.name, [{"value": value, "label": one.name} for value in one.values])
    return _svg(chart)


def rows(labels: Sequence[str], values: Sequence[float], color: str) -> str:
    """Draw a horizontal bar for each label, the first on top."""
    if not any(values):
        return ""
    chart = pygal.HorizontalBar(
        _config(color), height=60 + _BAR_HEIGHT * len(labels), print_values=False, show_y_guides=False
    )
    chart.x_labels = list(reversed(labels))
    chart.add("", list(reversed(values)))
    return _svg(chart)


def thinned(moments: Sequence[Moment]) -> list[Moment]:
    """Return at most _MOST_POINTS moments, each the mean of its neighbors."""
    together = math.ceil(len(moments) / _MOST_POINTS)
    groups = [moments[at : at + together] for at in range(0, len(moments), together)]
    return [Moment(group[0].begin, sum(one.value for one in group) / len(group)) for group in groups]


def _times(moments: Sequence[Moment]) -> list[str]:
    """Return a label for each moment: the time at about five round moments, else ""."""
    last = moments[-1].begin
    apart = next((step for step in _ROUND if last / step <= _MOST_LABELS), _ROUND[-1])
    labels, due = [], 0
    for moment in moments:
        reached = moment.begin >= due
        labels.append(_clock(due) if reached else "")
        while moment.begin >= due:
            due += apart
    return labels


def _clock(seconds: int) -> str:
    """Return seconds since the beginning as h:mm:ss, without hours if there are none."""
    minutes, rest = divmod(seconds, 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}" if minutes >= 60 else f"{minutes}:{rest:02d}"


def number(value: float) -> str:
    """Return value as an axis or a tooltip shows it."""
    if value == int(value):
        return f"{int(value):,}"
    return f"{value:.3g}" if abs(value) < 1 else f"{value:,.1f}"


def _config(*colors: str) -> Any:
    return pygal.Config(
        width=_WIDTH,
        height=_HEIGHT,
        explicit_size=False,
        disable_xml_declaration=True,
        js=[],
        show_legend=False,
        margin=6,
        spacing=8,
        max_scale=5,
        value_formatter=number,
        style=_style(colors),
    )


def _style(colors: Sequence[str], opacity: str = ".85") -> Style:
    return Style(
        background="transparent",
        plot_background="transparent",
        foreground="var(--quiet)",
        foreground_strong="var(--quiet)",
        foreground_subtle="var(--line)",
        guide_stroke_color="var(--line)",
        major_guide_stroke_color="var(--line)",
        guide_stroke_dasharray="1,0",
        major_guide_stroke_dasharray="1,0",
        colors=tuple(colors),
        value_colors=tuple("var(--text)" for _ in colors),
        font_family=_FONT,
        label_font_size=12,
        major_label_font_size=12,
        legend_font_size=12,
        opacity=opacity,
        stroke_opacity="1",
        stroke_width="1.5",
        transition="0s",
    )


def _svg(chart: Any) -> str:
    chart.add_xml_filter(_quiet)
    return str(chart.render(is_unicode=True))


def _quiet(root: Any) -> Any:
    """Remove what only pygal's script would use; keep each value as the browser's own tooltip."""
    for parent in list(root.iter()):
        value = next((child.text for child in parent if child.get("class") == "value"), None)
        for child in list(parent):
            if not isinstance(child.tag, str) or child.tag.rpartition("}")[2] in _UNWANTED:
                parent.remove(child)
        if value:
            ElementTree.SubElement(parent, "title").text = value
    return root
