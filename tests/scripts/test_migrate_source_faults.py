"""migrate.py against a CDN that cuts, drips, stalls, lies and redirects: what is stored, what fails and how.

One run meets every fault, each under a URL of its own; the tests look at what became of each.
"""

from __future__ import annotations

import resource
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.fakes.source import SourceServer
from tests.fakes.tls import TlsMaterial
from tests.running import (
    Migration,
    Ran,
    assert_consistent,
    assert_moved,
    counts,
    key_of,
    migration,
)
from tests.tiers import slow

DOWNLOAD_TIMEOUT = 2.0
GOOD = 60  # URLs without a fault

FAILS = {  # fault -> cause in failed_transfers.txt
    "short_body": "truncated",
    "short_by_one": "truncated",
    "chunked_cut": "truncated",
    "chunked_no_end": "truncated",
    "no_length_cut": "truncated",
    "drip_headers": "timeout",
    "drip_body": "timeout",
    "stall_headers": "timeout",
    "stall_body": "timeout",
    "stall_no_length": "timeout",
    "gzip_cut": "truncated",
    "gzip_bomb": "not_an_image",
    "html": "not_an_image",
    "empty": "empty",
    "204": "empty",
    "206": "server_error",
    "304": "server_error",
    "redirect_login_inside": "not_an_image",
    "redirect_login_outside": "forbidden",
    "redirect_host": "forbidden",
    "redirect_loop": "forbidden",
    "length_too_small": "truncated",
    "lengths_differ": "server_error",
    "huge_headers": "server_error",
    "many_headers": "server_error",
    "garbage": "server_error",
    "close": "connection",
    "reset": "connection",
    "400": "forbidden",
    "401": "forbidden",
    "403": "forbidden",
    "404": "not_found",
    "405": "forbidden",
    "408": "server_error",
    "410": "not_found",
    "425": "server_error",
    "451": "forbidden",
    "500": "server_error",
    "502": "server_error",
    "503": "server_error",
    "504": "server_error",
}
PERMANENT = {"forbidden", "not_found", "not_an_image", "empty"}
FINE = [  # unusual, and no fault
    "chunked", "no_length", "http10", "surplus", "length_garbage", "length_negative", "gzip_mislabelled", "gzip",
    "cookies", "continue_100", "early_hints", "close_reused", "close_after", "redirect_fine", "octet_stream",
    "slow_body",
]  # fmt: skip
HEALS = [  # the first two answers of the three that the second pass allows for are bad
    "short_body.1", "chunked_cut.1", "no_length_cut.1", "drip_body.1", "stall_headers.1", "reset.1", "500.1",
    "503.1", "garbage.1", "close.1", "short_body.3",
]  # fmt: skip


class Met(NamedTuple):
    """The run that met every fault."""

    job: Migration
    source: SourceServer
    s3: S3Server
    ran: Ran


def url_of(source: SourceServer, fault: str) -> str:
    return source.url_of("a/i0178-1.jpg", fault)


@pytest.fixture(
    scope="module",
    params=["signed", slow("put_object")],
)
def met(request: Any, tmp_path_factory: pytest.TempPathFactory, tls_material: TlsMaterial) -> Iterator[Met]:
    tls = tls_material.context
    with SourceServer(tls=tls) as source, S3Server(tls=tls, acls=False) as s3:
        job = migration(
            tmp_path_factory.mktemp("faults"),
            source,
            s3,
            tls_material,
            CONCURRENCY=60,
            DOWNLOAD_TIMEOUT=DOWNLOAD_TIMEOUT,
            UPLOAD_METHOD=request.param,
        )
        bad = [url_of(source, fault) for fault in [*FAILS, *FINE, *HEALS]]
        good = [source.url_of(f"b/{number}.jpg") for number in range(GOOD)]
        job.urls([*good[::2], *bad, *good[1::2]])
        yield Met(job, source, s3, job.run())


@pytest.mark.parametrize("fault", FAILS)
def test_fault_that_stays_ends_as_its_named_cause_and_stores_nothing(met: Met, fault: str) -> None:
    url = url_of(met.source, fault)
    assert met.job.causes().get(url) == FAILS[fault]
    assert key_of(met.source, url) not in met.s3.objects("bucket")


@pytest.mark.parametrize("fault", FAILS)
def test_attempts_are_those_that_retries_and_second_pass_allow(met: Met, fault: str) -> None:
    record = met.job.failed()[url_of(met.source, fault)]
    asked = met.source.requests[f"/images/fault-{fault}/a/i0178-1.jpg"]
    expected = 1 if FAILS[fault] in PERMANENT else 4  # two and, after a while, two
    assert int(record.attempts) == expected
    if "redirect" not in fault and fault not in ("close", "reset"):  # those may come again, uncharged
        assert asked == expected


