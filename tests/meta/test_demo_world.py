"""The demo's world by itself: the plan, the pictures, and its API."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import subprocess
import sys
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from demo.api import STYLES, TOKEN, ApiServer
from demo.children import ROOT
from demo.planted import planted
from demo.world import FAULTS, FOREIGN_URLS, PICTURES, World, build_small_world, build_world

CDN_URL = "http://cdn.example"


@pytest.fixture(scope="module")
def world() -> World:
    return build_world()


@pytest.fixture(scope="module")
def plan(world: World) -> dict[str, Any]:
    return planted(world, CDN_URL, "images/", "auctionimages/")


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


# The plan


def test_world_of_one_seed_is_the_same_in_another_process(world: World) -> None:
    code = "from demo.world import build_world as b; w = b(); print(repr((w.lots, list(w.images.items()))))"
    environment = {**os.environ, "PYTHONHASHSEED": "4", "PYTHONIOENCODING": "utf-8"}
    other = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environment, capture_output=True, check=True
    )
    assert other.stdout.decode("utf-8").strip() == repr((world.lots, list(world.images.items())))


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


KEPT = sorted(path for path in PICTURES.iterdir() if path.suffix != ".md")


def test_pictures_are_all_in_the_provenance_list() -> None:
    listed = re.findall(r"^\| (\S+) \|.*`([0-9a-f]{64})` \|$", (PICTURES / "PROVENANCE.md").read_text(), re.M)
    assert listed
    assert dict(listed) == {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in KEPT}


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
