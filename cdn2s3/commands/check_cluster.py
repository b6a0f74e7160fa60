"""The check of `migrate.py --check` of a Dask cluster: the scheduler, and whether each worker could work."""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from contextlib import closing
from urllib.parse import urlsplit

from cdn2s3.commands.check_context import FAILED, OK, WARNING, CheckContext, CheckResult
from cdn2s3.errors import FatalError
from cdn2s3.executors.code_version import CODE
from cdn2s3.executors.dask_client import CODE_NAME, START_WORKER, Connection, connect
from cdn2s3.executors.dask_inspection import Inspection, Question, inspect
from cdn2s3.executors.dask_messages import headers_digest, packed
from cdn2s3.settings.loading import without_secrets

_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WHAT = "cluster"


def check_cluster(context: CheckContext) -> list[CheckResult]:
    """Report on the scheduler and on each worker; nothing without DASK_SCHEDULER."""
    address = context.settings.dask_scheduler
    if not address:
        return []
    try:
        with closing(connect(address)) as connection:
            return [*_scheduler(address), *_workers(context, connection)]
    except FatalError as error:
        return [CheckResult(FAILED, _WHAT, str(error))]


def _scheduler(address: str) -> Iterator[CheckResult]:
    parts = urlsplit(address)
    if parts.scheme == "tcp" and parts.hostname not in _LOOPBACK:
        said = f"{address} is not encrypted, and whoever reaches it or a worker runs code there and reads all URLs"
        yield CheckResult(WARNING, _WHAT, said, "use tls:// with certificates (docs/cluster.md)")
    else:
        yield CheckResult(OK, _WHAT, f"the scheduler at {address} answers; here {CODE}")


def _workers(context: CheckContext, connection: Connection) -> Iterator[CheckResult]:
    there = connection.present()
    if not there:
        said = f"no Dask worker is at {connection.address}"
        yield CheckResult(WARNING, _WHAT, said, START_WORKER.format(connection.address))
        return
    codes = connection.ask(pkgutil.resolve_name, CODE_NAME, workers=there)
    question = packed(
        Question(without_secrets(context.settings), headers_digest(context.settings.source_headers))
    )
    fit = 0
    for address in there:
        code = codes.get(address)
        if code != CODE:
            other = code if isinstance(code, str) else f"no code of this project ({type(code).__name__})"
            said = f"{address}: {other}, here {CODE}"
            yield CheckResult(
                WARNING, _WHAT, said, "bring the same commit and Python there, start it in that folder"
            )
            continue
        # One after the other: they use the same key of the bucket for their probe.
        for finding in _findings(address, connection.ask(inspect, question, workers=[address]).get(address)):
            fit += finding.level == OK
            yield finding
    if not fit:
        yield CheckResult(FAILED, _WHAT, "no worker could work")


def _findings(address: str, found: object) -> Iterator[CheckResult]:
    if not isinstance(found, Inspection):
        yield CheckResult(WARNING, _WHAT, f"{address}: it did not answer ({type(found).__name__})")
        return
    for problem in found.problems:
        yield CheckResult(
            WARNING, _WHAT, f"{address}: {problem}", "correct it there, then start that worker again"
        )
    for warning in found.warnings:
        yield CheckResult(WARNING, _WHAT, f"{address}: {warning}", "grant s3:GetObject to the workers' role")
    if not found.problems:
        yield CheckResult(OK, _WHAT, f"{address}: credentials from {found.credentials}")