@pytest.mark.parametrize("fault", [*FINE, *HEALS])
def test_unusual_or_passing_fault_ends_as_the_exact_bytes(met: Met, fault: str) -> None:
    assert_moved(met.job, met.source, met.s3, [url_of(met.source, fault)])


def test_everything_else_is_moved_and_the_lines_add_up(met: Met) -> None:
    assert met.ran.code == 1
    assert_consistent(met.job, met.source, met.s3)
    assert_moved(met.job, met.source, met.s3, [met.source.url_of(f"b/{n}.jpg") for n in range(GOOD)])
    done = GOOD + len(FINE) + len(HEALS)
    assert counts(met.job) == {
        "lines": done + len(FAILS),
        "blank": 0,
        "duplicates": 0,
        "completed": done,
        "failed": len(FAILS),
        "not_tried": 0,
        "not_selected": 0,
    }


def test_slow_answers_end_within_a_second_of_the_timeout(met: Met) -> None:
    # four attempts for the timeouts, one wait of 1 s in each pass, the wait for the second pass, start and end
    assert met.ran.seconds < 4 * (DOWNLOAD_TIMEOUT + 1) + 2 * 1 + 0.3 + 4


def test_nothing_but_identity_is_asked_for_and_no_cookie_is_kept(met: Met) -> None:
    for entry in met.source.log:
        assert entry.headers["accept-encoding"] == "identity"
        assert not {"cookie", "authorization", "referer"} & entry.headers.keys()


def test_no_multipart_upload_is_left(met: Met) -> None:
    assert met.s3.store.uploads("bucket") == []


@pytest.mark.slow
@pytest.mark.parametrize("fault", ["endless", slow("endless_no_length")])
def test_endless_body_ends_as_timeout_in_bounded_memory(
    tmp_path: Path, source_server: Any, s3_server: Any, tls_material: TlsMaterial, fault: str
) -> None:
    source, s3 = source_server(), s3_server()
    job = migration(tmp_path, source, s3, tls_material, DOWNLOAD_TIMEOUT=0.1, MAX_RETRIES=0)
    url = source.url_of("a.jpg", fault)
    job.urls([url])
    ran = job.run(limits={resource.RLIMIT_AS: (1_500_000_000, 1_500_000_000)})
    assert ran.code == 1, ran.said
    assert job.causes() == {url: "timeout"}
    assert s3.objects("bucket") == {}
    assert s3.store.uploads("bucket") == []


@pytest.mark.slow
def test_stalled_handshakes_end_as_timeout_and_others_go_on(
    tmp_path: Path, source_tls_server: Any, s3_tls_server: Any, tls_material: TlsMaterial
) -> None:
    source, s3 = source_tls_server(), s3_tls_server()
    source.network.mute_handshakes(every=3)
    job = migration(tmp_path, source, s3, tls_material, DOWNLOAD_TIMEOUT=1, MAX_RETRIES=2)
    urls = [source.url_of(f"{n}.jpg", "http10") for n in range(24)]  # each on a connection of its own
    job.urls(urls)
    ran = job.run()
    assert ran.code in (0, 1), ran.said
    assert_consistent(job, source, s3)
    assert set(job.causes().values()) <= {"timeout"}
    assert "timeout" in job.report()["retried"]
    assert len(job.completed()) + len(job.failed()) == len(urls)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("status", "after"),
    [("429", ""), ("503", "86400"), slow("503", "1"), slow("503", "date:86400"), slow("503", "soon")],
)
def test_throttled_source_slows_everybody_and_fails_no_file(
    tmp_path: Path,
    source_tls_server: Any,
    s3_tls_server: Any,
    tls_material: TlsMaterial,
    status: str,
    after: str,
) -> None:
    source, s3 = source_tls_server(), s3_tls_server()
    source.rules.add(Rule(status, until=1.5, value=after))
    job = migration(tmp_path, source, s3, tls_material, CONCURRENCY=30)
    urls = [source.url_of(f"{n}.jpg") for n in range(100)]
    job.urls(urls)
    ran = job.run()
    assert ran.code == 0, ran.said
    assert_moved(job, source, s3, urls)
    assert job.failed() == {}
    assert (
        ran.seconds < 20
    )  # no wait is longer than LONGEST_WAIT, 1 s here; the rate doubles from one a second
