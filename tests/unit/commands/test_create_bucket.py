"""migrate.py --create-bucket: a new bucket, one that is ours, names that are taken, and what may go wrong."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Callable

import pytest

from cdn2s3.commands import create_bucket
from cdn2s3.destinations.s3.client import S3Client
from cdn2s3.errors import FatalError
from cdn2s3.http.requests_adapter import PooledAdapter
from cdn2s3.settings.declarations import MigrationSettings
from tests.fakes.rules import Rule
from tests.fakes.s3 import S3Server
from tests.running import Migration

pytestmark = pytest.mark.filterwarnings("ignore::boto3.exceptions.PythonDeprecationWarning")
Create = Callable[..., create_bucket.Created]


@pytest.fixture
def create(monkeypatch: pytest.MonkeyPatch) -> Iterator[Create]:
    """Return a function that creates the bucket of some settings at a server."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIATEST")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    monkeypatch.delenv("AWS_PROFILE", raising=False)
    with ExitStack() as stack:

        def run(server: S3Server, **changed: Any) -> create_bucket.Created:
            settings = MigrationSettings(
                destination_bucket="fresh", aws_endpoint_url=server.url, max_retries=2, upload_timeout=5.0
            )
            adapter = PooledAdapter(1)
            stack.callback(adapter.close)
            return create_bucket.create(
                dataclasses.replace(settings, **changed),
                lambda chosen: S3Client(chosen, adapter),
                pause=lambda seconds: None,
            )

        yield run


