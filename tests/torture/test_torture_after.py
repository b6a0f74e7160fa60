"""The small version of the second act of `make torture`: what comes after the move."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.tiers import slow
from tests.torture.after import life


@pytest.mark.parametrize(
    ("seed", "steps", "settings"),
    [(4, 5, {}), *(slow(seed, 15, {}) for seed in (3, 7)), slow(8, 8, {"PROCESSES": 2})],
)
def test_life_after_the_move_goes_as_the_model_foretells(
    tmp_path: Path, seed: int, steps: int, settings: dict[str, object]
) -> None:
    figures = life(tmp_path, seed=seed, steps=steps, urls=24, **settings)
    assert figures.steps["delta"] > 0
    assert figures.renewed + figures.undone + figures.kills > 0
