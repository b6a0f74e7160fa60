"""The small version of `make torture`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture import torture


@pytest.mark.slow
@pytest.mark.parametrize("processes", ["1", "2"])
def test_torture_in_small_ends_with_every_url_accounted_for(tmp_path: Path, processes: str) -> None:
    figures = torture(tmp_path, seed=1713553344, urls=1100, kills=10, PROCESSES=processes)
    assert figures.kills == {"collect_urls.py": 2, "migrate.py": 6, "validate.py": 2}
    assert figures.completed > 1050
    assert figures.failed["conflict"] > 0
    assert len(figures.struck) > 30
