"""Play the cutover on local servers: the site changes, a delta catches up, a new CDN takes over, something is undone.

    make demo-cutover              # or, with requirements-dev.txt installed: python -m demo.cutover

The second act of `make demo`, by itself: a small migration that ends well, and all that docs/cutover.md does after it.
What was found is compared with what was planted. Exit codes: 0 as it must be, 1 not, 130 / 143 stopped by a signal.
"""

from __future__ import annotations

import hashlib
import http.client
import json
import shutil
import sys
import time
from email.utils import formatdate
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

from demo.api import ApiServer
from demo.cdn import CdnServer
from demo.changing_site import WRONG_TYPE, Site, build_site, expected, objects_before
from demo.children import ROOT, Children
from demo.driver import drive
from demo.new_cdn import FUNCTION, NewCdn
from demo.planted import write_planted
from demo.stage import Stage, client, set_up, shown, title

BUCKET = "demo-cutover"
DONE = "all done, nothing wrong"


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    return drive(_demo, "Play a cutover on this machine.", "out-cutover", argv)


def _demo(children: Children, out: Path) -> int:
    """Start the servers, play the acts and compare; return the exit code."""
    begun = time.monotonic()
    site = build_site()
    s3_url = f"http://127.0.0.1:{children.serve('demo.s3')}"
    logs = out / "servers"
    # The sites' servers are threads of this process: that is how they can change while the demo runs.
    with (
        CdnServer(site.before, log=logs / "cdn.log") as cdn,
        ApiServer(site.before, cdn.url, log=logs / "api.log") as api,
    ):
        title("A small site, and a bucket")
        stage = Stage(children, out, cdn.url, BUCKET, client(s3_url))
        set_up(stage, api.endpoint("page"), len(site.before.images), s3_url)
        with NewCdn(stage.s3, BUCKET, logs / "new_cdn.log") as new_cdn:
            print(f"NEW  {new_cdn.base}, the CDN in front of the bucket")
            print(
                "moto ignores If-Match where it completes an upload in parts, of which each delta here warns."
            )
            plan = expected(site, cdn.url, new_cdn.base)
            write_planted(out / "planted.json", plan)
            _move(stage, site)
            _change(cdn, api, site)
            _catch_up(stage)
            _look_through(stage, new_cdn, plan)
            _take_back(stage, plan)
    return _compared(children, out, time.monotonic() - begun)


def _move(stage: Stage, site: Site) -> None:
    """Move the site as it is on the first day, into a bucket in which somebody has put three of its images before."""
    for key, (body, media_type) in objects_before(site).items():
        stage.s3.put_object(Bucket=stage.bucket, Key=key, Body=body, ContentType=media_type)
        print(f"Somebody has put there before: s3://{stage.bucket}/{key}")
    for command in ("python collect_urls.py", "python migrate.py", "python validate.py"):
        stage.step(command, 0, DONE)


def _change(cdn: CdnServer, api: ApiServer, site: Site) -> None:
    """Let the site go on, from now on."""
    title("The site goes on")
    cdn.world = api.world = site.changed_at(formatdate(time.time(), usegmt=True))
    print(
        f"{len(site.replaced)} images replaced at the source; one of them somebody else had put into the bucket."
    )
    print(
        f"{len(site.added)} new images. A lot was withdrawn: the API lists its {len(site.gone)} images no longer."
    )


def _catch_up(stage: Stage) -> None:
    """Catch up until a delta finds nothing more to do."""
    stage.step("python collect_urls.py --update", 1, "URLs are newly gone; gone.txt names them")
    stage.step(
        "python migrate.py --delta --plan",
        1,
        "it only looked. One change would stay open, as the next step shows",
    )
    stage.step(
        "python migrate.py --delta",
        1,
        "caught up. One object is not the tool's, so it stays; changes.txt names it",
    )
    title("Freeze: from here on, nobody changes an image. The last delta")
    stage.step("python collect_urls.py --update", 0, "nothing new, nothing newly gone")
    stage.step("python migrate.py --delta", 0, "nothing left to renew; what was named before is open no more")
    stage.step("python validate.py", 0, "the bucket has all of the list")


