"""The demo's world by itself: the plan, the pictures, and its servers on the wire."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from demo.api import STYLES, TOKEN, ApiServer
from demo.cdn import CdnServer
from demo.children import ROOT
from demo.planted import planted
from demo.stamp import stamp
from demo.world import AUCTIONS, FAULTS, FOREIGN_URLS, PICTURES, Image, World, build_small_world, build_world

CDN_URL = "http://cdn.example"


@pytest.fixture(scope="module")
def world() -> World:
    return build_world()


@pytest.fixture(scope="module")
def plan(world: World) -> dict[str, Any]:
    return planted(world, CDN_URL, "images/", "auctionimages/")


@pytest.fixture
def cdn(world: World) -> Iterator[CdnServer]:
    with CdnServer(world) as server:
        yield server


def test_in_the_small_world_every_fault_heals() -> None:
    world = build_small_world()
    assert (len(world.lots), len(world.images), world.repeated) == (48, 96, ())
    faults = [image.fault for image in world.images.values() if image.fault]
    assert [fault.first for fault in faults] == [1, 1, 1]
    assert planted(world, CDN_URL, "images/", "")["expected"]["failed"] == 0


def ask(url: str, method: str = "GET", **headers: str) -> tuple[int, http.client.HTTPMessage, bytes]:
    """Make one request on a connection of its own; return status, headers and body."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.netloc, timeout=10)
    try:
        target = parts.path + (f"?{parts.query}" if parts.query else "")
        connection.request(method, target, headers=headers)
        response = connection.getresponse()
        return response.status, response.headers, response.read()
    finally:
        connection.close()


def with_fault(world: World, name: str) -> Image:
    """Return the first image in which the fault is planted."""
    return next(image for image in world.images.values() if image.fault and image.fault.name == name)


# The plan


def test_world_of_one_seed_is_the_same_in_another_process(world: World) -> None:
    code = "from demo.world import build_world as b; w = b(); print(repr((w.lots, list(w.images.items()))))"
    environment = {**os.environ, "PYTHONHASHSEED": "4", "PYTHONIOENCODING": "utf-8"}
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert other.stdout.decode("utf-8").strip() == repr((world.lots, list(world.images.items())))


def test_world_has_the_production_shape(world: World) -> None:
    shape = re.compile(r"/auctionimages/(\d{4})/1\d{9}/[it]01\d\d[^/]*\.(jpg|png|gif|webp|avif)")
    matches = [shape.fullmatch(image.path) for image in world.images.values()]
    assert all(matches)
    assert 1900 <= len(matches) <= 2100
    assert {int(match.group(1)) for match in matches if match} == set(AUCTIONS)
    assert {match.group(2) for match in matches if match} == {"jpg", "png", "gif", "webp", "avif"}


def test_planted_has_each_fault_once_per_url(world: World, plan: dict[str, Any]) -> None:
    urls = [url for fault in plan["faults"].values() for url in fault["urls"]]
    assert len(urls) == len(set(urls)) == sum(fault.lots for fault in FAULTS)
    assert set(plan["faults"]) == {
        "not_found", "forbidden", "html", "empty", "truncated", "burst", "drip"
    }  # fmt: skip


def test_planted_numbers_add_up(world: World, plan: dict[str, Any]) -> None:
    expected = plan["expected"]
    assert expected["urls_given"] == expected["urls"] + expected["duplicates"] + expected["rejected"]
    assert expected["urls"] == expected["completed"] + expected["failed"]
    assert expected["completed"] == len(plan["objects"])
    assert expected["rejected"] / expected["urls_given"] > 0.001


def test_planted_objects_have_keys_and_bytes_of_their_own(plan: dict[str, Any]) -> None:
    objects = plan["objects"]
    assert len({told["key"] for told in objects.values()}) == len(objects)
    assert len({told["sha256"] for told in objects.values()}) == len(objects)
    (url,) = (url for url in plan["names"]["encoded"] if "%25" in url)
    assert objects[url]["key"].startswith("images/3")
    assert objects[url]["key"].endswith("/i0181-50% Silber.jpg")
    assert max(told["bytes"] for told in objects.values()) > 10_000_000


# The pictures


def jpeg_is_whole(body: bytes) -> bool:
    place = 2
    while body[place + 1] != 0xDA:  # segments, until the scan begins
        assert body[place] == 0xFF
        place += 2 + struct.unpack(">H", body[place + 2 : place + 4])[0]
    return body.startswith(b"\xff\xd8") and body.endswith(b"\xff\xd9")


def png_is_whole(body: bytes) -> bool:
    place, kinds = 8, []
    while place < len(body):
        length, kind = struct.unpack(">I4s", body[place : place + 8])
        content = body[place + 4 : place + 8 + length]
        kinds.append(kind)
        assert struct.unpack(">I", body[place + 8 + length : place + 12 + length])[0] == zlib.crc32(content)
        place += length + 12
    return [kinds[0], kinds[-1]] == [b"IHDR", b"IEND"]


