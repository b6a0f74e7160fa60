"""What a run would do, found out without moving a byte, without a lock and without writing a file."""

from __future__ import annotations

import argparse
import dataclasses
import logging
import random
import textwrap
from collections.abc import Iterable
from pathlib import Path

from cdn2s3.cdn.client import Head, heads
from cdn2s3.console.rerun_hint import settings_file, with_env_file
from cdn2s3.console.signals import Signals
from cdn2s3.errors import EXIT_DONE, EXIT_FIXABLE
from cdn2s3.planning import cost_estimate
from cdn2s3.planning import survey as survey_module
from cdn2s3.planning.collisions import Collision, remedies, warn_of_naming
from cdn2s3.planning.cost_estimate import PREFIX_PUTS, Estimate, Prices, Rate, Sizes, dollars
from cdn2s3.planning.run_plan import refuse_strangers, urls_of
from cdn2s3.planning.survey import DONE, NOT_CHOSEN, PENDING, UrlSurvey
from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.state import ledger, run_binding
from cdn2s3.state.key_index import Fingerprints
from cdn2s3.state.ledger import COMPLETED, FAILED
from cdn2s3.text import bytes_text, duration, pluralize, printable, redact

log = logging.getLogger(__name__)

HEADS = 200  # of files drawn at random: the mean of log-normal sizes is then known to about 15 %
HEAD_SECONDS = 20.0  # for all of them
_SHOWN = 10
_WIDTH = 79  # of a terminal's 80 columns
_INDENT = 27  # where the words of a row begin


@dataclasses.dataclass
class Survey:
    """The input of a run, looked through."""

    work: UrlSurvey
    malformed: list[str]  # examples, as `url: why`
    collisions: list[Collision]  # the first ones
    todo: int  # URLs that the run would try


def looked_through(
    settings: MigrationSettings,
    chosen: Fingerprints | None = None,
    redo: bool = False,
    limit: int | None = None,
) -> Survey:
    """Find out the fate of every line of the input, reading only.

    chosen are the URLs that the run is restricted to (None: all); with redo their completed ones run again.
    Raise UsageError for input that cannot be used, or for a state that belongs to another destination.
    """
    run_binding.check(settings)
    malformed: list[str] = []
    collisions: list[Collision] = []

    def on_malformed(url: str, why: str) -> None:
        if len(malformed) < _SHOWN:
            malformed.append(f"{redact(printable(url))}: {why}")

    def on_collision(key: str, first: str, url: str) -> None:
        if len(collisions) < _SHOWN:
            collisions.append(Collision(key, first, url))

    keys = key_maker(settings)
    owners = survey_module.completed_before(settings.state_dir / COMPLETED, keys)
    work = survey_module.survey(settings.source_urls_file, keys, owners, on_malformed, on_collision)
    warn_of_naming(settings, work)
    if chosen is not None:
        _choose(settings, work, chosen, redo)
    todo = work.statuses.count(PENDING)
    return Survey(work, malformed, collisions, min(todo, limit or todo))


def _choose(settings: MigrationSettings, work: UrlSurvey, chosen: Fingerprints, redo: bool) -> None:
    for fate, becomes in ((PENDING, PENDING), (DONE, PENDING if redo else DONE)):
        for number, url in survey_module.lines_with(fate, settings.source_urls_file, work):
            is_chosen = url.encode("utf-8", "surrogateescape") in chosen
            work.statuses[number] = becomes if is_chosen else (NOT_CHOSEN if fate == PENDING else DONE)


def drawn(settings: MigrationSettings, work: UrlSurvey, count: int, draw: random.Random) -> list[str]:
    """Return count pending URLs drawn at random, each with the same chance, in the order of the input."""
    pending = work.statuses.count(PENDING)
    places = set(draw.sample(range(pending), min(count, pending)))
    lines = survey_module.lines_with(PENDING, settings.source_urls_file, work)
    return [url for place, (_, url) in enumerate(lines) if place in places]


def asked_sizes(settings: MigrationSettings, work: UrlSurvey, draw: random.Random) -> Sizes:
    """Return how large the images are, after HEAD requests for some of the pending ones."""
    keys = key_maker(settings)
    targets = [keys.address(url).target for url in drawn(settings, work, HEADS, draw)]
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
    said = sorted({str(head.status) for head in answers if head.status is not None})
    return f"the CDN answered {', '.join(said)} to HEAD, without a size"


# --- what a person sees ---


def counts_text(settings: MigrationSettings, survey: Survey) -> list[str]:
    """Return the lines that say what is in the input."""
    work = survey.work
    lines = [
        f"plan: {settings.source_urls_file} -> {settings.destination_text}{_region(settings)}",
        "",
        row("lines", f"{work.lines:,}"),
        row("blank", f"{work.blank:,}"),
        row("duplicates", f"{work.duplicates:,}"),
        row("malformed", f"{work.malformed:,}", "never fetched" if work.malformed else ""),
        *(f"    {example}" for example in survey.malformed),
        row("collisions", f"{work.collisions:,}", "different URLs, the same key" if work.collisions else ""),
        row("done", f"{work.done:,}", "in completed.txt"),
        row("pending", f"{work.pending:,}"),
    ]
    if survey.todo != work.pending:
        lines.append(row("this run", f"{survey.todo:,}", "as --limit, --retry-failed or --redo ask"))
    if work.unstripped:
        lines.append(row("unstripped", f"{work.unstripped:,}", "lack STRIP_PATH_PREFIX, keep their path"))
    return lines


