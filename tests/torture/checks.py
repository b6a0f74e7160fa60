"""What must hold in a torture: after each kill, and at the end of each script."""

from __future__ import annotations

import json

from cdn2s3.state import ledger
from cdn2s3.state.lines import whole_lines
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import Migration, assert_consistent, counts
from tests.torture.plan import Plan


def check_collection(job: Migration, planned: Plan) -> None:
    """Assert that urls.txt is what the API listed, in its order, each URL once, and rejected.txt the rest."""
    assert job.text("urls.txt").splitlines() == planned.urls
    assert [line.split("\t")[0] for line in job.text("rejected.txt").splitlines()] == planned.rejected
    assert json.loads(job.text("checkpoint.json"))["complete"] is True


def check_after_kill(job: Migration, s3: S3Server) -> None:
    """Assert that each record on disk is whole, the only one of its URL, and true of the bucket."""
    seen = set()
    rows = list(
        whole_lines(job.path("completed.txt"))
    )  # before the objects: a worker process may go on a moment
    objects = s3.objects("bucket")
    for line in rows:
        row = ledger.completed(line)
        assert row is not None, line
        assert row.url not in seen, f"{row.url} is completed twice"
        seen.add(row.url)
        held = objects.get(row.key)
        assert held is not None and str(held.size) == row.size, f"{row.url} is not in the bucket"
    for line in whole_lines(job.path("failed_transfers.txt")):
        assert ledger.failed(line) is not None, line


def check_migration(
    job: Migration, source: SourceServer, s3: S3Server, planned: Plan, elsewhere: set[str]
) -> None:
    """Assert that every URL is accounted for, all bytes are right, and nothing that was there has changed."""
    counts(job)
    assert_consistent(job, source, s3)
    causes = job.causes()
    expected = {**planned.causes, **dict.fromkeys(elsewhere, "other_host")}
    differing = {url: (cause, causes.get(url)) for url, cause in expected.items() if causes.get(url) != cause}
    assert differing == {}, differing
    assert causes.keys() == expected.keys(), causes.keys() ^ expected.keys()
    completed = job.completed()
    assert {row.url for row in completed} == set(planned.urls) - planned.causes.keys()
    objects = s3.objects("bucket")
    for key, body in planned.foreign.items():
        assert objects[key].read() == body, f"{key} was overwritten"
        assert s3.store.writes["bucket", key] == 1, f"{key} was written again"
    assert objects.keys() == planned.foreign.keys() | {row.key for row in completed}
    assert s3.store.uploads("bucket") == []


def check_validation(job: Migration, planned: Plan, elsewhere: set[str]) -> None:
    """Assert that the verdict names what is missing and what differs, that and no more."""
    conflicts = {url for url, cause in planned.causes.items() if cause == "conflict"}
    missing = {tuple(line.split("\t")[::2]) for line in job.text("missing.txt").splitlines()}
    causes = {**planned.causes, **dict.fromkeys(elsewhere, "other_host")}
    assert missing == {(url, f"failed:{cause}") for url, cause in causes.items() if url not in conflicts}
    assert {line.split("\t")[0] for line in job.text("mismatched.txt").splitlines()} == conflicts
    assert job.text("unexpected.txt") == ""
    found = json.loads(job.text("validation_report.json"))
    assert found["counts"]["complete"] == len(planned.urls) - len(planned.causes)
    assert set(found["spot_check"]["outcomes"]) == {"identical"}
    assert not list(job.folder.glob("*.tmp"))
