"""What a run is expected to take, noted in the journal at its start: the report compares it with what it took."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from cdn2s3.errors import UsageError
from cdn2s3.file_names import PRICES_FILE
from cdn2s3.planning import cost_estimate
from cdn2s3.planning.run_plan import RunPlan
from cdn2s3.settings.declarations import MigrationSettings

log = logging.getLogger(__name__)


def forecast(settings: MigrationSettings, plan: RunPlan) -> dict[str, Any]:
    """Return files, bytes, seconds, dollars (null for a folder) and what they rest on; nothing is contacted."""
    stored = plan.stored
    if stored.images:
        size = cost_estimate.Sizes(stored.size / stored.images, f"mean of {stored.images:,} stored before")
    else:
        size = cost_estimate.Sizes(cost_estimate.ASSUMED_BYTES, "assumed")
    speed = cost_estimate.rate(settings, size.mean)
    found = cost_estimate.estimate(plan.todo, size.mean, speed.files_per_second, prices(settings))
    return {
        "files": plan.todo,
        "bytes": round(found.size),
        "seconds": round(found.seconds),
        "dollars": None if settings.destination == "local" else round(found.once, 4),
        "rate": speed.source,
        "size": size.source,
    }


def spent(settings: MigrationSettings, files: int, seconds: float) -> float | None:
    """Return the dollars for storing so many files in so long, None for a folder."""
    if settings.destination == "local":
        return None
    table = prices(settings)
    return round(files / 1000 * table.put_per_thousand + seconds / 3600 * table.ec2_hour, 4)


def prices(settings: MigrationSettings) -> cost_estimate.Prices:
    """Return the prices; a prices.json that is wrong stops --plan, but not a run, which moves images."""
    try:
        return cost_estimate.prices(Path(PRICES_FILE), settings.storage_class)
    except UsageError as error:
        log.warning("the report uses the usual prices: %s", error)
        return cost_estimate.Prices()
