"""Part 1 of the demo: a small migration in which nothing stays wrong.

Somebody deletes three objects behind the tool's back. validate.py finds them and prints the command that brings them
back; that command is run as printed, and the last validation ends with exit code 0 and `complete`.
"""

from __future__ import annotations

import json
from pathlib import Path

from demo.children import Children
from demo.envfiles import PREFIX, STRIP
from demo.planted import planted
from demo.stage import Stage, UnexpectedEndError, build, title
from demo.world import build_small_world

BUCKET = "demo-small"
DELETED = 3


def play(children: Children, folder: Path, s3_url: str) -> None:
    """Run part 1 in folder, new and empty but for `servers`. Raises UnexpectedEndError."""
    title("Part 1 of 2: a small migration that succeeds")
    world = build_small_world()
    stage = build(children, folder, world, BUCKET, s3_url)
    print(
        f"{len(world.images)} images. One is cut short once, two get a 503 once: retries must download them."
    )
    for command in ("python collect_urls.py", "python migrate.py"):
        stage.step(command, 0, "all done, nothing wrong")
    _delete_some(stage, planted(world, stage.cdn_url, PREFIX, STRIP)["objects"])
    stage.step(
        "python validate.py",
        1,
        "finished, but objects that somebody deleted are missing from the bucket",
    )
    repair = _report(stage)["next"][0]
    print("\nThe line that begins with `next:` is the repair. The demo runs it exactly as printed.")
    stage.step(repair, 0, "all done, nothing wrong")
    stage.step("python validate.py", 0, "all done, nothing wrong")
    verdict = _report(stage)["verdict"]
    if verdict != "complete":
        raise UnexpectedEndError(f"the verdict is {verdict}, but this world must end with complete")
    print("\nThat is how a migration should end: exit code 0, verdict `complete`.")


def _delete_some(stage: Stage, objects: dict[str, dict[str, str]]) -> None:
    """Delete the objects of the first URLs, as a person with access to the bucket might."""
    title("Somebody deletes three objects from the bucket")
    for expected in list(objects.values())[:DELETED]:
        stage.s3.delete_object(Bucket=stage.bucket, Key=expected["key"])
        print(f"deleted: s3://{stage.bucket}/{expected['key']}")


def _report(stage: Stage) -> dict[str, list[str]]:
    contents: dict[str, list[str]] = json.loads((stage.folder / "validation_report.json").read_text("utf-8"))
    return contents
