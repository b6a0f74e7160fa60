"""Run the checks on real stores, print them and the table, and write a page of each, results/NAME.md.

    python -m tests.stores.run                       all stores
    python -m tests.stores.run localstack rclone     these
    python -m tests.stores.run --small localstack    a small world, as CI does; writes no page

Installs what a store needs into the cache folder and starts it on this machine's loopback address. A store that this
machine cannot have is skipped, with the reason. Exit code 0: each check came out as declared; 1: one did not; 3: no
store could be run.
"""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.stores import afterwards, bucket, conformance, odd_keys, story
from tests.stores.book import Book
from tests.stores.install import NotHere
from tests.stores.processes import ServerFailed
from tests.stores.results import Result, page, table
from tests.stores.scene import Scene
from tests.stores.servers import STORES
from tests.stores.store import Store
from tests.stores.world import open_source

PAGES = Path(__file__).with_name("results")
_BUCKET = "cdn2s3-stores"
_URLS, _FEW, _FEWEST = 300, 60, 26


def main(argv: Sequence[str] | None = None) -> int:
    arguments = parse(argv)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _interrupt)  # as Ctrl-C: the servers are stopped
    chosen = arguments.store or list(STORES.values())
    results = [run(store, arguments.cache, arguments.small) for store in chosen]
    print("\n" + table(results))
    for result in results:
        for check in result.unexpected:
            print(f"{result.store.name}: {check}")
    return exit_code(results)


def exit_code(results: Sequence[Result]) -> int:
    """Return 0 when all that was run came out as declared, 1 when not, 3 when nothing was run."""
    if all(result.skipped for result in results):
        return 3
    return 1 if any(result.unexpected for result in results) else 0


def run(store: Store, cache: Path, small: bool) -> Result:
    """Install and start one store and check it; a store that cannot be had here is skipped."""
    print(f"\n=== {store.title} ({store.packages})", flush=True)
    began = time.monotonic()
    try:
        store.install((cache / store.name).absolute())
    except NotHere as error:
        print(f"  skipped: {error}")
        return Result(store, skipped=str(error))
    print(f"  installed in {time.monotonic() - began:.0f} s", flush=True)
    result, book = Result(store), Book(store.limits, store.races, _say)
    with tempfile.TemporaryDirectory(prefix=f"cdn2s3-{store.name}-") as name:
        try:
            served = store.serve((cache / store.name).absolute(), _made(Path(name) / "store"))
            with served as endpoint, open_source() as source:
                result.version = endpoint.version
                print(f"  {store.title} {endpoint.version} answers at {endpoint.url}", flush=True)
                scene = Scene(endpoint, source, book, Path(name), _BUCKET)
                bucket.create(scene)
                result.probe = bucket.probe(scene)
                checks(scene, Path(name), small, result)
        except ServerFailed as error:
            book.note("the server starts", str(error))
        except Exception as error:  # of the judge, between two checks: the store no longer does what it did
            book.note("the checks come to their end", f"{type(error).__name__}: {error}")
    result.checks, result.seconds = book.checks, time.monotonic() - began
    if not small:
        PAGES.mkdir(exist_ok=True)
        (PAGES / f"{store.name}.md").write_text(
            page(result, f"make stores STORE={store.name}"), encoding="utf-8"
        )
    return result


def checks(scene: Scene, folder: Path, small: bool, result: Result) -> None:
    """Check a migration and what goes with it, at a store that answers and has the bucket."""
    with conformance.alongside(scene, folder):
        story.tell(scene, _FEW if small else _URLS)
        result.conditions = afterwards.check(scene, _FEWEST if small else _FEW)
        if not small:
            story.combine(scene, _FEW, story.COMBINATIONS[1:])
            odd_keys.check(scene)
            bucket.settings(scene)
        bucket.absent(scene)


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def _say(line: str) -> None:
    print(line, flush=True)


def _interrupt(number: int, frame: object) -> None:
    raise KeyboardInterrupt


def parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m tests.stores.run",
        description="A whole migration and the conformance suite on real S3 stores.",
    )
    parser.add_argument("store", nargs="*", type=store_of, metavar="STORE", help=", ".join(STORES))
    parser.add_argument(
        "--small", action="store_true", help="a small world, without combinations and odd keys"
    )
    parser.add_argument(
        "--cache",
        type=Path,
        default=Path(".venv-stores"),
        help="what is installed stays there (default: .venv-stores)",
    )
    return parser.parse_args(argv)


def store_of(name: str) -> Store:
    """Return the store with a name."""
    if name not in STORES:
        raise argparse.ArgumentTypeError(f"{name!r} is no store here; choose from {', '.join(STORES)}")
    return STORES[name]


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit("stopped; the servers were stopped too")
