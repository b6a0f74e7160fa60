"""The addresses of objects at a new CDN, and of the bucket behind it."""

from __future__ import annotations

import argparse
from pathlib import Path
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cdn2s3.settings.declarations import MigrationSettings
from cdn2s3.settings.loading import build
from cdn2s3.share import share_of
from cdn2s3.validation.new_base import bucket_url, encoded, new_base, plain_url
from tests.properties import examples


@pytest.mark.parametrize(
    ("text", "base"),
    [
        ("https://img.example", "https://img.example/"),
        ("HTTPS://Img.Example/", "https://Img.Example/"),
        ("http://[::1]:8080/a/b", "http://[::1]:8080/a/b/"),
        ("https://img.example/a%20b/", "https://img.example/a%20b/"),
    ],
)
def test_base_ends_in_a_slash(text: str, base: str) -> None:
    assert new_base(text) == base


@pytest.mark.parametrize(
    "text",
    [
        "", "img.example", "ftp://a/", "https://", "https:///a", "https://a/?b", "https://a/#b", "https://u:p@a/",
        "https://a b/", "https://a/ü", "https://a:99999/", "https://a:0/", "https://a/%zz", "https://a/\n",
    ],
)  # fmt: skip
def test_what_is_no_base_is_refused(text: str) -> None:
    with pytest.raises(argparse.ArgumentTypeError, match="must be"):
        new_base(text)


@given(st.text(alphabet=st.characters(exclude_categories=("Cs", "Cc"))))
@examples(100)
def test_encoded_key_is_plain_and_means_the_key(key: str) -> None:
    path = encoded(key)
    assert not set(path) - set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/%")
    assert unquote(path) == key


def test_http_is_known_for_the_usual_port_alone() -> None:
    assert plain_url("https://a/b%20c") == "http://a/b%20c"
    assert plain_url("https://a:443/b") == "http://a/b"
    assert plain_url("https://[::1]/b") == "http://[::1]/b"
    assert plain_url("https://a:8443/b") == plain_url("http://a/b") == ""


@pytest.mark.parametrize(
    ("settings", "url"),
    [
        ({}, "https://bucket.s3.us-west-2.amazonaws.com/a%2Bb"),
        ({"DESTINATION_BUCKET": "dotted.name"}, "https://s3.us-west-2.amazonaws.com/dotted.name/a%2Bb"),
        ({"S3_ADDRESSING_STYLE": "path"}, "https://s3.us-west-2.amazonaws.com/bucket/a%2Bb"),
        ({"AWS_REGION": "cn-north-1"}, "https://bucket.s3.cn-north-1.amazonaws.com.cn/a%2Bb"),
        ({"AWS_ENDPOINT_URL": "https://s3.example:9000/"}, "https://s3.example:9000/bucket/a%2Bb"),
        (
            {"AWS_ENDPOINT_URL": "https://s3.example", "S3_ADDRESSING_STYLE": "virtual"},
            "https://bucket.s3.example/a%2Bb",
        ),
    ],
)
def test_bucket_has_its_own_address(settings: dict[str, str], url: str) -> None:
    given = {"DESTINATION_BUCKET": "bucket", **settings}
    assert bucket_url(build(MigrationSettings, given, {}, Path("migration.env")), "a+b") == url


def test_share_is_that_of_the_path_alone() -> None:
    # echo -n /auctionimages/a.jpg | md5sum
    shares = {
        share_of(url)
        for url in (
            "https://old/auctionimages/a.jpg",
            "http://other:81/auctionimages/a.jpg?v=1/2",
            "HTTPS://old/auctionimages/a.jpg#x?y",
        )
    }
    assert shares == {0x9DE719E8 % 100}
    assert share_of("https://old/auctionimages/a%2Ejpg") not in shares
