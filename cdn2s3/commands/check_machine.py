"""The checks of `migrate.py --check` on this machine: versions, open files, disk, the list of URLs.

A check takes the CheckContext and returns CheckResults; it does not raise for a problem that it finds. check.py has the
list of all checks.
"""

from __future__ import annotations

import os
import platform
import resource
import shutil

from cdn2s3.bootstrap import open_files_needed
from cdn2s3.commands.check_context import FAILED, INPUT, OK, WARNING, CheckContext, CheckResult
from cdn2s3.console.rerun_hint import command
from cdn2s3.errors import FatalError, UsageError
from cdn2s3.reports import migration_report
from cdn2s3.text import bytes_text, pluralize

BYTES_A_URL = 500  # of state files: a line of completed.txt, its copy while files are replaced, the log


def check_versions(context: CheckContext) -> list[CheckResult]:
    found = migration_report.versions()
    libraries = ", ".join(f"{name} {found[name]}" for name in ("boto3", "botocore", "urllib3", "requests"))
    return [CheckResult(OK, "versions", f"Python {platform.python_version()}, {libraries}")]


def check_open_files(context: CheckContext) -> list[CheckResult]:
    needed = open_files_needed(context.settings.concurrency)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        remedy = f"ulimit -n {needed}   (root raises the hard limit), or lower CONCURRENCY"
        return [CheckResult(FAILED, "open files", f"{needed} needed, {hard} allowed", remedy)]
    raised = (
        "" if soft == resource.RLIM_INFINITY or soft >= needed else f" (raised from {soft} automatically)"
    )
    return [CheckResult(OK, "open files", f"{needed} needed and allowed{raised}")]


def check_disk(context: CheckContext) -> list[CheckResult]:
    folder = context.settings.state_dir
    try:
        needed = context.pending * BYTES_A_URL
    except UsageError:
        needed = 4_000_000 * BYTES_A_URL
    if not os.access(folder, os.W_OK | os.X_OK):
        return [CheckResult(FAILED, "disk", f"{folder.resolve()} is not writable", f"chmod u+rwx {folder}")]
    free = shutil.disk_usage(folder).free
    said = f"{bytes_text(free)} free in {folder.resolve()}, about {bytes_text(needed)} needed"
    if free < needed:
        return [CheckResult(FAILED, "disk", said, "make room, or set STATE_DIR to a larger disk")]
    if free < 3 * needed:
        return [CheckResult(WARNING, "disk", said, "watch it (df -h .), or set STATE_DIR to a larger disk")]
    return [CheckResult(OK, "disk", said)]


def check_input(context: CheckContext) -> list[CheckResult]:
    try:
        lines, pending = context.lines, context.pending
    except FatalError as error:
        return [CheckResult(WARNING, INPUT, str(error), command("collect_urls.py"))]
    if not lines:
        said = f"{context.settings.source_urls_file} contains no URL"
        return [CheckResult(WARNING, INPUT, said, command("collect_urls.py"))]
    return [CheckResult(OK, INPUT, f"{pluralize(lines, 'URL')}, about {pending:,} pending")]