def _look_through(stage: Stage, new_cdn: NewCdn, plan: dict[str, Any]) -> None:
    """Write the map, and look through the new CDN before and after it is mended."""
    out, base = stage.folder, new_cdn.base
    stage.step(
        f"python validate.py --url-map {base}", 0, "the rule is on the screen, the exceptions in a file"
    )
    title("Planted in the new CDN")
    print(
        f"A function of it decodes %2B: {len(plan['plus'])} images have a + in their names, and S3 reads + as a blank."
    )
    print(f"A policy makes the type of {len(plan['wrong_type'])} WebP images {WRONG_TYPE}.")
    stage.step(f"python validate.py --through {base}", 1, "`not ready`: visitors would have met all of this")
    shutil.copyfile(out / "through.txt", out / "through.first.txt")
    raw = [base + quote(plan["objects"][url]["key"], safe="/+") for url in plan["plus"]]
    before = [_get(url)[0] for url in raw]
    title("Somebody mends the new CDN")
    new_cdn.mend()
    print(f"The policy is gone, and the function is now the one of docs/cutover.md:\n  {FUNCTION}")
    stage.step(f"python validate.py --through {base}", 0, "`ready`")
    title("Switch over by shares")
    for share in (10, 50, 100):
        moved = sum(percent < share for percent in plan["percent"].values())
        print(
            f"PERCENT={share:<3}  {moved:3} of {len(plan['percent'])} images from the new CDN, the rest from the old"
        )
    print("Each share is within the next: the column `percent` of url_map.csv. Back again: PERCENT=0.")
    fetched = {
        "raw_plus_before": before,
        "raw_plus_after": [_get(url)[0] for url in raw],
        "after": {url: hashlib.md5(_get(url)[1]).hexdigest() for url in plan["new_urls"].values()},
    }
    (out / "fetched.json").write_text(json.dumps(fetched, indent=1), encoding="utf-8")


def _take_back(stage: Stage, plan: dict[str, Any]) -> None:
    """Undo the images of the withdrawn lot, take them off the list, and validate."""
    out = stage.folder
    stage.step("python migrate.py --undo gone.txt", 0, "it says what it would do, and does nothing")
    stage.step(
        "python migrate.py --undo gone.txt --yes",
        1,
        "one is removed; the other was there before the move, so it stays",
    )
    title("Take them off the list, so that no run moves them again")
    command = "cut -f1 gone.txt | grep -vxFf - urls.txt > urls.new; mv urls.new urls.txt"
    print(f"$ cd {shown(out)} && {command}")
    stage.children.run(["sh", "-c", command], out)
    stage.step("python validate.py", 0, DONE)
    objects = {}
    for page in stage.s3.get_paginator("list_objects_v2").paginate(Bucket=stage.bucket):
        for told in page.get("Contents", []):
            body = stage.s3.get_object(Bucket=stage.bucket, Key=told["Key"])["Body"].read()
            objects[told["Key"]] = hashlib.md5(body).hexdigest()
    (out / "bucket.json").write_text(json.dumps(objects, indent=1), encoding="utf-8")


def _get(url: str) -> tuple[int, bytes]:
    """Return status and body of one GET, its path sent as it is."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        connection.request("GET", parts.path)
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def _compared(children: Children, out: Path, seconds: float) -> int:
    """Compare what was found with what was planted, and say what to look at; return the exit code."""
    title("Compare what was found with what was planted")
    print(f"$ python -m demo.check_cutover {shown(out)}\n")
    if children.run([sys.executable, "-m", "demo.check_cutover", str(out)], ROOT) != 0:
        print(f"\ndemo: FAILED; the table shows where. The files are in {shown(out)}/")
        return 1
    title("What to look at")
    print(f"Everything planted was found. The demo took {seconds:.0f} s. In {shown(out)}/:")
    for name, what in LOOK_AT:
        print(f"  {name:24} {what}")
    print("\nAnd these pages in a browser:")
    for name in ("certificate.html", "migration_report.html", "validation_report.html"):
        print(f"  {(out / name).as_uri()}")
    print("\nEach step, for a real site: docs/cutover.md")
    return 0


LOOK_AT = (
    ("runs.txt", "each run, with its exit code and what it stored and renewed"),
    ("changes.txt.bak", "what the delta renewed, and what it left alone because others had put it there"),
    ("gone.txt", "what the API lists no longer"),
    ("url_map_exceptions.csv", "the new URLs that do not follow the rule"),
    ("through.first.txt", "what was wrong with the new CDN; through.txt: what is left of that"),
    ("undone.txt", "what was taken back"),
    ("completed.txt", "in the eighth field of each image how its object came there, in the fifth its MD5"),
)


if __name__ == "__main__":
    raise SystemExit(main())
