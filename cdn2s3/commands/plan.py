"""`migrate.py --plan`: what a run would do, without moving a byte, taking a lock or writing a file."""

from __future__ import annotations

import argparse
import logging
import random
import textwrap
from collections.abc import Iterable
from pathlib import Path

from cdn2s3 import file_names
from cdn2s3.cdn.client import Head
from cdn2s3.cdn.heads import heads
from cdn2s3.cdn.source_headers import WANTED, WANTS_HEADERS
from cdn2s3.console.rerun_hint import command
from cdn2s3.console.signals import Signals
from cdn2s3.errors import EXIT_DONE, EXIT_FIXABLE, EXIT_SOME_FAILED
from cdn2s3.planning import cost_estimate
from cdn2s3.planning.collisions import collisions_text
from cdn2s3.planning.cost_estimate import PREFIX_PUTS, Estimate, Prices, Rate, Sizes, dollars
from cdn2s3.planning.run_plan import SHOWN, RunPlan, choose, plan_run
from cdn2s3.planning.survey import LineStatus, UrlSurvey
from cdn2s3.settings import cache_control
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import run_binding
from cdn2s3.state.ledger import decode_line
from cdn2s3.text import bytes_text, duration, printable, redact

log = logging.getLogger(__name__)

HEADS = 200  # random files: the mean of log-normal sizes is then accurate to about 15%
HEAD_SECONDS = 20.0  # for all of them
UNFETCHABLE_TOLERANCE = 0.01  # of the lines that are not blank
_WIDTH = 79  # of a terminal's 80 columns
_INDENT = 27  # where the text of a row begins


def drawn(work: UrlSurvey, count: int, draw: random.Random) -> list[str]:
    """Return count pending URLs drawn at random, each with the same chance, in the order of the input."""
    pending = work.statuses.count(LineStatus.PENDING)
    places = set(draw.sample(range(pending), min(count, pending)))
    return [decode_line(line) for line in work.some_with(LineStatus.PENDING, places)]


def asked_sizes(settings: MigrationSettings, work: UrlSurvey, draw: random.Random) -> Sizes:
    """Return the size of the images, estimated from HEAD requests for some pending ones."""
    keys = key_maker(settings)
    targets = [keys.address(url) for url in drawn(work, HEADS, draw)]
    if not targets:
        return Sizes(0.0, "nothing is pending")
    first = heads(settings, targets[:3], HEAD_SECONDS)
    if all(head.status is None for head in first):
        return cost_estimate.sizes([], 3, f"the CDN cannot be reached ({first[0].why})")
    answers = first + heads(settings, targets[3:], HEAD_SECONDS)
    found = [head.size for head in answers if head.size is not None]
    size = cost_estimate.sizes(found, len(answers), _no_size(answers))
    missing = sum(head.status in (404, 410) for head in answers)
    return size._replace(source=f"{size.source} ({missing:,} answered 404)") if missing else size


def _no_size(answers: Iterable[Head]) -> str:
    answers = list(answers)
    led_away = next((head for head in answers if head.remedy), None)
    if led_away is not None:
        return f"{led_away.why}. {led_away.remedy}"
    statuses = {head.status for head in answers if head.status is not None}
    wants = f"; {WANTS_HEADERS}" if statuses and statuses <= WANTED else ""
    return f"the CDN answered {', '.join(map(str, sorted(statuses)))}, without a size{wants}"


# --- text for people ---


