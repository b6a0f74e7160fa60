"""docs/scale.md and docs/cluster.md: their tables are what the arithmetic says, and the steps for shards work."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from moto.ec2.models.instance_types import INSTANCE_TYPES

from cdn2s3.planning.cost_estimate import ASSUMED_BYTES, Prices
from tests import ROOT
from tests.docs.commands import blocks
from tests.running import environment
from tests.scripts.conftest import new_world
from tests.scripts.world import NewWorld

__all__ = ["new_world"]

SCALE, CLUSTER = ROOT / "docs" / "scale.md", ROOT / "docs" / "cluster.md"
MILLIONS = (4, 40, 400)


def rows(document: Path, beginning: str) -> list[list[str]]:
    """Return the cells of the rows of a document's tables whose first cell begins so."""
    lines = [line for line in document.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return [row for row in cells if row[0].startswith(beginning)]


def gateway(gbits: float, cores: int) -> float:
    """Return the Gbit/s that AWS lets through an internet gateway."""
    return min(gbits, 5.0) if cores < 32 else max(gbits / 2, min(gbits, 5.0))


def hours(amount: float) -> str:
    return f"{amount:.0f} h" if amount >= 10 else f"{amount:.1f} h"


MACHINES = [row for row in rows(SCALE, "c") if "xlarge" in row[0]]


@pytest.mark.parametrize("row", MACHINES, ids=lambda row: row[0])
def test_machine_carries_what_the_table_says(row: list[str]) -> None:
    name, cores, gbits, through, rate, *moves, price = row
    described = INSTANCE_TYPES[name]
    assert int(cores) == described["VCpuInfo"]["DefaultVCpus"]
    assert float(gbits) == sum(
        card["BaselineBandwidthInGbps"] for card in described["NetworkInfo"]["NetworkCards"]
    )
    carried = gateway(float(gbits), int(cores))
    assert float(through) == carried
    a_second = carried * 1e9 / 8 / ASSUMED_BYTES
    assert rate == f"{a_second:,.0f}"
    takes = [millions * 1e6 / a_second / 3600 for millions in MILLIONS]
    assert moves == [f"{hours(each)}, ${each * float(price):.2f}" for each in takes]


def test_table_has_the_machines_that_people_ask_for_at_known_prices() -> None:
    prices = {row[0]: float(row[-1]) for row in MACHINES}
    assert {"c5.2xlarge", "c6in.8xlarge"} < set(prices)
    assert any(int(row[1]) >= 32 for row in MACHINES)
    assert prices["c5.2xlarge"] == Prices().ec2_hour
    assert prices["c5.9xlarge"] == pytest.approx(Prices().ec2_hour * 36 / 8)


def test_puts_cost_what_the_estimate_says() -> None:
    (row,) = rows(SCALE, "the PUT requests")
    assert row[5:8] == [f"${millions * 1000 * Prices().put_per_thousand:,.0f}" for millions in MILLIONS]


@pytest.mark.slow
def test_steps_for_shards_move_every_image(new_world: NewWorld) -> None:
    world = new_world(40)
    first, each, last = blocks(SCALE, "sh")
    folder = world.job.folder
    settings = {**world.job.settings, "CONCURRENCY": 4}
    (folder / "migration.env").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    for script in ("migrate.py", "validate.py"):
        (folder / script).symlink_to(ROOT / script)
    path = {"PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}

    def run(steps: str) -> str:
        ran = subprocess.run(
            ["bash", "-ec", steps],
            cwd=folder,
            env={**environment(folder), **path},
            capture_output=True,
            text=True,
        )
        assert ran.returncode == 0, (steps, ran.stdout, ran.stderr)
        return ran.stdout

    run(first)
    assert sorted(path.name for path in folder.glob("shard-*")) == ["shard-00", "shard-01"]
    for number in ("00", "01"):
        run(each.replace("shard-00", f"shard-{number}"))
        lines = (folder / f"shard-{number}" / "completed.txt").read_text().count("\n")
        assert lines == (folder / f"shard-{number}" / "urls.txt").read_text().count("\n") > 0
    assert "complete" in run(last)
    world.assert_all_moved()
    assert world.writes() == {1}
    assert len(world.job.completed()) == 40


def test_cluster_takes_what_its_machines_take_together() -> None:
    machines = {row[0]: row for row in MACHINES}
    (header,) = rows(CLUSTER, "images")
    found = rows(CLUSTER, "4 M") + rows(CLUSTER, "40 M") + rows(CLUSTER, "400 M")
    assert len(found) == len(MILLIONS)
    for millions, row in zip(MILLIONS, found):
        for title, cell in zip(header[1:], row[1:]):
            number, _, name = title.rpartition(" x ") if " x " in title else ("1", "", title.split()[1])
            rate = float(machines[name][3]) * 1e9 / 8 / ASSUMED_BYTES
            takes = millions * 1e6 / rate / 3600
            cost = takes * float(machines[name][-1])
            assert cell == f"{hours(takes / int(number))}, ${cost:.2f}", (millions, title)
