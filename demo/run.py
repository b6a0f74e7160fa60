"""Run the whole job on a small local world, with every command shown before it runs.

    make demo                      # or, with the requirements installed: python -m demo.run

Starts an API, a CDN and an S3 on this machine, with known faults planted in them, runs the three scripts
against them as a user would, and compares what they found with what was planted. Everything is written to
demo/out. Exit codes: 0 all found, 1 not, 130 / 143 stopped by a signal.
"""

from __future__ import annotations

import argparse
import json
import os
import shlex
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import boto3

from demo.api import TOKEN
from demo.children import ROOT, Children, ServerError, Stopped, raise_on_signals
from demo.envfiles import BUCKET, CREDENTIALS, PREFIX, STRIP, collection_env, migration_env
from demo.planted import planted, write_planted
from demo.world import NEAREST_REGION, build_world

OUT = ROOT / "demo" / "out"
KEPT = ("PATH", "HOME", "USER", "LANG", "TERM", "COLUMNS", "LINES", "TMPDIR", "TZ", "VIRTUAL_ENV")


class Step(NamedTuple):
    """One of the three scripts."""

    script: str
    env_file: str
    exit_code: int  # the only one that this world may end with
    meaning: str  # of that exit code, here


STEPS = (
    Step(
        "collect_urls.py",
        "collection.env",
        1,
        "finished, and the API gave more URLs of other hosts than the 0.1 % that pass in silence",
    ),
    Step(
        "migrate.py",
        "migration.env",
        1,
        "finished, and some files cannot be had: they are in failed_transfers.txt with their cause",
    ),
    Step(
        "validate.py",
        "migration.env",
        1,
        "finished, and the verdict is `complete_except_known`: every gap has a known, permanent cause",
    ),
)


def main(argv: list[str] | None = None) -> int:
    """Run the demo; return the exit code."""
    parser = argparse.ArgumentParser(description="Collect, migrate and validate a small local world.")
    parser.add_argument(
        "--out", type=Path, default=OUT, help="a new or empty folder (default: demo/out, cleared)"
    )
    out = parser.parse_args(argv).out.resolve()
    if out == OUT:
        shutil.rmtree(out, ignore_errors=True)
    elif out.exists() and any(out.iterdir()):
        parser.error(f"--out: {out} is not empty")
    (out / "servers").mkdir(parents=True)
    _forget_own_settings()
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name may not be printable
    raise_on_signals()
    try:
        with Children(out / "servers") as children:
            return _demo(children, out)
    except ServerError as error:
        print(f"\ndemo: {error}")
        return 1
    except Stopped as stop:
        print(f"\ndemo: stopped by {signal.Signals(stop.number).name}; nothing is left running")
        return 128 + stop.number


def _demo(children: Children, out: Path) -> int:
    """Prepare the world, run the three scripts and the comparison; return the exit code."""
    begun = time.monotonic()
    plan = _start_servers(children, out)
    _show_planted(plan)
    for step in STEPS:
        code = _run_step(children, step, out)
        print(f"\nExit code {code}", end="")
        if code != step.exit_code:
            print(f", but this world must end with {step.exit_code}. Its files are in {_shown(out)}/")
            return 1
        print(f", as expected here:\n{step.meaning}.")

    _title("Compare what was found with what was planted")
    command = ["python", "-m", "demo.check", _shown(out)]
    print(f"$ {shlex.join(command)}\n")
    if children.run([sys.executable, *command[1:]], ROOT) != 0:
        print(f"\ndemo: FAILED, the table says where. The files are in {_shown(out)}/")
        return 1
    _show_end(out, time.monotonic() - begun)
    return 0