def gif_is_whole(body: bytes) -> bool:
    return body.startswith(b"GIF89a") and body.endswith(b"\0;")


def webp_is_whole(body: bytes) -> bool:
    return body[8:12] == b"WEBP" and body[4:8] == struct.pack("<I", len(body) - 8)


def avif_is_whole(body: bytes) -> bool:
    place = 0
    while place < len(body):
        place += struct.unpack(">I", body[place : place + 4])[0]
    return body[4:12] == b"ftypavif" and place == len(body)


IS_WHOLE = {
    ".jpg": jpeg_is_whole,
    ".png": png_is_whole,
    ".gif": gif_is_whole,
    ".webp": webp_is_whole,
    ".avif": avif_is_whole,
}
KEPT = sorted(path for path in PICTURES.iterdir() if path.suffix in IS_WHOLE)


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.name)
def test_picture_stays_whole_with_a_stamp(path: Path) -> None:
    body = path.read_bytes()
    stamped = stamp(body, "/auctionimages/3483/x%20y.jpg")
    assert IS_WHOLE[path.suffix](body)
    assert IS_WHOLE[path.suffix](stamped)
    assert b"/auctionimages/3483/x%20y.jpg" in stamped
    assert len(body) < 60_000


def test_pictures_are_all_in_the_provenance_list() -> None:
    listed = re.findall(r"^\| (\S+) \|.*`([0-9a-f]{64})` \|$", (PICTURES / "PROVENANCE.md").read_text(), re.M)
    assert listed
    assert dict(listed) == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in KEPT}


# The CDN


def test_cdn_truncated_body_heals_at_the_second_download(world: World, cdn: CdnServer) -> None:
    image = with_fault(world, "truncated")
    assert ask(cdn.url + image.path, "HEAD")[0] == 200  # a look does not heal it
    with pytest.raises(http.client.IncompleteRead) as raised:
        ask(cdn.url + image.path)
    assert raised.value.partial == world.body(image)[: len(raised.value.partial)]
    assert ask(cdn.url + image.path)[2] == world.body(image)


# The API

Json = dict[str, Any]


def get_json(url: str, token: str = TOKEN) -> tuple[int, http.client.HTTPMessage, Json]:
    status, headers, body = ask(url, Authorization=f"Bearer {token}")
    return status, headers, json.loads(body)


def following(style: str, url: str, headers: http.client.HTTPMessage, answer: Json, got: int) -> str | None:
    """Return the URL of the page after this one, by the rules of `style`; None at the end."""
    base = url.partition("?")[0]
    if style in ("page", "offset"):
        number = int(url.rpartition("=")[2])
        step = 1 if style == "page" else got
        return f"{base}?per_page=50&{style}={number + step}" if got else None
    if style == "cursor":
        return answer["next_cursor"] and f"{base}?per_page=50&cursor={answer['next_cursor']}"
    if style == "next_url":
        next_url: str | None = answer["next"]
        return next_url
    link = re.fullmatch(r'<(.*)>; rel="next"', headers.get("Link", ""))
    return link.group(1) if link else None


class Walk(NamedTuple):
    """What one reading of the whole API gave."""

    items: list[Json]
    sizes: list[int]  # of the pages that the items came in
    errors: list[int]  # statuses other than 200, asked again at once


def walk(api: ApiServer, style: str) -> Walk:
    """Read all pages in one style."""
    first = {"page": "&page=1", "offset": "&offset=0"}.get(style, "")
    url: str | None = f"{api.endpoint(style)}?per_page=50{first}"
    read = Walk([], [], [])
    while url:
        status, headers, answer = get_json(url)
        if status != 200:
            read.errors.append(status)
            continue
        assert answer["total"] == len(api.world.lots)
        read.items.extend(answer["items"])
        read.sizes.append(len(answer["items"]))
        url = following(style, url, headers, answer, len(answer["items"]))
    return read


@pytest.mark.parametrize("style", STYLES)
def test_api_walk_gives_every_lot_in_order(world: World, style: str) -> None:
    with ApiServer(world, CDN_URL, faults=False) as api:
        items, sizes, errors = walk(api, style)
    assert errors == []
    assert [(item["auction_id"], item["lot_number"]) for item in items] == [lot[:2] for lot in world.lots]
    urls = {item[name] for item in items for name in ("image_url", "thumb_url")}
    assert urls == {CDN_URL + image.path for image in world.images.values()} | set(FOREIGN_URLS)
    assert 30 in sizes[:-3]  # a short page in the middle
    assert (sizes[-1] == 0) == (style in ("page", "offset"))


# As processes
