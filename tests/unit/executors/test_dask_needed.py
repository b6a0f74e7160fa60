"""What DASK_SCHEDULER needs of this Python is said before anything else."""

from __future__ import annotations

import importlib.util

import pytest

from cdn2s3.errors import UsageError
from cdn2s3.executors.dask_needed import require_dask


def test_older_python_is_told_which_one_is_needed() -> None:
    with pytest.raises(
        UsageError, match=r"DASK_SCHEDULER needs Python 3\.10 or newer, but .* is Python 3\.9\.18"
    ):
        require_dask((3, 9, 18))


def test_missing_dask_is_told_with_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"-m pip install -r requirements-dask\.txt"):
        require_dask((3, 12, 0))


def test_dask_that_is_there_is_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: name)
    require_dask((3, 12, 0))
