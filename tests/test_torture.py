"""The small version of `make torture`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import torture


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_torture_in_small_ends_with_every_url_accounted_for(tmp_path: Path, processes: str) -> None:
    figures = torture(tmp_path, seed=1713553344, urls=1200, kills=3, PROCESSES=processes)
    assert figures.completed > 1100
    assert len(figures.struck) > 30