def counts_text(settings: MigrationSettings, plan: RunPlan) -> list[str]:
    """Return the lines that describe the input."""
    work = plan.work
    lines = [
        f"plan: {settings.source_urls_file} -> {settings.destination_text}{_region(settings)}",
        "",
        row("lines", f"{work.lines:,}"),
        row("blank", f"{work.blank:,}"),
        row("duplicates", f"{work.duplicates:,}"),
        row("malformed", f"{work.malformed:,}", "never fetched" if work.malformed else ""),
        *(f"    {redact(printable(url))}: {why}" for url, why in plan.malformed),
        *other_hosts_rows(plan),
        row(
            "collisions",
            f"{work.collisions:,}",
            "different URLs with the same key" if work.collisions else "",
        ),
        row("done", f"{work.done:,}", "in completed.txt"),
        *share_rows(plan),
        row("pending", f"{work.pending:,}"),
    ]
    if plan.todo != work.pending:
        lines.append(row("this run", f"{plan.todo:,}", "as limited by --limit, --retry-failed or --redo"))
    if work.unstripped:
        lines.append(
            row("unstripped", f"{work.unstripped:,}", "without STRIP_PATH_PREFIX, keep their whole path")
        )
    lines += caching_rows(settings)
    if work.with_plus and settings.placement.uses_bucket:
        lines.append(
            row(
                "with +",
                f"{work.with_plus:,}",
                f"{'URL holds' if work.with_plus == 1 else 'URLs hold'} a +, which S3 behind a new CDN reads as a "
                "blank: docs/cutover.md",
            )
        )
    noted = work.notes.lines()
    return [*lines, *(["", "noted:"] if noted else []), *(f"  {line}" for line in noted)]


def share_rows(plan: RunPlan) -> list[str]:
    """Return the rows that say what PERCENT leaves out, or leaves to the folder, and what moves between the two."""
    placement, work = plan.placement, plan.work
    if placement.is_partial:
        said = f"PERCENT={placement.percent}: not in the share of the URLs that is moved"
        return [row("unselected", f"{work.not_selected:,}", said)]
    if not placement.is_hybrid:
        return []
    in_bucket = plan.to_bucket()
    lines = [
        row("to bucket", f"{in_bucket:,}", f"of this run's URLs, by PERCENT={placement.percent}"),
        row("to folder", f"{plan.todo - in_bucket:,}", "the others"),
    ]
    if work.moving:
        lines.append(row("moving", f"{work.moving:,}", "are in the folder and belong in the bucket now"))
    if work.superfluous:
        lines.append(row("superfluous", f"{work.superfluous:,}", "files in the folder are in the bucket now"))
    return lines


def caching_rows(settings: MigrationSettings) -> list[str]:
    """Return the rows that say which objects get which Cache-Control, none where none is set."""
    if not settings.placement.uses_bucket:
        return []
    lines = cache_control.policy(settings.cache_control).lines()
    return [row("caching" if number == 0 else "", "", line) for number, line in enumerate(lines)]


def other_hosts_rows(plan: RunPlan) -> list[str]:
    """Return the rows that say which lines are of hosts that URL_PREFIX does not name, none if there are none."""
    work = plan.work
    if not work.other_hosts:
        return []
    hosts = work.by_host.most_common(SHOWN)
    rest = work.other_hosts - sum(count for _, count in hosts)
    return [
        row(
            "other hosts", f"{work.other_hosts:,}", "never fetched; to move them, add the host to URL_PREFIX"
        ),
        *(f"    {count:,} of {host}" for host, count in hosts),
        *([f"    {rest:,} of more hosts"] if rest else []),
        f"    for example {redact(printable(plan.other_hosts[0][0]))}",
    ]


def too_many_unfetchable(work: UrlSurvey) -> str:
    """Return what to do about a list of which more than a hundredth cannot be moved, "" if it is less."""
    lines = work.lines - work.blank
    if work.unfetchable <= lines * UNFETCHABLE_TOLERANCE:
        return ""
    return f"{work.unfetchable:,} of {lines:,} lines can never be moved, more than 1%: correct URL_PREFIX or the list"


def _region(settings: MigrationSettings) -> str:
    return f" ({settings.aws_region})" if settings.placement.uses_bucket else ""