@pytest.mark.parametrize("region", ["us-west-2", "us-east-1"])
def test_bucket_is_created_in_its_region_and_closed(
    region: str, create: Create, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server(region=region)
    assert create(server, aws_region=region) == create_bucket.Created("fresh", True, "", "")
    bucket = server.store.bucket("fresh")
    assert bucket.region == region
    assert bucket.public_access_blocked


def test_bucket_of_ours_is_fine_and_left_as_it_is(create: Create, s3_server: Callable[..., S3Server]) -> None:
    server = s3_server(buckets=["fresh"])
    assert create(server) == create_bucket.Created("fresh", False, "", "")
    assert server.requests("PutPublicAccessBlock") == []


@pytest.mark.parametrize("creates_again", ["refuse", "succeed", "taken"])
@pytest.mark.parametrize(
    "allow", [None, frozenset({"CreateBucket", "ListAllMyBuckets"})], ids=["all", "no HEAD"]
)
@pytest.mark.parametrize("fallback", ["", "second"])
def test_bucket_of_ours_stays_as_it_is_whatever_the_store_says_to_its_creation(
    create: Create,
    s3_server: Callable[..., S3Server],
    creates_again: str,
    allow: frozenset[str] | None,
    fallback: str,
) -> None:
    server = s3_server(buckets=["fresh"], creates_again=creates_again, allow=allow)
    created = create(server, destination_bucket_fallback=fallback)
    assert (created.name, created.is_new, created.taken) == ("fresh", False, "")
    assert not server.store.bucket("fresh").public_access_blocked
    assert server.requests("CreateBucket") == server.requests("PutPublicAccessBlock") == []


def test_bucket_that_shows_itself_to_nobody_is_not_taken_for_a_new_one(
    create: Create, s3_server: Callable[..., S3Server]
) -> None:
    allowed = frozenset({"CreateBucket", "PutBucketPublicAccessBlock"})  # neither HEAD nor a list of buckets
    server = s3_server(buckets=["fresh"], creates_again="succeed", allow=allowed)
    assert not create(server).is_new
    assert not server.store.bucket("fresh").public_access_blocked


def test_store_without_regions_gets_no_location_constraint(
    create: Create, s3_server: Callable[..., S3Server]
) -> None:
    created = create(s3_server(knows_regions=False), aws_region="us-west-2")
    assert created.is_new and created.warning == ""
    assert "knows no region us-west-2" in created.note
    assert "us-west-2" not in create_bucket.text(MigrationSettings(), created)[0]
    assert created.note in "".join(create_bucket.text(MigrationSettings(), created))


def test_block_that_refuses_every_put_is_told_with_the_way_to_take_it_away(
    create: Create, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server(block_refuses_puts=True)
    created = create(server)
    assert created.is_new
    assert "takes no PUT since public access was blocked" in created.warning
    assert (
        f"aws s3api delete-public-access-block --bucket fresh --endpoint-url {server.url}" in created.warning
    )


def test_put_that_was_refused_before_the_block_is_not_its_fault(
    create: Create, s3_server: Callable[..., S3Server]
) -> None:
    allowed = frozenset({"CreateBucket", "PutBucketPublicAccessBlock", "ListBucket"})
    assert create(s3_server(allow=allowed)).warning == ""


def test_probe_of_a_new_bucket_is_deleted(create: Create, s3_server: Callable[..., S3Server]) -> None:
    server = s3_server()
    create(server)
    assert server.objects("fresh") == {}
    assert len(server.requests("PutObject")) == 2


@pytest.mark.parametrize("buckets", [[], ["fresh"]], ids=["new", "there already"])
@pytest.mark.parametrize("is_right", [True, False])
def test_expected_owner_that_is_not_ours_is_told(
    create: Create, s3_server: Callable[..., S3Server], buckets: list[str], is_right: bool
) -> None:
    server = s3_server(buckets=buckets)
    owner = server.settings.owner if is_right else "999999999999"
    created = create(server, expected_bucket_owner=owner)
    assert created.is_new == (not buckets)
    assert ("EXPECTED_BUCKET_OWNER=999999999999 is refused" in created.warning) == (not is_right)
    assert server.store.bucket("fresh").public_access_blocked == (not buckets)


def test_bucket_that_may_not_be_listed_says_nothing_of_its_owner(
    create: Create, s3_server: Callable[..., S3Server]
) -> None:
    allowed = {"CreateBucket", "PutBucketPublicAccessBlock", "PutObject"}
    server = s3_server(allow=frozenset(allowed))
    created = create(server, expected_bucket_owner=server.settings.owner)
    assert created == create_bucket.Created("fresh", True, "", "")


def test_name_taken_by_another_account_gives_way_to_the_fallback(
    create: Create, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server()
    server.add_bucket("fresh", owner="999999999999")
    created = create(server, destination_bucket_fallback="second")
    assert created == create_bucket.Created("second", True, "fresh", "")
    assert server.store.bucket("second").public_access_blocked


@pytest.mark.parametrize("fallback", ["", "fresh", "second"], ids=["none", "the-same", "taken-too"])
def test_names_all_taken_stop_with_what_to_set(
    fallback: str, create: Create, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server()
    for name in ("fresh", "second"):
        server.add_bucket(name, owner="999999999999")
    with pytest.raises(FatalError, match="DESTINATION_BUCKET"):
        create(server, destination_bucket_fallback=fallback)


def test_creation_refused_names_the_permissions(create: Create, s3_server: Callable[..., S3Server]) -> None:
    with pytest.raises(FatalError, match=r'"s3:CreateBucket", "s3:PutBucketPublicAccessBlock"'):
        create(s3_server(allow=frozenset({"PutObject"})))


def test_closing_refused_is_a_warning(create: Create, s3_server: Callable[..., S3Server]) -> None:
    created = create(s3_server(allow=frozenset({"CreateBucket"})))
    assert created.is_new
    assert "(s3:PutBucketPublicAccessBlock is not granted)" in created.warning
    assert "get-public-access-block --bucket fresh" in created.warning


def test_closing_that_keeps_failing_is_a_warning(create: Create, s3_server: Callable[..., S3Server]) -> None:
    server = s3_server()
    server.rules.add(Rule("InternalError", operation="PutPublicAccessBlock"))
    created = create(server)
    assert created.is_new
    assert "500 InternalError" in created.warning
    assert "3 times" in created.warning


@pytest.mark.parametrize(("strikes", "works"), [(2, True), (3, False)], ids=["passing", "lasting"])
def test_creation_is_tried_again(
    strikes: int, works: bool, create: Create, s3_server: Callable[..., S3Server]
) -> None:
    server = s3_server()
    server.rules.add(Rule("InternalError", operation="CreateBucket", count=strikes))
    if works:
        assert create(server).is_new
    else:
        with pytest.raises(FatalError, match="3 times"):
            create(server)


def test_command_prints_the_line_to_set(tmp_path: Path, s3_server: Callable[..., S3Server]) -> None:
    server = s3_server()
    server.add_bucket("first-name", owner="999999999999")
    job = Migration(
        tmp_path,
        AWS_ENDPOINT_URL=server.url,
        DESTINATION_BUCKET="first-name",
        DESTINATION_BUCKET_FALLBACK="second-name",
    )
    ran = job.run("--create-bucket", quick={})
    assert ran.code == 0, ran.said
    assert "\nDESTINATION_BUCKET=second-name\n" in ran.out
    assert ran.out.endswith("next: python migrate.py --check\n")
    again = job.run("--check", quick={}, DESTINATION_BUCKET="second-name")
    assert "ok       put " in again.out