def _start_servers(children: Children, out: Path) -> dict[str, Any]:
    """Start CDN, API and S3, make the bucket, write settings and planted.json; return what is planted."""
    _title("Start a local CDN, API and S3")
    logs = out / "servers"
    cdn_url = f"http://127.0.0.1:{children.serve('demo.cdn', '--log', str(logs / 'cdn.log'))}"
    print(f"CDN  {cdn_url}")
    api = children.serve("demo.api", "--cdn-url", cdn_url, "--log", str(logs / "api.log"))
    api_url = f"http://127.0.0.1:{api}/v1/page/lots"
    print(f"API  {api_url}")
    s3_url = f"http://127.0.0.1:{children.serve('demo.s3')}"
    _create_bucket(s3_url)
    print(f"S3   {s3_url} (moto), bucket {BUCKET}")
    plan = planted(build_world(), cdn_url, PREFIX, STRIP)
    write_planted(out / "planted.json", plan)
    (out / "collection.env").write_text(collection_env(api_url, TOKEN, cdn_url), encoding="utf-8")
    (out / "migration.env").write_text(migration_env(cdn_url, s3_url, NEAREST_REGION), encoding="utf-8")
    print(f"Written: {_shown(out)}/collection.env and migration.env, as you would edit them")
    return plan


def _create_bucket(s3_url: str) -> None:
    """Create the bucket, as whoever owns the destination account does beforehand."""
    access_key, secret_key = CREDENTIALS
    client = boto3.client(
        "s3",
        endpoint_url=s3_url,
        region_name=NEAREST_REGION,
        aws_access_key_id=access_key,
        aws_secret_access_key=secret_key,
    )
    client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": NEAREST_REGION})
    client.close()


def _run_step(children: Children, step: Step, out: Path) -> int:
    """Show the command of one script as one would type it, run it so, and return its exit code."""
    _title(step.script)
    script = os.path.relpath(ROOT / step.script, out)
    command = ["python", script, "--env-file", step.env_file]
    print(f"$ cd {shlex.quote(_shown(out))} && {shlex.join(command)}\n")
    return children.run([sys.executable, *command[1:]], out)


def _show_planted(plan: dict[str, Any]) -> None:
    """Print what is wrong with this world, as a table."""
    expected, names = plan["expected"], plan["names"]
    _title("What is planted")
    rows = [
        (expected["items"], "lots from the API, in pages of 50, one page shorter"),
        (expected["duplicates"], "URLs that the API gives twice"),
        (expected["rejected"], "URLs of other hosts"),
        (1, "API error (500)"),
        (1, "throttled page (429 with Retry-After: 1)"),
        (expected["urls"], "URLs to migrate, in 40 auctions; among them"),
        *((len(fault["urls"]), fault["shown"]) for fault in plan["faults"].values()),
        (len(names["same_name"]), "files of one name in as many folders"),
        (len(names["encoded"]), "names with spaces and Unicode, percent-encoded"),
        (len(names["raw"]), "names with spaces and Unicode, raw"),
        (len(names["mislabelled"]), "WebP files that the CDN calls image/jpeg"),
        (len(names["over_10_mb"]), "image over 10 MB"),
    ]
    for count, what in rows:
        print(f"{count:7,}  {what}")


def _show_end(out: Path, seconds: float) -> None:
    """Print the verdict and where the results lie."""
    report = json.loads((out / "validation_report.json").read_text(encoding="utf-8"))
    _title("Verdict")
    print(f"{report['verdict']}: everything planted was found and named, in {seconds:.0f} s.")
    print(f"The results lie in {_shown(out)}/:")
    for path in sorted(out.iterdir()):
        if path.is_file() and path.suffix != ".lock":
            print(f"  {path.name:26} {path.stat().st_size:>9,} bytes")


def _forget_own_settings() -> None:
    """Drop what would act on the scripts from outside: settings, AWS profiles and proxies."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if name in KEPT or name.startswith(("LC_", "PYTHON"))
    }
    os.environ.clear()
    os.environ.update(kept, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)
    os.environ["AWS_EC2_METADATA_DISABLED"] = "true"


def _shown(path: Path) -> str:
    """Return a path as one would type it in the project's folder."""
    return str(path.relative_to(ROOT)) if path.is_relative_to(ROOT) else str(path)


def _title(text: str) -> None:
    """Print a heading."""
    print(f"\n=== {text} {'=' * (74 - len(text))}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
