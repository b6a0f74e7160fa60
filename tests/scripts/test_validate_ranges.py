"""validate.py lists a long bucket in ranges of keys: what is planted at their bounds is found, and nothing else."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.settings.declarations import MigrationSettings, key_maker
from cdn2s3.settings.env_file import read_env_file
from cdn2s3.settings.loading import build
from cdn2s3.state import run_binding
from cdn2s3.validation.dividers import FEWEST_KEYS, dividers
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.scripts.test_validate import LISTING, Job, key, md5, source, wait_for  # noqa: F401  # fixtures
from tests.tiers import slow
from tests.unit.validation.test_dividers import survey_of_file

PARTS = 3
BODY = b"an image"
Servers = Callable[..., S3Server]


class Long:
    """A state of 6,000 completed URLs, the bucket that goes with it, and where validate.py divides it."""

    def __init__(self, folder: Path, source: SourceServer, server: S3Server) -> None:  # noqa: F811
        self.job, self.server = Job(folder, source, server.url), server
        env_file = folder / "migration.env"
        with pytest.MonkeyPatch.context() as here:
            here.chdir(folder)
            settings = build(MigrationSettings, read_env_file(env_file), {}, env_file)
            run_binding.bind(settings)
        maker, digest = key_maker(settings), md5(BODY)
        numbers = range(PARTS * FEWEST_KEYS)
        urls = [f"{source.url_prefix}{number:05d}{'%C3%BC' * (number % 3)}.jpg" for number in numbers]
        self.keys = [maker.known(url.encode())[0].decode() for url in urls]
        rest = f"{len(BODY)}\t{digest}\t{digest}\timage/jpeg\t2026-01-01T00:00:00Z\n"
        rows = (f"{url}\t{name}\t{rest}" for url, name in zip(urls, self.keys))
        (folder / "completed.txt").write_text("".join(rows), encoding="utf-8")
        (folder / "urls.txt").write_text("".join(f"{url}\n" for url in urls), encoding="utf-8")
        for name in self.keys:
            server.put("bucket", name, BODY)
        self.dividers = dividers(survey_of_file(folder / "urls.txt"), maker)

    def validate(self) -> tuple[int, dict[str, Any]]:
        code, _, _ = self.job.validate("--spot-check", "0")
        report: dict[str, Any] = json.loads((self.job.folder / "validation_report.json").read_text())
        return code, report


@pytest.fixture
def make(tmp_path: Path, source: SourceServer, s3_server: Servers) -> Callable[..., Long]:  # noqa: F811
    return lambda **settings: Long(tmp_path, source, s3_server(**settings))


@pytest.mark.parametrize("start_after", ["honored", slow("ignored"), slow("refused")])
def test_faults_at_the_bounds_of_ranges_are_found_and_nothing_else(
    make: Callable[..., Long], start_after: str
) -> None:
    world = make(start_after=start_after)
    keys, server = world.keys, world.server
    ordered = sorted(keys, key=str.encode)
    missing, differing, extra = (
        set(),
        set(),
        {key("!first"), key("~last"), key("zz/\U0001d11e"), key("zz/\ufffd")},
    )
    for divider in world.dividers:
        place = ordered.index(divider)
        missing |= {divider, ordered[place + 2]}
        differing |= {ordered[place + 1], ordered[place - 1]}
        extra |= {f"{divider}a", f"{ordered[place + 1]}+ b"}
    for name in missing:
        server.store.delete("bucket", name)
    for name in differing:
        server.put("bucket", name, b"other bytes")
    for name in extra:
        server.put("bucket", name, b"unexpected")
    code, report = world.validate()
    assert code == 1
    assert report["counts"]["listed"] == len(keys) - len(missing) + len(extra)
    assert {row[1] for row in world.job.rows("missing.txt")} == missing
    assert {row[1] for row in world.job.rows("mismatched.txt")} == differing
    lines = (world.job.folder / "unexpected.txt").read_text(encoding="utf-8").splitlines()
    assert [line.split("\t")[0] for line in lines] == sorted(extra, key=str.encode)
    notes = [note for note in report["destination_notes"] if "ranges of keys" in note]
    assert len(notes) == (start_after != "honored")


@pytest.mark.slow
def test_whole_bucket_is_complete_while_the_store_throttles(make: Callable[..., Long]) -> None:
    world = make()
    world.job.write_settings(MAX_RETRIES="3")
    world.server.rules.add(Rule("SlowDown", operation=LISTING, count=5))
    code, report = world.validate()
    assert (code, report["verdict"], report["counts"]["listed"]) == (0, "complete", len(world.keys))
    assert world.server.rules.struck["SlowDown"] == 5


def test_interrupted_listing_ends_at_once(make: Callable[..., Long]) -> None:
    world = make()
    world.job.write_settings(UPLOAD_TIMEOUT="60")
    world.server.rules.add(Rule("slow_answer", operation=LISTING, seconds=60))
    with world.job.start("python validate.py --spot-check 0") as process:
        wait_for(lambda: world.server.rules.struck["slow_answer"] >= PARTS)
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
        assert process.wait() == 130
    assert not (world.job.folder / "missing.txt").exists()
