"""collect_urls.py as a process with SOURCE=files and sitemap: files, exit codes, the last screen, kills."""

from __future__ import annotations

import gzip
import random
import time
from pathlib import Path

import pytest

from tests.fakes.pages import PageServer
from tests.scripts.test_collect_urls import Collection
from tests.tiers import neighbors

CDN = "https://cdn.test/"


@pytest.fixture
def exports(tmp_path: Path) -> Collection:
    return Collection(
        tmp_path,
        SOURCE="files",
        FILES="*.export",
        URL_PREFIX=CDN,
        MAX_RETRIES="0",
        DEFAULT_REGION="eu-west-1",
    )


def write(collection: Collection, content: str | bytes, name: str = "shop.export") -> None:
    (collection.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())


def test_export_is_collected_and_vouches_for_itself(exports: Collection) -> None:
    write(
        exports,
        f'ID,Images,Link\n1,"{CDN}a.png?v=1, {CDN}b.png?v=2",https://shop.test/1\n2,{CDN}a.png?v=1,\n',
    )
    ended = exports.run()
    assert ended.returncode == 0, ended.stdout
    assert exports.lines() == [f"{CDN}a.png?v=1", f"{CDN}b.png?v=2"]
    assert "every part of the source was read to its end" in ended.stdout
    assert "1  duplicates skipped" in ended.stdout
    assert f"1  fields with several URLs, divided, such as {CDN}a.png?***" in ended.stdout
    assert "shop.export: fields with several URLs, divided: 1" in exports.log()
    again = exports.run()
    assert again.returncode == 0
    assert "already complete" in again.stdout
    assert "1  fields with several URLs, divided" in again.stdout


def test_key_column_ends_the_lines(exports: Collection) -> None:
    write(exports, f"url,name\n{CDN}uc?id=1,a b.jpg\n{CDN}uc?id=2,c.jpg\n{CDN}uc?id=3,\n")
    ended = exports.run(URL_COLUMNS="url", KEY_COLUMN="name")
    assert ended.returncode == 1  # a third of the URLs was rejected
    assert exports.lines() == [f"{CDN}uc?id=1\tkey=a b.jpg", f"{CDN}uc?id=2\tkey=c.jpg"]
    assert exports.rejected.read_text(encoding="utf-8") == f"{CDN}uc?id=3\tno name in KEY_COLUMN\n"


def test_part_that_cannot_be_read_is_a_doubt_for_ever(exports: Collection) -> None:
    lines = "".join(f"{CDN}{number * 7919 % 1_000_003}.jpg\n" for number in range(5_000))
    write(exports, gzip.compress(f"image\n{lines}".encode())[:-200])
    ended = exports.run()
    assert ended.returncode == 1
    assert "1 part could not be read" in ended.stdout
    assert "not copied completely" in exports.log()
    assert exports.run().returncode == 1


def test_misspelled_column_of_a_table_is_fixable(exports: Collection) -> None:
    write(exports, f"id,image_url\n1,{CDN}a.jpg\n")
    ended = exports.run(URL_COLUMNS="imageurl")
    assert ended.returncode == 2
    assert "did you mean 'image_url'" in ended.stderr
    assert exports.run("--restart", URL_COLUMNS="image_url").returncode == 0


def test_misspelled_name_in_json_is_a_doubt(exports: Collection) -> None:
    write(exports, f'[{{"image": "{CDN}a.jpg"}}]')
    ended = exports.run(URL_COLUMNS="image,thmb")
    assert ended.returncode == 1
    assert "'thmb'" in exports.log()


def test_settings_that_do_not_fit_the_source_are_fixable(exports: Collection) -> None:
    ended = exports.run(SOURCE="lots", KEY_COLUMN="x")
    assert ended.returncode == 2
    assert "FILES is set, but SOURCE=lots does not use it: set SOURCE=files" in ended.stderr
    assert "KEY_COLUMN is set" in ended.stderr


@pytest.mark.parametrize("kind", neighbors("csv.gz", "csv", "json"))
def test_kill_at_any_moment_loses_and_doubles_nothing(exports: Collection, kind: str) -> None:
    draw = random.Random(12)
    urls = [f"{CDN}{number:06}.jpg" for number in range(60_000)]
    if kind == "json":
        content = (
            '{"items": [' + ",".join(f'{{"image": "{url}", "text": "{"x" * 90}"}}' for url in urls) + "]}"
        )
    else:
        content = "id,image,text\n" + "".join(f'{at},{url},"x\ny"\n' for at, url in enumerate(urls))
    write(exports, gzip.compress(content.encode(), 1) if kind == "csv.gz" else content)
    killed = 0
    for _ in range(4):
        process = exports.start(CHECKPOINT_INTERVAL="2000")
        grown = exports.urls.stat().st_size if exports.urls.exists() else 0
        aim = grown + draw.randint(0, 400_000)
        deadline = time.monotonic() + 30
        while time.monotonic() < deadline and process.poll() is None:
            if exports.urls.exists() and exports.urls.stat().st_size > aim:
                break
            time.sleep(0.002)
        process.kill()
        killed += process.wait(30) != 0
    assert killed >= 2
    assert exports.run(CHECKPOINT_INTERVAL="2000").returncode == 0
    assert exports.lines() == urls


def test_sitemaps_are_collected(exports: Collection) -> None:
    with PageServer() as site:
        site.pages = {"/robots.txt": b"Sitemap: /index.xml\n"}
        site.pages["/index.xml"] = (
            "<sitemapindex>"
            + "".join(f"<sitemap><loc>{site.origin}/{number}.xml</loc></sitemap>" for number in range(500))
            + "</sitemapindex>"
        ).encode()
        for number in range(500):
            image = f"<image:image><image:loc>{CDN}{number}</image:loc></image:image>"
            page = f'<urlset xmlns:image="x"><url><loc>https://shop.test/</loc>{image}</url></urlset>'
            site.pages[f"/{number}.xml"] = page.encode()
        settings = {"SOURCE": "sitemap", "FILES": "", "SITEMAP_URL": f"{site.origin}/robots.txt"}
        ended = exports.run(**settings, API_RATE_LIMIT="10000")
        assert ended.returncode == 0, ended.stdout + ended.stderr
        assert exports.lines() == [f"{CDN}{number}" for number in range(500)]
        site.pages["/7.xml"] = b"<urlset><url>"
        ended = exports.run("--restart", **settings, API_RATE_LIMIT="10000")
    assert ended.returncode == 1
    assert "1 sitemap could not be read" in ended.stdout
