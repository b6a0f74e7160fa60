"""The small version of `make torture`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.torture.run import torture


@pytest.mark.slow
@pytest.mark.parametrize(("processes", "urls", "kills"), [("1", 900, 10), ("2", 600, 5)])
def test_torture_in_small_ends_with_every_url_accounted_for(
    tmp_path: Path, processes: str, urls: int, kills: int
) -> None:
    figures = torture(tmp_path, seed=1713553344, urls=urls, kills=kills, PROCESSES=processes)
    fifth = kills // 5
    assert figures.kills == {"collect_urls.py": fifth, "migrate.py": kills - 2 * fifth, "validate.py": fifth}
    assert figures.completed > 0.95 * urls
    assert figures.failed["conflict"] > 0
    assert len(figures.struck) > 25