def keys_text(settings: MigrationSettings, work: UrlSurvey) -> list[str]:
    """Return the lines that show which keys URLs get: the first, one in the middle and the last of the pending."""
    keys, pending = key_maker(settings), work.statuses.count(LineStatus.PENDING)
    places = {0, pending // 2, pending - 1}
    shown = [decode_line(line) for line in work.some_with(LineStatus.PENDING, places)]
    rows = [[f"  {redact(url)}", f"    -> {keys.address(url).key}"] for url in shown]
    return ["", "keys, for example:", *(line for row in rows for line in row)] if rows else []


def forecast_text(size: Sizes, speed: Rate, found: Estimate, table: Prices) -> list[str]:
    """Return the lines that show the time and the cost in a bucket."""
    share = 100 * speed.files_per_second / PREFIX_PUTS
    return [
        *time_text(size, speed, found),
        row(
            "requests",
            dollars(found.puts),
            f"{found.in_bucket:,} PUT at ${table.put_per_thousand:g} per thousand",
        ),
        row("machine", dollars(found.machine), f"EC2 at ${table.ec2_hour:g} per hour"),
        row("storage", dollars(found.storage), f"per month, at ${table.storage_gb_month:g} per GB"),
        row(
            "NAT",
            dollars(found.nat),
            "extra, only if uploads go through a NAT gateway; an S3 gateway endpoint is free "
            "(docs/ec2-setup.md)",
        ),
        row("once", dollars(found.once), "requests and machine"),
        row("S3 limit", f"{share:.0f}%", f"of the {PREFIX_PUTS:,} PUT/s that S3 accepts under one prefix"),
        row(
            "prices",
            f"of {table.date}",
            f"{table.source}; to use your own: {file_names.PRICES_FILE} in this folder",
        ),
    ]


def time_text(size: Sizes, speed: Rate, found: Estimate) -> list[str]:
    """Return the lines that show the size and the time."""
    return [
        row("bytes", bytes_text(found.size), f"{bytes_text(size.mean)} per file, {size.source}"),
        row("time", duration(found.seconds), f"{speed.files_per_second:,.0f} files/s, {speed.source}"),
    ]


def row(name: str, value: str, said: str = "") -> str:
    """Return a row of a table for a terminal: a name, a figure, and text that wraps in its own column."""
    first, *rest = textwrap.wrap(said, _WIDTH - _INDENT) or [""]
    lines = [f"  {name:<11}{value:>12}  {first}".rstrip(), *(" " * _INDENT + line for line in rest)]
    return "\n".join(lines)


def next_step(plan: RunPlan) -> str:
    """Return the next command after a plan without collisions."""
    if plan.todo:
        return command("migrate.py", "--check")
    return command("validate.py")


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument(
        "--plan", action="store_true", help="count, find collisions, estimate time and cost; move nothing"
    )


def run(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Print what a run would do, how long it would take and what it would cost; return the exit code."""
    choice = choose(settings, arguments.redo, arguments.retry_failed, arguments.limit, arguments.yes)
    table = cost_estimate.prices(Path(file_names.PRICES_FILE), settings.storage_class)
    run_binding.check(settings)
    plan, _ = plan_run(settings, key_maker(settings), choice)
    print("\n".join(counts_text(settings, plan) + keys_text(settings, plan.work)))
    warning = run_binding.unfinished_collection(settings.source_urls_file)
    if warning:
        log.warning("%s", warning)
    if plan.work.collisions and settings.on_collision == "refuse":
        print("\n".join(["", *collisions_text(settings, plan.work.collisions, plan.collisions)]))
        print(f"\nnext: correct the settings, then run: {command('migrate.py', '--plan')}")
        return EXIT_FIXABLE
    size = asked_sizes(settings, plan.work, random.Random())  # noqa: S311  # no secret
    speed = cost_estimate.rate(settings, size.mean)
    found = cost_estimate.estimate(plan.todo, size.mean, speed.files_per_second, table, plan.to_bucket())
    if settings.placement.uses_bucket:
        forecast = forecast_text(size, speed, found, table)
    else:
        forecast = time_text(size, speed, found)
    print("\n".join(["", *forecast]))
    wrong = too_many_unfetchable(plan.work)
    if wrong:
        print(f"\n{wrong}\nnext: {command('migrate.py', '--plan')}")
        return EXIT_SOME_FAILED
    print(f"\nnext: {next_step(plan)}")
    return EXIT_DONE
