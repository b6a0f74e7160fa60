"""The conformance suite (tests/destinations) on a bucket of the store, each case a check."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from defusedxml import ElementTree

from tests import ROOT
from tests.stores.processes import environment_with
from tests.stores.scene import Scene

_PARAMETER = "real bucket"
_PATIENCE = 900.0  # seconds for the whole suite, after the migration beside it
_ONLY_IT = "real and bucket"


class Case(NamedTuple):
    """A test that has run."""

    name: str
    reason: str  # why it failed; "" where it passed


@contextmanager
def alongside(scene: Scene, folder: Path) -> Iterator[None]:
    """Run the suite while the block runs, under prefixes of its own; note each of its cases after that."""
    results, said = folder / "conformance.xml", folder / "conformance.log"
    command = [
        sys.executable, "-m", "pytest", "tests/destinations", "-k", _ONLY_IT, "-p", "no:cacheprovider",
        "--override-ini=addopts=", "-q", f"--junitxml={results}",
    ]  # fmt: skip
    with said.open("wb") as log, _ending(subprocess.Popen(
        command, cwd=ROOT, env=_environment(scene), stdin=subprocess.DEVNULL, stdout=log, stderr=log
    )) as suite:  # fmt: skip
        yield
        with scene.book.check("conformance: the suite comes to its end"):
            suite.wait(_PATIENCE)
    found: list[Case] = []
    with scene.book.check("conformance: the suite runs"):
        found += _cases(results)
        assert found, said.read_text(encoding="utf-8", errors="replace")[-500:]
    reasons: dict[str, list[str]] = {}  # a case that fails, and then in its teardown too, is there twice
    for case in found:
        reasons.setdefault(case.name, []).append(case.reason)
    for name, whys in reasons.items():
        scene.book.note(f"conformance: {name}", "; ".join(filter(None, whys)))


@contextmanager
def _ending(process: subprocess.Popen[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Kill process at the end, if it has not ended."""
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def _environment(scene: Scene) -> dict[str, str]:
    return environment_with(
        {
            "CONFORMANCE_BUCKET": scene.bucket,
            "AWS_ENDPOINT_URL": scene.endpoint.url,
            "AWS_REGION": scene.endpoint.region,
            "AWS_DEFAULT_REGION": scene.endpoint.region,
            "AWS_ACCESS_KEY_ID": scene.endpoint.access_key,
            "AWS_SECRET_ACCESS_KEY": scene.endpoint.secret_key,
            "AWS_REQUEST_CHECKSUM_CALCULATION": "when_required",  # of the suite's own look behind our back
            "AWS_RESPONSE_CHECKSUM_VALIDATION": "when_required",
        }
    )


def _cases(results: Path) -> Iterator[Case]:
    for case in ElementTree.parse(results).iter("testcase"):
        name, _, parameters = case.attrib["name"].removeprefix("test_").partition("[")
        rest = parameters.rstrip("]").replace(_PARAMETER, "").strip("-")
        wrong = [
            part.attrib.get("message", "failed")
            for part in case
            if part.tag in ("failure", "error", "skipped")
        ]
        yield Case(name.replace("_", " ") + (f" ({rest})" if rest else ""), "; ".join(wrong))
