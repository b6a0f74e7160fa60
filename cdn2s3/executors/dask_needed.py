"""Whether this Python has what DASK_SCHEDULER needs: asked before anything is contacted, without importing it."""

from __future__ import annotations

import importlib.util
import logging
import shlex
import sys

from cdn2s3.errors import UsageError

log = logging.getLogger(__name__)

_OLDEST = (3, 10)


def consider(is_used: bool, works_here: bool) -> None:
    """Raise UsageError where a command uses the cluster and Dask is missing; say where one works on this machine."""
    if is_used:
        require_dask()
    elif works_here:
        log.info("DASK_SCHEDULER is for the transfers of a run: this command works on this machine alone")


def require_dask(version: tuple[int, ...] = sys.version_info[:3]) -> None:
    """Raise UsageError where DASK_SCHEDULER cannot be used with this Python."""
    if version[:2] < _OLDEST:
        needed, found = (".".join(map(str, numbers)) for numbers in (_OLDEST, version))
        raise UsageError(
            f"DASK_SCHEDULER needs Python {needed} or newer, but {sys.executable} is Python {found}. Make the virtual "
            "environment with a newer one on each machine, or remove DASK_SCHEDULER."
        )
    if importlib.util.find_spec("distributed") is None:
        python = shlex.quote(sys.executable)
        raise UsageError(
            f"DASK_SCHEDULER needs Dask, which {sys.executable} does not have. First run, on each machine: {python} -m "
            "pip install -r requirements-dask.txt"
        )
