"""The reports as HTML pages: one self-contained file each, built from the same record as the JSON.

URLs and messages come from outside and may be hostile: templates escape everything, nothing becomes a link, and
the page's own policy lets no script run and nothing be fetched.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from cdn2s3.atomic_file import replacing
from cdn2s3.errors import CAUSES
from cdn2s3.planning.cost_estimate import dollars
from cdn2s3.reports import charts
from cdn2s3.reports.contact_sheet import LARGEST, MOST, SHEET_BYTES, Pictures, data_uri
from cdn2s3.reports.figures import count, migration_figures, rate_of, validation_figures
from cdn2s3.reports.time_axis import moment, time_axis
from cdn2s3.text import MB, bytes_text, escaped, percentage, span

_NONE = Pictures(b"", b"")
# Around the section of a new CDN; what comes from outside is escaped, and cannot hold them.
_THROUGH, _THROUGH_END = "<!-- through -->", "<!-- /through -->"


def migration(report: Mapping[str, Any]) -> str:
    """Return the page of the whole migration; report is the record from migration_report.

    It tells of all runs; what was measured within one is that of the run that stored most.
    """
    shown = {**report, **(report.get("largest_run") or {})}
    drawn = {
        "files_over_time": _over_time(shown, "files"),
        "mb_over_time": _over_time(shown, "bytes"),
        "causes": charts.rows(
            list(report["failed_transfers"]),
            [failure["urls"] for failure in report["failed_transfers"].values()],
            "var(--bad)",
        ),
        "sizes": charts.columns(
            _size_labels(shown["sizes"]["up_to_bytes"]),
            [charts.Series("files", shown["sizes"]["files"])],
            ["var(--accent)"],
        ),
        "latencies": _latencies(shown),
    }
    axis = time_axis(report["job"]) if report.get("job") else None
    may_recover = sum(
        failure["urls"]
        for cause, failure in report["failed_transfers"].items()
        if cause in CAUSES and CAUSES[cause].transient
    )
    return _page(
        "migration.html",
        report,
        charts={**drawn, "axis": axis.svg if axis else ""},
        axis=axis,
        shown=shown,
        figures=migration_figures(report),
        may_recover=may_recover,
    )


def collection(report: Mapping[str, Any]) -> str:
    """Return the page of a collection; report is the record from collection_report."""
    return _page("collection.html", report, charts={}, figures=[])


def certificate(report: Mapping[str, Any], links: Mapping[str, str]) -> str:
    """Return the page to sign; report is the record from certificate, links are paths of the other pages ("": none)."""
    return _page("certificate.html", report, charts={}, figures=[], links=links)


def validation(
    report: Mapping[str, Any], pictures: Mapping[str, Pictures] | None = None, back: str = ""
) -> str:
    """Return the page of a validation; report is the content of validation_report.json.

    pictures has the bytes of the spot check's objects by key; the page shows MOST of the checks. back is the path of
    the migration's page, "" where there is none.
    """
    checks = report["spot_check"]["checks"] if report["verdict"] is not None else []
    return _page(
        "validation.html",
        report,
        charts={"outcomes": _outcomes(report)},
        figures=validation_figures(report),
        sheet=_contact_sheet(checks, pictures or {}),
        back=back,
        largest_picture=LARGEST,
        room_for_pictures=SHEET_BYTES,
        through=report.get("through"),
    )


def with_section(page: str, through: Mapping[str, Any]) -> str:
    """Return page, one by validation(), with the section of a new CDN replaced; "" where it has no place for it."""
    before, begin, rest = page.partition(_THROUGH)
    _, end, after = rest.partition(_THROUGH_END)
    if not end:
        return ""
    section = _ENVIRONMENT.get_template("through.html").render(through=through)
    return "".join((before, begin, "\n", section, end, after))


def write(path: Path, page: str) -> None:
    """Write page to path; raise FatalError when the disk does not take it."""
    with replacing(path) as file:
        file.write(page.encode("utf-8", "replace"))


# --- charts ---


def _over_time(report: Mapping[str, Any], what: str) -> str:
    """Draw files or megabytes per second over the time of the run."""
    steps = _whole_steps(report["timeline"], report["seconds"])
    if what == "files":
        return charts.over_time(
            [charts.Moment(at, files / s) for at, s, files, _, _ in steps], "var(--accent)"
        )
    return charts.over_time(
        [charts.Moment(at, size / MB / s) for at, s, _, size, _ in steps], "var(--second)"
    )


def _whole_steps(timeline: Sequence[Sequence[float]], seconds: float) -> list[list[float]]:
    """Return the steps of timeline; the last one, cut short by the end of the run, gets its true length.

    If it is very short, it joins the previous one: a rate over a moment is meaningless.
    """
    steps = [list(step) for step in timeline]
    if not steps:
        return []
    left = seconds - steps[-1][0]
    if 0 < left < steps[-1][1]:
        steps[-1][1] = left
    if len(steps) > 1 and steps[-1][1] < steps[-2][1] / 2:
        last = steps.pop()
        steps[-1][1:] = [mine + more for mine, more in zip(steps[-1][1:], last[1:])]
    return steps


def _latencies(report: Mapping[str, Any]) -> str:
    names = ("p50", "p95", "p99")
    series = [
        charts.Series(direction, [report[f"{direction}_seconds"][name] or 0 for name in names])
        for direction in ("download", "upload")
    ]
    return charts.columns(names, series, ["var(--accent)", "var(--second)"])


def _outcomes(report: Mapping[str, Any]) -> str:
    """Draw the statuses of the URLs that are not complete."""
    if report["verdict"] is None:
        return ""
    counts = report["counts"]
    failed = [(cause, failure["urls"]) for cause, failure in report["failed"].items()]
    others = ("lost", "not_tried", "mismatched", "present_unrecorded", "present_unproven")
    every = [*((name.replace("_", " "), counts[name]) for name in others), *failed]
    found = [(name, number) for name, number in every if number]
    return charts.rows([name for name, _ in found], [count for _, count in found], "var(--bad)")


def _size_labels(bounds: Sequence[float]) -> list[str]:
    """Return the name of each size class, and of everything above the last."""
    names = [_short_bytes(bound) for bound in bounds]
    return [f"≤{name}" for name in names] + [f">{names[-1]}"]


def _short_bytes(size: float) -> str:
    return f"{size / MB:.0f}M" if size >= MB else f"{size / 1e3:.0f}k"


# --- the contact sheet ---


def _contact_sheet(
    checks: Sequence[Mapping[str, Any]], pictures: Mapping[str, Pictures]
) -> list[dict[str, Any]]:
    """Return the checks to show, those that are not identical first, then those with pictures, within SHEET_BYTES."""
    ranked = sorted(checks, key=lambda check: (check["outcome"] == "identical", check["key"] not in pictures))
    sheet, room = [], SHEET_BYTES
    for check in ranked[:MOST]:
        both = pictures.get(check["key"], _NONE)
        both = both if both.size <= room else _NONE
        room -= both.size
        uris = {side: data_uri(check["media_type"], getattr(both, side)) for side in both._fields}
        sheet.append({**check, "pictures": uris})
    return sheet


# --- words ---


def between(began: str, ended: str) -> str:
    """Return two times as people write them: 27 Nov 2026 02:02:00 to 02:02:11 UTC."""
    end = ended[11:19] if began[:10] == ended[:10] else f"{moment(ended, True)}{ended[16:19]}"
    return f"{moment(began, True)}{began[16:19]} to {end} UTC"


def whole(text: str) -> str:
    """Return a whole number formatted as by count, any other value unchanged."""
    return count(int(text)) if text.isascii() and text.isdigit() else text


def latency(seconds: float | None) -> str:
    """Return how long something took: 38 ms, 1.24 s; a dash if nothing was measured."""
    if seconds is None:
        return "–"
    if 0 < seconds < 0.001:
        return "under 1 ms"
    return f"{seconds * 1000:.0f} ms" if seconds < 1 else f"{seconds:.2f} s"


# --- the page ---


def _page(template: str, report: Mapping[str, Any], **more: Any) -> str:
    more["charts"] = {name: Markup(svg) for name, svg in more["charts"].items()}  # noqa: S704  # drawn here
    return _ENVIRONMENT.get_template(template).render(report=report, **more)


def _visible(value: Any) -> Any:
    """Escape characters that a browser would not display, so that no URL looks like another one."""
    if isinstance(value, Markup) or not isinstance(value, str) or value.isprintable():
        return value
    return "".join(c if c.isprintable() or c == "\n" else escaped(c) for c in value)


_ENVIRONMENT = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    finalize=_visible,
    trim_blocks=True,
    lstrip_blocks=True,
)
_ENVIRONMENT.globals.update(between=between, moment=moment, dollars=dollars)
_ENVIRONMENT.filters.update(
    rate=rate_of, count=count, whole=whole, bytes=bytes_text, span=span, latency=latency, share=percentage
)
