"""Whether this Python has what DASK_SCHEDULER needs: asked before anything is contacted, without importing it."""

from __future__ import annotations

import importlib.util
import shlex
import sys

from cdn2s3.errors import UsageError

_OLDEST = (3, 10)


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
