"""`migrate.py --check`: check everything that a migration needs, and print how to fix each problem."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import Callable

from cdn2s3.commands import (
    check_bucket,
    check_cdn,
    check_cluster,
    check_context,
    check_folder,
    check_machine,
    check_network,
    check_s3,
)
from cdn2s3.commands.check_context import CheckResult
from cdn2s3.console.logging_setup import show
from cdn2s3.console.signals import Signals
from cdn2s3.errors import EXIT_CANNOT_GO_ON, EXIT_DONE, EXIT_SOME_FAILED
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.placement import Placement

HERE = (
    check_machine.check_versions,
    check_machine.check_open_files,
    check_machine.check_input,
    check_machine.check_disk,
    check_network.check_proxies,
)
OF_THE_BUCKET = (
    check_s3.check_credentials,
    check_s3.check_address,
    check_s3.check_clock,
    check_s3.check_bucket,
    check_bucket.check_permissions,
    check_bucket.check_capabilities,
    check_bucket.check_acl,
)
OF_THE_FOLDER = (
    check_folder.check_folder,
    check_folder.check_free_space,
)
_EXIT_CODES = {
    check_context.OK: EXIT_DONE,
    check_context.WARNING: EXIT_SOME_FAILED,
    check_context.FAILED: EXIT_CANNOT_GO_ON,
}


def add_arguments(parser: argparse._ActionsContainer) -> None:
    parser.add_argument("--check", action="store_true", help="check credentials, bucket, network and disk")


def checks(placement: Placement) -> list[Callable[[check_context.CheckContext], list[CheckResult]]]:
    """Return the checks of what a run uses, in their order."""
    return [
        *HERE,
        *(OF_THE_BUCKET if placement.uses_bucket else ()),
        *(OF_THE_FOLDER if placement.uses_folder else ()),
        check_cdn.check_source,
        *((check_cdn.check_edge, check_cluster.check_cluster) if placement.uses_bucket else ()),
    ]


def run(settings: MigrationSettings, arguments: argparse.Namespace, signals: Signals) -> int:
    """Print the result of each check; return the exit code."""
    findings = []
    with closing(check_context.CheckContext(settings)) as context:
        for check in checks(settings.placement):
            for finding in check(context):
                findings.append(finding)
                show(check_context.text(finding))
    worst = check_context.worst(findings)
    show(f"\nnext: {check_context.next_step(findings)}")
    return _EXIT_CODES[worst]
