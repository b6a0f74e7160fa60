"""Where images belong: the share by hash, and what DESTINATION makes of it."""

from __future__ import annotations

from hashlib import md5
from pathlib import Path

import pytest

from cdn2s3.records import LOCAL, S3
from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.settings.placement import KINDS, Placement
from cdn2s3.share import path_of, share_in

CDN = b"https://cdn.example"


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"https://cdn.example/a/b.jpg", b"/a/b.jpg"),
        (b"http://CDN.example:80/a/b.jpg", b"/a/b.jpg"),
        (b"https://cdn.example/a%20b.jpg?v=1/2#x", b"/a%20b.jpg"),
        (b"https://cdn.example/a b.jpg#x?y", b"/a b.jpg"),
        (b"https://cdn.example//a//b.jpg", b"//a//b.jpg"),
        (b"https://cdn.example/img?u=https://other/x.jpg", b"/img"),
        (b"https://cdn.example/x/https://other/x.jpg", b"/x/https://other/x.jpg"),
        ("https://cdn.example/ü.jpg".encode(), "/ü.jpg".encode()),
        (b"https://cdn.example/a.jpg\tkey=b/c.jpg", b"/a.jpg"),
        (b"https://cdn.example", b""),
        (b"nonsense", b""),
    ],
)
def test_path_is_the_one_in_the_list(line: bytes, path: bytes) -> None:
    assert path_of(line) == path
    assert share_in(line) == int(md5(path, usedforsecurity=False).hexdigest()[:8], 16) % 100


def test_ten_percent_are_about_a_tenth_and_a_part_of_twenty_five() -> None:
    lines = [CDN + b"/images/%d.jpg" % number for number in range(10_000)]
    ten, more = ({line for line in lines if Placement(S3, percent).selects(line)} for percent in (10, 25))
    assert 900 < len(ten) < 1100 and ten < more
    assert not any(Placement(S3, 0).selects(line) for line in lines)
    assert all(Placement(S3, 100).selects(line) for line in lines)


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_kind_uses(kind: str) -> None:
    placement = Placement(kind, 40)
    line = next(CDN + b"/%d" % n for n in range(100) if share_in(CDN + b"/%d" % n) >= 40)
    assert placement.places == {"s3": (S3,), "local": (LOCAL,), "hybrid": (S3, LOCAL)}[kind]
    assert (placement.uses_bucket, placement.uses_folder) == (
        S3 in placement.places,
        LOCAL in placement.places,
    )
    assert placement.selects(line) == (kind == "hybrid")
    assert placement.place_of(line) == (S3 if kind == "s3" else LOCAL)


def test_an_object_in_the_bucket_counts_wherever_it_belongs_and_a_file_only_where_it_does() -> None:
    line, hybrid = CDN + b"/a", [Placement("hybrid", percent) for percent in (0, 100)]
    assert [placement.counts(line, S3) for placement in hybrid] == [True, True]
    assert [placement.counts(line, LOCAL) for placement in hybrid] == [True, False]
    assert Placement(S3, 0).counts(line, S3)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"PERCENT": "101"}, "PERCENT='101'"),
        ({"PERCENT": "10%"}, "PERCENT='10%'"),
        ({"LOCAL_ROOT": ""}, "LOCAL_ROOT is not set: DESTINATION=hybrid"),
        ({"DESTINATION_BUCKET": ""}, "DESTINATION_BUCKET is not set"),
        ({"DESTINATION_PREFIX": "a//b/"}, "(DESTINATION=hybrid)"),
        ({"AWS_REGION": "us-west-22"}, "us-west-22"),
        ({"STATE_DIR": "/mnt/images/state"}, "images and state files"),
    ],
)
def test_hybrid_needs_what_both_need(changed: dict[str, str], said: str) -> None:
    good = {"DESTINATION": "hybrid", "DESTINATION_BUCKET": "bucket", "LOCAL_ROOT": "/mnt/images"}
    settings = build(MigrationSettings, good, {}, Path("migration.env"))
    assert {place: own.destination_text for place, own in settings.by_place.items()} == {
        "s3": "s3://bucket/images/",
        "local": "/mnt/images/images/",
    }
    with pytest.raises(Exception, match="correct") as refused:
        build(MigrationSettings, {**good, **changed}, {}, Path("migration.env"))
    assert said in str(refused.value)