def _region(settings: MigrationSettings) -> str:
    return f" ({settings.aws_region})" if settings.destination == "s3" else ""


def keys_text(settings: MigrationSettings, work: UrlSurvey) -> list[str]:
    """Return the lines that show which keys URLs get: the first, one in the middle and the last of the pending."""
    keys, pending = key_maker(settings), work.statuses.count(PENDING)
    places = {0, pending // 2, pending - 1}
    lines = survey_module.lines_with(PENDING, settings.source_urls_file, work)
    shown = [url for place, (_, url) in enumerate(lines) if place in places]
    rows = [[f"  {redact(url)}", f"    -> {keys.address(url).key}"] for url in shown]
    return ["", "the keys, for example:", *(line for row in rows for line in row)] if rows else []


def collisions_text(settings: MigrationSettings, survey: Survey) -> list[str]:
    """Return the lines that show collisions, with both URLs and what ends them."""
    collide = pluralize(survey.work.collisions, "URL collides", "URLs collide")
    lines = [f"{collide} with another one. The first of them:"]
    for pair in survey.collisions:
        lines += [f"  {pair.key}", f"    {redact(pair.first)}", f"    {redact(pair.second)}"]
    lines += ["", f"change one of these lines in {settings_file()}:"]
    for line, meaning in remedies(settings, survey.collisions):
        lines += [f"  {line}", f"      ({meaning})"]
    return lines


def forecast_text(size: Sizes, speed: Rate, found: Estimate, table: Prices) -> list[str]:
    """Return the lines that say how long it takes and what it costs in a bucket."""
    share = 100 * speed.files_per_second / PREFIX_PUTS
    return [
        *time_text(size, speed, found),
        row(
            "requests", dollars(found.puts), f"{found.files:,} PUT at ${table.put_per_thousand:g} a thousand"
        ),
        row("machine", dollars(found.machine), f"EC2 at ${table.ec2_hour:g} an hour"),
        row("storage", dollars(found.storage), f"a month, at ${table.storage_gb_month:g} a GB"),
        row(
            "NAT",
            dollars(found.nat),
            "more, only if uploads pass a NAT gateway: an S3 gateway endpoint costs nothing "
            "(docs/ec2-setup.md)",
        ),
        row("once", dollars(found.once), "requests and machine"),
        row("S3 limit", f"{share:.0f} %", f"of the {PREFIX_PUTS:,} PUT/s that S3 takes under one prefix"),
        row(
            "prices", f"of {table.date}", f"{table.source}; yours: {cost_estimate.PRICES_FILE} in this folder"
        ),
    ]


def time_text(size: Sizes, speed: Rate, found: Estimate) -> list[str]:
    """Return the lines that say how much it is and how long it takes."""
    return [
        row("bytes", bytes_text(found.size), f"{bytes_text(size.mean)} a file, {size.source}"),
        row("time", duration(found.seconds), f"{speed.files_per_second:,.0f} files/s, {speed.source}"),
    ]


def row(name: str, value: str, said: str = "") -> str:
    """Return a row of a table for a terminal: a name, a figure, and words that wrap in their own column."""
    first, *rest = textwrap.wrap(said, _WIDTH - _INDENT) or [""]
    lines = [f"  {name:<11}{value:>12}  {first}".rstrip(), *(" " * _INDENT + line for line in rest)]
    return "\n".join(lines)


def next_step(settings: MigrationSettings, survey: Survey) -> str:
    """Return what to do after a plan whose URLs do not collide."""
    if survey.todo:
        return "python migrate.py --check"
    return "python validate.py"


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--plan", action="store_true", help="count, find collisions, estimate; move nothing")


def run(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Print what a run would do, take and cost; move nothing, write nothing; return the exit code."""
    chosen = None
    if arguments.redo:
        chosen = urls_of(arguments.redo, "--redo")
        refuse_strangers(arguments.redo, chosen, settings.source_urls_file)
    elif arguments.retry_failed is not None:
        chosen = ledger.urls_in(settings.state_dir / FAILED, arguments.retry_failed)
    table = cost_estimate.prices(Path(cost_estimate.PRICES_FILE), settings.storage_class)
    survey = looked_through(settings, chosen, bool(arguments.redo), arguments.limit)
    print("\n".join(counts_text(settings, survey) + keys_text(settings, survey.work)))
    warning = run_binding.unfinished_collection(settings.source_urls_file)
    if warning:
        log.warning("%s", warning)
    if survey.work.collisions and settings.on_collision == "refuse":
        print("\n".join(["", *collisions_text(settings, survey)]))
        print(with_env_file("\nnext: correct the settings, then python migrate.py --plan"))
        return EXIT_FIXABLE
    size = asked_sizes(settings, survey.work, random.Random())  # noqa: S311  # no secret
    speed = cost_estimate.rate(settings, size.mean)
    found = cost_estimate.estimate(survey.todo, size.mean, speed.files_per_second, table)
    if settings.destination == "local":
        forecast = time_text(size, speed, found)
    else:
        forecast = forecast_text(size, speed, found, table)
    print("\n".join(["", *forecast]))
    print(with_env_file(f"\nnext: {next_step(settings, survey)}"))
    return EXIT_DONE
