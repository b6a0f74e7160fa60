"""SOURCE=sitemap: what is followed, what is taken, what is doubted, and where a stopped collection goes on."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from cdn2s3.collection.api.client import api_session
from cdn2s3.collection.sitemap import SitemapPosition, SitemapSource
from cdn2s3.errors import FatalError
from cdn2s3.settings.collection_settings import CollectionSettings
from cdn2s3.settings.loading import build
from tests.fakes.api import Answer
from tests.fakes.pages import PageServer

CDN = "https://cdn.example/"


@pytest.fixture
def site() -> Iterator[PageServer]:
    with PageServer() as running:
        yield running


def settings_for(site: PageServer, path: str = "/sitemap.xml", **more: str) -> CollectionSettings:
    values = {
        "SOURCE": "sitemap",
        "SITEMAP_URL": site.origin + path,
        "API_RATE_LIMIT": "10000",
        "API_TIMEOUT": "5",
        "MAX_RETRIES": "0",
    }
    return build(CollectionSettings, {**values, **more}, {}, Path("collection.env"))


def read_all(settings: CollectionSettings, afresh: bool = False) -> tuple[list[Any], int]:
    """Return all URLs and the number of doubts; afresh: each batch by a new process."""
    with api_session(settings) as session:
        source = SitemapSource(settings, session)
        position: SitemapPosition | None = source.first()
        urls: list[Any] = []
        doubts = 0
        while position is not None:
            if afresh:
                source = SitemapSource(settings, session)
                position = source.resume(json.loads(json.dumps(position._asdict())))
            batch = source.read(position)
            urls += batch.urls
            doubts += batch.unreadable
            position = batch.following
    return urls, doubts


def urlset(*images: str, page: str = "https://shop.example/p") -> bytes:
    found = "".join(f"<image:image><image:loc>{image}</image:loc></image:image>" for image in images)
    return (
        '<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" '
        'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1">'
        f"<url><loc>{page}</loc>{found}</url></urlset>"
    ).encode()


def index(*urls: str) -> bytes:
    found = "".join(f"<sitemap><loc>{url}</loc></sitemap>" for url in urls)
    return (
        f'<sitemapindex xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">{found}</sitemapindex>'.encode()
    )


@pytest.mark.parametrize("afresh", [False, True], ids=["one-process", "a-process-for-each"])
def test_index_is_followed_to_its_sitemaps(site: PageServer, afresh: bool) -> None:
    site.pages = {
        "/sitemap.xml": index(f"{site.origin}/1.xml", "/2.xml.gz", f"{site.origin}/more.xml"),
        "/1.xml": urlset(f"{CDN}1?w=1&amp;h=2"),
        "/2.xml.gz": gzip.compress(urlset(f"{CDN}2")) + gzip.compress(b""),
        "/more.xml": index(f"{site.origin}/3.xml", f"{site.origin}/1.xml", f"{site.origin}/sitemap.xml"),
        "/3.xml": urlset(page=f"{CDN}3.jpg"),
    }
    assert read_all(settings_for(site), afresh) == ([f"{CDN}1?w=1&h=2", f"{CDN}2", f"{CDN}3.jpg"], 0)


SINGLE = [
    pytest.param(urlset(f"{CDN}1", f"{CDN}2"), [f"{CDN}1", f"{CDN}2"], id="urlset"),
    pytest.param(f"\ufeff{CDN}1.jpg\r\nhttps://shop.example/p\r\n".encode(), [f"{CDN}1.jpg"], id="text"),
    pytest.param(urlset("<![CDATA[ https://cdn.example/1 ]]>"), [f"{CDN}1"], id="cdata"),
]


@pytest.mark.parametrize(("content", "urls"), SINGLE)
def test_single_sitemap(site: PageServer, content: bytes, urls: list[str]) -> None:
    site.pages = {"/sitemap.xml": content}
    assert read_all(settings_for(site)) == (urls, 0)


def test_robots_txt_names_sitemaps(site: PageServer) -> None:
    site.pages = {
        "/robots.txt": f"User-agent: *\nDisallow: /x\nSitemap: {site.origin}/1.xml\nsitemap:/2.xml\n".encode(),
        "/1.xml": urlset(f"{CDN}1"),
        "/2.xml": urlset(f"{CDN}2"),
    }
    assert read_all(settings_for(site, "/robots.txt")) == ([f"{CDN}1", f"{CDN}2"], 0)


def test_pages_are_taken_on_request(site: PageServer) -> None:
    site.pages = {"/sitemap.xml": urlset(f"{CDN}1")}
    assert read_all(settings_for(site, URL_COLUMNS="url.loc")) == (["https://shop.example/p"], 0)


BROKEN = [
    pytest.param(Answer(404), "404", id="gone"),
    pytest.param(Answer(403), "403", id="forbidden"),
    pytest.param(urlset(f"{CDN}1")[:-9], "not well-formed", id="cut"),
    pytest.param(gzip.compress(urlset(f"{CDN}1"))[:-9], "ends early", id="cut-gzip"),
    pytest.param(b"<!DOCTYPE html><html><body>Sorry</body></html>", "HTML", id="html"),
    pytest.param(b"Sorry", "isn't a sitemap", id="text"),
    pytest.param(b"", "empty", id="empty"),
    pytest.param(b'<!DOCTYPE u [<!ENTITY a "b">]>' + urlset(), "entities", id="entities"),
]


@pytest.mark.parametrize(("page", "why"), BROKEN)
def test_sitemap_of_an_index_that_cannot_be_read_is_a_doubt(
    site: PageServer, caplog: pytest.LogCaptureFixture, page: Any, why: str
) -> None:
    site.pages = {
        "/sitemap.xml": index(f"{site.origin}/1.xml?key=canary", f"{site.origin}/2.xml"),
        "/1.xml": page,
        "/2.xml": urlset(f"{CDN}2"),
    }
    urls, doubts = read_all(settings_for(site))
    assert doubts == 1
    assert urls[-1] == f"{CDN}2"
    assert why in caplog.text
    assert "canary" not in caplog.text


@pytest.mark.parametrize(("page", "why"), BROKEN)
def test_first_sitemap_that_cannot_be_read_ends_the_collection(site: PageServer, page: Any, why: str) -> None:
    site.pages = {"/sitemap.xml": page}
    with pytest.raises(FatalError, match=f"(?s)SITEMAP_URL=.*{why}"):
        read_all(settings_for(site))


def test_server_that_keeps_failing_ends_the_collection(site: PageServer) -> None:
    site.pages = {"/sitemap.xml": index(f"{site.origin}/1.xml"), "/1.xml": Answer(500)}
    with pytest.raises(FatalError, match="500"):
        read_all(settings_for(site))


def test_credentials_go_to_the_own_origin_alone(site: PageServer) -> None:
    with PageServer() as other:
        site.pages = {
            "/sitemap.xml": index(
                f"{site.origin}/1.xml", f"{other.origin}/2.xml", f"{site.origin}/moved.xml"
            ),
            "/1.xml": urlset(f"{CDN}1"),
            "/moved.xml": Answer(301, b"", (("Location", f"{other.origin}/3.xml"),)),
        }
        other.pages = {"/2.xml": urlset(f"{CDN}2"), "/3.xml": urlset(f"{CDN}3")}
        settings = settings_for(site, API_AUTH_TOKEN="s3cret", API_HEADERS="X-Secret: s3cret")
        assert read_all(settings) == ([f"{CDN}1", f"{CDN}2", f"{CDN}3"], 0)
        assert all("s3cret" in str(request.headers) for request in site.requests)
        assert len(other.requests) == 2
        assert not any("s3cret" in str(request.headers) for request in other.requests)


def test_changed_index_is_gone_over_again(site: PageServer, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO")
    site.pages = {"/sitemap.xml": index(f"{site.origin}/1.xml", f"{site.origin}/2.xml")}
    site.pages |= {f"/{number}.xml": urlset(f"{CDN}{number}") for number in range(4)}
    settings = settings_for(site)
    with api_session(settings) as session:
        source = SitemapSource(settings, session)
        position = source.read(source.read(source.first()).following).following
        site.pages["/sitemap.xml"] = index(
            f"{site.origin}/0.xml", f"{site.origin}/1.xml", f"{site.origin}/2.xml"
        )
        batch = SitemapSource(settings, session).read(position)
    assert (batch.begins_again, batch.following, batch.urls) == (True, source.first(), [])
    assert "changed" in caplog.text
    assert read_all(settings) == ([f"{CDN}0", f"{CDN}1", f"{CDN}2"], 0)


@pytest.mark.parametrize(
    "stored", [{}, {"number": -1, "list_hash": "", "more": []}, {"number": 1, "list_hash": "", "more": [1]}]
)
def test_position_that_is_none_is_refused(site: PageServer, stored: dict[str, Any]) -> None:
    settings = settings_for(site)
    with api_session(settings) as session, pytest.raises(ValueError, match="position"):
        SitemapSource(settings, session).resume(stored)


def test_index_in_a_file_needs_its_sitemaps_beside_it(tmp_path: Path) -> None:
    from tests.unit.collection.files.test_export_files import exports
    from tests.unit.collection.files.test_export_files import read_all as read_files

    (tmp_path / "index.xml").write_bytes(index("https://shop.example/1.xml", "https://shop.example/2.xml.gz"))
    (tmp_path / "1.xml").write_bytes(urlset(f"{CDN}1"))
    assert read_files(exports(tmp_path / "*.xml*")) == ([f"{CDN}1"], 1)
    (tmp_path / "2.xml.gz").write_bytes(gzip.compress(urlset(f"{CDN}2")))
    assert read_files(exports(tmp_path / "*.xml*")) == ([f"{CDN}1", f"{CDN}2"], 0)
