"""migrate.py --plan as a process: what a person reads before a byte moves, and that nothing is left behind."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Callable

import pytest

from tests.fakes.source import SourceServer
from tests.running import Migration, Ran

NOWHERE = "http://127.0.0.1:1/images/"  # nobody listens there
Sources = Callable[..., SourceServer]


def planned(folder: Path, urls: list[str], url_prefix: str, *arguments: str, **settings: object) -> Ran:
    job = Migration(folder, URL_PREFIX=url_prefix, AWS_ENDPOINT_URL="http://127.0.0.1:1", **settings)
    job.urls(urls)
    return job.run("--plan", *arguments, quick={})


def figure(ran: Ran, name: str) -> str:
    """Return the figure in the row of that name."""
    found = re.search(rf"^  {name} +(\S+)", ran.out, re.MULTILINE)
    assert found, f"no row {name}:\n{ran.said}"
    return found[1]


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_plan_counts_every_line_and_writes_nothing(tmp_path: Path, source_server: Sources) -> None:
    source = source_server(sizes=lambda target: 20_000)
    good = [source.url_of(f"{n}/a.jpg") for n in range(100)]
    ran = planned(tmp_path, [*good, good[0], "", "ftp://x/a.jpg"], source.url_prefix)
    assert ran.code == 0, ran.said
    rows = {
        name: figure(ran, name) for name in ("lines", "blank", "duplicates", "malformed", "pending", "done")
    }
    assert rows == {
        "lines": "103", "blank": "1", "duplicates": "1", "malformed": "1", "pending": "100", "done": "0",
    }  # fmt: skip
    assert "ftp://x/a.jpg: not an http or https URL" in ran.out
    assert "2 MB  20 KB per file, mean of 100 of 100 HEADs, ±0%" in ran.out
    assert ran.out.endswith("next: python migrate.py --check\n")
    assert names_in(tmp_path) == {"migration.env", "urls.txt"}
    assert {entry.method for entry in source.log} == {"HEAD"}


def test_plan_shows_keys_and_warns_of_a_prefix(tmp_path: Path) -> None:
    urls = [f"{NOWHERE}{n}/a%20b.jpg?token=canary" for n in range(9)]
    ran = planned(tmp_path, urls, NOWHERE, DESTINATION_PREFIX="img")
    assert ran.code == 0, ran.said
    for n in (0, 4, 8):
        assert f"  {NOWHERE}{n}/a%20b.jpg?***\n    -> imgimages/{n}/a b.jpg\n" in ran.out
    assert ran.out.count(" -> img") == 3
    assert "DESTINATION_PREFIX=img does not end in /" in ran.err


def test_plan_of_a_foreign_file_to_redo_is_refused(tmp_path: Path) -> None:
    (tmp_path / "again.txt").write_text("https://elsewhere.example/a.jpg\n")
    ran = planned(tmp_path, [NOWHERE + "a.jpg"], NOWHERE, "--redo", "again.txt")
    assert ran.code == 2
    assert "none of the 1 lines of again.txt is a URL in urls.txt" in ran.err


def test_plan_fits_80_columns(tmp_path: Path) -> None:
    ran = planned(tmp_path, [NOWHERE + "a.jpg"], NOWHERE)
    assert max(map(len, ran.out.splitlines())) <= 80, ran.out


def test_plan_without_a_cdn_assumes_and_says_so(tmp_path: Path) -> None:
    ran = planned(tmp_path, [f"{NOWHERE}{n}/a.jpg" for n in range(100)], NOWHERE)
    assert ran.code == 0, ran.said
    assert "39 MB  390 KB per file, assumed: the CDN cannot be reached" in ran.out


def test_plan_names_files_that_are_gone(tmp_path: Path, source_server: Sources) -> None:
    source = source_server()
    urls = [source.url_of(f"{n}.jpg", "404" if n < 3 else "") for n in range(8)]
    ran = planned(tmp_path, urls, source.url_prefix)
    assert "mean of 5 of 8 HEADs" in ran.out
    assert "(3 answered 404)" in " ".join(ran.out.split())


@pytest.mark.parametrize(
    ("settings", "pair", "remedies"),
    [
        (
            {"PRESERVE_PATH_STRUCTURE": "false"},
            ("3483/i1.jpg", "3484/i1.jpg"),
            ["PRESERVE_PATH_STRUCTURE=true", "ON_COLLISION=first"],
        ),
        (
            {"STRIP_PATH_PREFIX": "images/auction/"},
            ("auction/images/a.jpg", "a.jpg"),
            ["STRIP_PATH_PREFIX=", "ON_COLLISION=first"],
        ),
        (
            {},
            ("a.jpg?v=1", "a.jpg?v=2"),
            ["KEY_QUERY_PARAMS=v", "IGNORED_QUERY_PARAMS=v", "ON_COLLISION=first"],
        ),
    ],
    ids=["flattened", "stripped", "query"],
)
def test_plan_shows_collisions_and_lines_that_end_them(
    settings: dict[str, object], pair: tuple[str, str], remedies: list[str], tmp_path: Path
) -> None:
    urls = [NOWHERE + name for name in pair]
    ran = planned(tmp_path, urls, NOWHERE, **settings)
    assert ran.code == 2, ran.said
    assert all(f"    {url.partition('?')[0]}" in ran.out for url in urls)
    offered = [line.strip() for line in ran.out.splitlines() if re.match(r"[A-Z_]+=", line)]
    assert offered == remedies
    for line in offered:  # each of them, typed as it stands, is a remedy
        name, _, value = line.partition("=")
        assert planned(tmp_path, urls, NOWHERE, **{**settings, name: value}).code == 0
    assert names_in(tmp_path) == {"migration.env", "urls.txt"}


def test_plan_shows_no_query_of_a_collision(tmp_path: Path) -> None:
    ran = planned(tmp_path, [NOWHERE + "a.jpg?token=canary1", NOWHERE + "a.jpg?token=canary2"], NOWHERE)
    assert ran.code == 2
    assert "canary" not in ran.said


def row(url: str) -> str:
    key = "img/" + url.partition("//")[2].partition("/")[2]
    return f"{url}\t{key}\t1\t-\t-\t-\t2026-11-20T10:00:00Z\n"


def failure(url: str, cause: str) -> str:
    return f"{url}\t{cause}\t1\twhy\t2026-11-20T10:00:00Z\n"


@pytest.mark.parametrize(
    ("arguments", "todo"),
    [
        ([], "7"),
        (["--limit", "3"], "3"),
        (["--retry-failed"], "2"),
        (["--retry-failed", "timeout"], "1"),
        (["--retry-failed", "--limit", "1"], "1"),
        (["--redo", "again.txt"], "2"),
    ],
    ids=["all", "limit", "failed", "one-cause", "failed-limit", "redo"],
)
def test_plan_counts_what_the_run_would_do(arguments: list[str], todo: str, tmp_path: Path) -> None:
    urls = [f"{NOWHERE}{n}.jpg" for n in range(10)]
    (tmp_path / "completed.txt").write_text("".join(map(row, urls[:3])))
    (tmp_path / "failed_transfers.txt").write_text(failure(urls[4], "timeout") + failure(urls[5], "empty"))
    (tmp_path / "again.txt").write_text(f"{urls[0]}\tkey\tlost\n{urls[9]}\tkey\tlost\n")
    before = {name: (tmp_path / name).read_bytes() for name in names_in(tmp_path)}
    ran = planned(tmp_path, urls, NOWHERE, *arguments)
    assert ran.code == 0, ran.said
    assert figure(ran, "done") == ("2" if "--redo" in arguments else "3")
    assert f"{todo} PUT at" in ran.out
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_plan_of_nothing_left_says_what_comes_next(tmp_path: Path) -> None:
    (tmp_path / "completed.txt").write_text(row(NOWHERE + "a.jpg"))
    ran = planned(tmp_path, [NOWHERE + "a.jpg"], NOWHERE)
    assert ran.code == 0, ran.said
    assert ran.out.endswith("next: python validate.py\n")


def test_plan_takes_the_prices_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "prices.json").write_text('{"put_per_thousand": 5, "date": "2030-01"}')
    ran = planned(tmp_path, [f"{NOWHERE}{n}.jpg" for n in range(1000)], NOWHERE)
    assert figure(ran, "requests") == "$5.00"
    assert "of 2030-01" in ran.out


def test_plan_for_another_destination_than_the_states_is_refused(tmp_path: Path) -> None:
    job = Migration(tmp_path, URL_PREFIX=NOWHERE, AWS_ENDPOINT_URL="http://127.0.0.1:1")
    job.urls([NOWHERE + "a.jpg"])
    (tmp_path / "run.json").write_text('{"DESTINATION_BUCKET": "another"}')
    (tmp_path / "completed.txt").write_text(row(NOWHERE + "a.jpg"))
    ran = job.run("--plan", quick={})
    assert ran.code == 2, ran.said
    assert "another destination" in ran.err


def test_plan_without_input_says_how_to_get_it(tmp_path: Path) -> None:
    job = Migration(tmp_path, URL_PREFIX=NOWHERE)
    ran = job.run("--plan", quick={})
    assert ran.code == 2
    assert "urls.txt (SOURCE_URLS_FILE)" in ran.err
    assert "Run `python collect_urls.py` first" in ran.err


def test_plan_of_lines_that_are_no_urls_leads_back_to_the_input(tmp_path: Path) -> None:
    job = Migration(tmp_path, URL_PREFIX=NOWHERE)
    job.urls(["https://elsewhere.example/a.jpg"])
    ran = job.run("--plan", quick={})
    assert ran.code == 2
    assert f"none of the 1 lines of urls.txt is under URL_PREFIX={NOWHERE}; the first is 'https://" in ran.err


@pytest.mark.parametrize(
    "arguments",
    [["--plan", "--check"], ["--check", "--limit", "1"], ["--adopt", "--redo", "x"],
     ["--sample", "0"]],
    ids=["two-commands", "check-limit", "adopt-redo", "sample-none"],
)  # fmt: skip
def test_arguments_that_contradict_are_refused(arguments: list[str], tmp_path: Path) -> None:
    ran = Migration(tmp_path).run(*arguments, quick={})
    assert ran.code == 2
    assert "usage:" in ran.err
    assert names_in(tmp_path) == {"migration.env"}


def test_sample_too_large_is_refused_before_the_input_is_read(tmp_path: Path) -> None:
    ran = Migration(tmp_path).run("--sample", "10001", quick={})
    assert ran.code == 2
    assert "--sample takes 10000 URLs at most" in ran.err
    assert "urls.txt" not in ran.err


def test_plan_counts_urls_with_a_plus_in_their_path(tmp_path: Path) -> None:
    with_plus = [f"{NOWHERE}{n}/a+b.jpg" for n in range(3)]
    without = [f"{NOWHERE}x/a%2Bb.jpg", f"{NOWHERE}y/a.jpg?v=1+2", f"{NOWHERE}z/a.jpg#1+2", f"{NOWHERE}p.jpg"]
    urls = [*with_plus, *without, with_plus[0], "ftp://h/a+b.jpg"]
    ran = planned(tmp_path, urls, NOWHERE)
    assert figure(ran, r"with \+") == "3"
    assert "URLs hold a +, which S3" in ran.out
    assert "docs/cutover.md" in ran.out
    ran = planned(tmp_path, urls, NOWHERE, DESTINATION="local", LOCAL_ROOT=tmp_path)
    assert "with +" not in ran.out


def test_plan_counts_completed_urls_with_a_plus_too(tmp_path: Path) -> None:
    url = f"{NOWHERE}a+b.jpg"
    row = (url, "img/images/a+b.jpg", "5", "e", "-", "image/jpeg", "2026-11-20T11:00:00Z")
    (tmp_path / "completed.txt").write_text("\t".join(row) + "\n")
    ran = planned(tmp_path, [url, f"{NOWHERE}b.jpg"], NOWHERE)
    assert (figure(ran, "done"), figure(ran, r"with \+")) == ("1", "1")
    assert "URL holds a +" in ran.out
