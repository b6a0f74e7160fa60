"""migrate.py --adopt: from the bucket's listing alone, completed.txt is as a run would have left it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Callable

import pytest

from cdn2s3.commands import adopt
from cdn2s3.destinations.base import Found
from cdn2s3.errors import FatalError
from cdn2s3.file_names import MIGRATION_LOCK
from cdn2s3.planning.run_plan import Choice, plan_run
from cdn2s3.settings import declarations
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.state import files, ledger
from cdn2s3.state.lines import whole_lines
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.running import Migration, assert_consistent, assert_moved, key_of

Sources = Callable[..., SourceServer]
Stores = Callable[..., S3Server]
PREFIX = "https://cdn.example/"


# --- the matching, without a server ---


def adopted(
    folder: Path, urls: list[str], pages: list[list[Found]]
) -> tuple[adopt.Adopted, list[ledger.Completed]]:
    (folder / "urls.txt").write_text("".join(line + "\n" for line in urls), encoding="utf-8")
    settings = MigrationSettings(
        destination_bucket="bucket",
        url_prefix=PREFIX,
        preserve_path_structure=True,
        source_urls_file=folder / "urls.txt",
        state_dir=folder,
        on_collision="first",
    )
    plan, index = plan_run(settings, declarations.key_maker(settings), Choice())
    result = adopt.adopt(settings, plan.work, index, {settings.destination: pages})
    rows = [ledger.completed(line) for line in whole_lines(folder / "completed.txt")]
    assert None not in rows
    return result, [row for row in rows if row is not None]


def test_objects_at_a_urls_key_get_a_row(tmp_path: Path) -> None:
    lines = [PREFIX + "a.jpg", PREFIX + "b%20c.jpg?v=1", PREFIX + "missing.jpg"]
    pages = [
        [Found("images/a.jpg", 10, "ab" * 16)],
        [Found("images/b c.jpg", 20, ""), Found("images/x", 1, "e")],
    ]
    result, rows = adopted(tmp_path, lines, pages)
    assert result == adopt.Adopted(rows=2, listed=3, empty=0, conflicts=0)
    assert [row[:6] for row in rows] == [
        (PREFIX + "a.jpg", "images/a.jpg", "10", "ab" * 16, "-", "-"),
        (PREFIX + "b%20c.jpg?v=1", "images/b c.jpg", "20", "-", "-", "-"),
    ]
    assert {row[7:] for row in rows} == {("adopted", "-", "-", "s3")}


def test_object_listed_twice_gets_one_row(tmp_path: Path) -> None:
    pages = [[Found("images/a.jpg", 10, "e")], [Found("images/a.jpg", 10, "e")]]
    result, rows = adopted(tmp_path, [PREFIX + "a.jpg"], pages)
    assert (result.rows, len(rows)) == (1, 1)


def test_first_of_colliding_urls_gets_the_row(tmp_path: Path) -> None:
    lines = [PREFIX + "a.jpg?v=1", PREFIX + "a.jpg?v=2", PREFIX + "a.jpg?v=1"]
    _, rows = adopted(tmp_path, lines, [[Found("images/a.jpg", 10, "e")]])
    assert [row.url for row in rows] == [lines[0]]


def test_line_that_is_completed_gets_no_second_row(tmp_path: Path) -> None:
    page = [Found("images/a.jpg", 10, "e")]
    adopted(tmp_path, [PREFIX + "a.jpg"], [page])
    result, rows = adopted(tmp_path, [PREFIX + "a.jpg"], [page])
    assert (result.rows, len(rows)) == (0, 1)


def test_crlf_bom_and_malformed_lines_are_matched_as_a_run_would(tmp_path: Path) -> None:
    lines = ["\ufeff" + PREFIX + "a.jpg\r", "ftp://x/b.jpg\r", PREFIX + "b.jpg\r"]
    _, rows = adopted(tmp_path, lines, [[Found("images/a.jpg", 1, "e"), Found("images/b.jpg", 2, "e")]])
    assert [row.url for row in rows] == [PREFIX + "a.jpg", PREFIX + "b.jpg"]


def failure(url: str, cause: str) -> str:
    return f"{url}\t{cause}\t1\twhy\t2026-11-20T10:00:00Z\n"


def test_failures_give_way_but_for_conflicts(tmp_path: Path) -> None:
    lines = [PREFIX + "a.jpg", PREFIX + "b.jpg", PREFIX + "c.jpg"]
    records = [
        failure(lines[0], "unverified"),
        failure(lines[1], "conflict"),
        failure(PREFIX + "z.jpg", "empty"),
    ]
    (tmp_path / "failed_transfers.txt").write_text("".join(records))
    page = [Found(f"images/{name}.jpg", 5, "e") for name in "abc"]
    result, rows = adopted(tmp_path, lines, [page])
    assert [row.url for row in rows] == [lines[0], lines[2]]
    assert result.conflicts == 1
    assert (tmp_path / "failed_transfers.txt").read_text() == records[1] + records[2]


def test_empty_objects_are_counted(tmp_path: Path) -> None:
    result, _ = adopted(tmp_path, [PREFIX + "a.jpg"], [[Found("images/a.jpg", 0, "e")]])
    assert result.empty == 1
    assert any("empty" in line for line in adopt.text(result, 1))


def test_listing_that_breaks_keeps_what_came_and_says_what_to_do(tmp_path: Path) -> None:
    def pages() -> object:
        yield [Found("images/a.jpg", 1, "e")]
        raise FatalError("could not list the bucket: 403")

    with pytest.raises(FatalError, match=r"(?s)403.*plain `python migrate.py`"):
        adopted(tmp_path, [PREFIX + "a.jpg", PREFIX + "b.jpg"], pages())  # type: ignore[arg-type]
    assert len(list(whole_lines(tmp_path / "completed.txt"))) == 1


# --- the command ---


def job_of(folder: Path, source: SourceServer, s3: S3Server, **settings: object) -> Migration:
    return Migration(folder, URL_PREFIX=source.url_prefix, AWS_ENDPOINT_URL=s3.url, **settings)


def test_lost_state_is_rebuilt_and_only_what_is_missing_is_fetched(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    first, second = tmp_path / "first", tmp_path / "second"
    first.mkdir()
    second.mkdir()
    urls = [source.url_of(f"{n}/ä b.jpg") for n in range(30)]
    before = job_of(first, source, s3)
    before.urls(urls)
    assert before.run("--limit", "20", quick={}).code == 0
    s3.put("bucket", "img/somebody-elses.txt", b"x")

    after = job_of(second, source, s3)
    after.urls(urls)
    ran = after.run("--adopt", quick={})
    assert ran.code == 0, ran.said
    assert "20 objects adopted of 21 listed; 10 URLs are pending" in ran.out
    assert ran.out.endswith("next: python migrate.py\n")
    old = {row.url: (row.key, row.size, row.etag) for row in before.completed()}
    assert {row.url: (row.key, row.size, row.etag) for row in after.completed()} == old
    assert {(row.md5, row.media_type) for row in after.completed()} == {("-", "-")}
    assert json.loads(after.text("run.json"))["DESTINATION_BUCKET"] == "bucket"

    source.bodies.clear()
    assert after.run(quick={}).code == 0
    assert len(source.bodies) == 10
    assert sorted(row.url for row in after.completed()) == sorted(urls)
    assert_consistent(after, source, s3)


def test_without_list_permission_the_way_on_is_named(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server(allow=frozenset({"PutObject", "GetObject"}))
    job = job_of(tmp_path, source, s3)
    urls = [source.url_of(f"{n}.jpg") for n in range(5)]
    job.urls(urls)
    for url in urls[:3]:
        s3.put("bucket", key_of(source, url), source.body(url))
    ran = job.run("--adopt", quick={})
    assert ran.code == 3, ran.said
    assert "s3:ListBucket" in ran.err
    assert "plain `python migrate.py`" in ran.err
    assert job.completed() == []
    assert job.run(quick={}).code == 0  # as promised: the same end state, slower
    assert_moved(job, source, s3, urls)
    assert [s3.store.writes["bucket", key_of(source, url)] for url in urls] == [1] * 5


@pytest.mark.parametrize("fault", ["list_empty", "list_truncated_xml", "list_no_token"])
def test_listing_that_lies_adopts_nothing_and_exits_3(
    fault: str, tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3)
    url = source.url_of("a.jpg")
    job.urls([url])
    s3.put("bucket", key_of(source, url), source.body(url))
    s3.rules.add(Rule(fault, operation="ListObjectsV2"))
    ran = job.run("--adopt", quick={}, MAX_RETRIES=0)
    assert ran.code == 3, ran.said
    assert "could not list" in ran.err
    assert "Traceback" not in ran.said


def test_adoption_is_refused_while_another_run_holds_the_state(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    job = job_of(tmp_path, source_server(), s3_server())
    job.urls(["http://x/"])
    with files.held_lock(tmp_path / MIGRATION_LOCK, "migrate.py"):
        ran = job.run("--adopt", quick={})
    assert ran.code == 3
    assert "already running" in ran.err


def test_adoption_into_another_destinations_state_is_refused(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server(buckets=("bucket", "other"))
    job = job_of(tmp_path, source, s3)
    url = source.url_of("a.jpg")
    job.urls([url])
    assert job.run("--adopt", quick={}, DESTINATION_BUCKET="other").code == 0  # nothing to adopt there
    s3.put("bucket", key_of(source, url), source.body(url))
    ran = job.run("--adopt", quick={})
    assert ran.code == 0, ran.said
    assert "nothing was stored yet: this state now belongs to s3://bucket/" in ran.err
    ran = job.run("--adopt", quick={}, DESTINATION_BUCKET="other")
    assert ran.code == 2
    assert "another destination" in ran.err


def test_colliding_keys_are_refused_before_anything_is_adopted(
    tmp_path: Path, source_server: Sources, s3_server: Stores
) -> None:
    source, s3 = source_server(), s3_server()
    job = job_of(tmp_path, source, s3, PRESERVE_PATH_STRUCTURE="false")
    job.urls([source.url_of("1/a.jpg"), source.url_of("2/a.jpg")])
    ran = job.run("--adopt", quick={})
    assert ran.code == 2
    assert s3.log == s3.log.__class__()
