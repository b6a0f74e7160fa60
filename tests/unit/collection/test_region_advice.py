"""From an edge location to a region: the table, the distance, the fallbacks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from botocore.session import Session

from cdn2s3.collection.region_advice import (
    EDGES,
    OPT_IN_REGIONS,
    REGIONS,
    Point,
    advise,
    distance,
    nearest_region,
    parsed,
    recommended_region,
)
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from tests.fakes.api import ApiServer
from tests.fakes.source import SourceServer

NEAREST = [
    ("SFO53-P1", "us-west-1"),
    ("SEA19-C2", "us-west-2"),
    ("HIO50-C1", "us-west-2"),
    ("LAX3-C4", "us-west-1"),
    ("IAD89-C3", "us-east-1"),
    ("JFK50-P5", "us-east-1"),
    ("ORD51-C1", "us-east-2"),
    ("CMH68-P1", "us-east-2"),
    ("YUL62-C1", "ca-central-1"),
    ("FRA56-P6", "eu-central-1"),
    ("LHR61-C2", "eu-west-2"),
    ("DUB56-P1", "eu-west-1"),
    ("CDG50-C1", "eu-west-3"),
    ("ARN56-P1", "eu-north-1"),
    ("MXP64-C1", "eu-south-1"),
    ("NRT57-C3", "ap-northeast-1"),
    ("KIX56-C1", "ap-northeast-3"),
    ("ICN54-C1", "ap-northeast-2"),
    ("SIN2-P1", "ap-southeast-1"),
    ("SYD62-P1", "ap-southeast-2"),
    ("BOM78-P1", "ap-south-1"),
    ("HKG62-C1", "ap-east-1"),
    ("GRU3-P1", "sa-east-1"),
    ("BAH53-C1", "me-south-1"),
    ("CPT52-C1", "af-south-1"),
    ("sfo53", "us-west-1"),
]


@pytest.mark.parametrize(("edge", "region"), NEAREST)
def test_nearest_region(edge: str, region: str) -> None:
    assert nearest_region(edge) == region


@pytest.mark.parametrize("edge", ["QQQ1-C1", "", "XX"])
def test_unknown_edge_has_no_nearest_region(edge: str) -> None:
    assert nearest_region(edge) is None


def test_distance_of_paris_and_new_york() -> None:
    assert distance(Point(48.857, 2.352), Point(40.713, -74.006)) == pytest.approx(5837, rel=0.002)


def test_distance_across_the_date_line() -> None:
    assert distance(Point(0.0, 179.0), Point(0.0, -179.0)) == pytest.approx(222, rel=0.01)


def test_tables_are_well_formed() -> None:
    edges, regions, opt_in = parsed(EDGES), parsed(REGIONS), parsed(OPT_IN_REGIONS)
    assert len(edges) == 111
    assert all(code.isalpha() and code.isupper() and len(code) == 3 for code in edges)
    assert not set(regions) & set(opt_in)
    for place in [*edges.values(), *regions.values(), *opt_in.values()]:
        assert -60 <= place.latitude <= 72
        assert -180 <= place.longitude <= 180


def test_regions_are_ones_that_the_sdk_knows() -> None:
    known = set(Session().get_available_regions("s3"))
    mine = {**parsed(REGIONS), **parsed(OPT_IN_REGIONS)}
    assert set(parsed(REGIONS)) <= known
    assert len(set(mine) - known) <= 8  # an older SDK lacks the newest ones


@pytest.mark.parametrize(
    ("edge", "region", "said"),
    [
        ("SFO53-P1", "us-west-1", "SFO53-P1"),
        ("HKG62-C1", "ap-east-1", "enable it in your account first"),
        ("QQQ1-C1", "eu-west-9", "not in the table"),
        (None, "eu-west-9", "names no CloudFront edge"),
    ],
    ids=["known", "opt-in", "unknown", "no-header"],
)
def test_advice_has_its_reason(edge: str | None, region: str, said: str) -> None:
    advice = advise(edge, "eu-west-9")
    assert advice.region == region
    assert said in advice.reason


@pytest.fixture
def server() -> Iterator[ApiServer]:
    with ApiServer([]) as running:
        yield running


@pytest.fixture
def settings() -> CollectionSettings:
    values = {"SOURCE": "lots", "API_AUTH_TOKEN": "s3cret", "DEFAULT_REGION": "eu-west-1"}
    return build(CollectionSettings, values, {}, Path("collection.env"))


def test_region_is_asked_of_the_cdn_without_the_token(
    server: ApiServer, settings: CollectionSettings
) -> None:
    assert recommended_region([server.prefix + "a.jpg"], settings).region == "us-west-1"
    assert "s3cret" not in str(server.heads)
    assert len(server.heads) == 1


def test_region_falls_back_when_the_cdn_is_no_cloudfront(
    server: ApiServer, settings: CollectionSettings
) -> None:
    server.edge = None
    assert recommended_region([server.prefix + "a.jpg"], settings).region == "eu-west-1"


def test_first_url_that_is_not_there_is_said(settings: CollectionSettings) -> None:
    with SourceServer() as source:
        there, gone = source.url_of("a.jpg"), source.url_of("b.jpg", "404")
        built = dataclasses.replace(settings, api_url_base="https://cdn.test/")
        assert recommended_region([there], settings).doubt == ""
        assert "the CDN answered 404" in recommended_region([gone], settings).doubt
        for urls, of, is_wrong in (
            ([gone, gone, gone], built, True),
            ([gone, there, gone], built, False),
            ([gone, gone, gone], settings, False),
        ):
            assert recommended_region(urls, of).is_wrong == is_wrong


def test_region_falls_back_when_the_cdn_is_away(settings: CollectionSettings) -> None:
    with ApiServer([]) as gone:
        url = gone.prefix + "a.jpg"
    advice = recommended_region([url], settings)
    assert advice.region == "eu-west-1"
    assert "did not answer" in advice.reason


def test_region_falls_back_without_a_url(settings: CollectionSettings) -> None:
    assert recommended_region([], settings).region == "eu-west-1"
