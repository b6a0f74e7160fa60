"""APIs that take an expression or a body of their own: Figshare, IGDB, STAC, Confluence, Lightspeed, Scryfall."""

from __future__ import annotations

import json
import re
from typing import Any

from tests.fakes.api_shapes.shape import (
    COUNT,
    Asked,
    Reply,
    Site,
    only_if,
    page,
    registry,
    window,
)

SHAPES, shape = registry()


@shape("figshare", lambda site: [f"{site.cdn}files/{i}" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Figshare articles: a search by POST without a total, then the files of each by GET"""
    article = re.fullmatch("/v2/articles/([0-9]+)", asked.path)
    if article:
        number = int(article[1]) - 100
        return {"id": int(article[1]), "files": [{"download_url": f"{asked.site.cdn}files/{number}"}]}
    if asked.method != "POST":
        return Reply(405, {"message": "Method Not Allowed"}, {"Allow": "POST, OPTIONS"})
    body = json.loads(asked.body)
    return [{"id": 100 + i, "title": "x"} for i in page(body["page"], body["page_size"])]


@shape("igdb", lambda site: [f"{site.cdn}image/upload/t_original/co{i}.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """IGDB covers: a query in plain text (Apicalypse), the total in X-Count, the URL from image_id"""
    query = re.fullmatch(r"fields image_id; sort id asc; limit (\d+); offset (\d+);", asked.body.decode())
    if query is None or asked.headers.get("client-id") != "c":
        return Reply(400, [{"title": "Syntax Error", "status": 400}])
    covers = [{"id": i, "image_id": f"co{i}"} for i in window(int(query[2]), int(query[1]))]
    return Reply(200, covers, {"X-Count": str(COUNT)})


@shape("stac")
def _(asked: Asked) -> Any:
    """STAC item search: the next page's token is in the body of a link, and goes into the body; no total"""
    body = json.loads(asked.body)
    some = window(int(body.get("token", "next:0").partition(":")[2]), body["limit"])
    links: list[dict[str, Any]] = [{"rel": "root", "href": asked.site.origin}]
    if some.stop < COUNT:
        more = {**body, "token": f"next:{some.stop}"}
        links.append({"rel": "next", "method": "POST", "href": asked.url, "body": more})
    features = [{"id": str(i), "assets": {"visual": {"href": asked.image(i)}}} for i in some]
    return {"type": "FeatureCollection", "features": features, "links": links}


def _attachments(site: Site) -> list[str]:
    return [f"{site.cdn}download/attachments/5/{i}.png?version=1" for i in range(COUNT)]


@shape("confluence", _attachments)
def _(asked: Asked) -> Any:
    """Confluence attachments: _links.next lacks the beginning of its path, and is missing on the last page"""
    if not asked.path.startswith("/ex/confluence/CLOUD-ID/wiki/rest/"):
        return Reply(404, {"message": "no route"})
    some = window(asked.whole("start", 0), size := asked.whole("limit", 25))
    path = asked.path.partition("/wiki")[2]
    more = only_if(some.stop < COUNT, next=f"{path}?limit={size}&start={some.stop}")
    results = [{"_links": {"download": f"/download/attachments/5/{i}.png?version=1"}} for i in some]
    return {"results": results, "size": len(some), "_links": {"context": "/wiki", **more}}


@shape("lightspeed", lambda site: [f"{site.cdn}p{i}.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Lightspeed Retail images: a list of one comes as the object itself; next is "" on the last page"""
    some = window(asked.whole("after", 0), size := asked.whole("limit", 100))
    more = f"{asked.url}?limit={size}&after={some.stop}" if some.stop < COUNT else ""
    images = [{"publicID": f"p{i}", "baseImageURL": asked.site.cdn} for i in some]
    return {"@attributes": {"next": more, "previous": ""}, "Image": images[0] if len(images) == 1 else images}


def _faces(site: Site) -> list[str]:
    return [*(f"{site.cdn}front/{i}.jpg" for i in range(COUNT)), f"{site.cdn}back/4.jpg"]


@shape("scryfall", _faces)
def _(asked: Asked) -> Any:
    """Scryfall cards: next_page and has_more; a card with two faces has its images a level deeper"""

    def uris(side: str, number: int) -> dict[str, Any]:
        return {"image_uris": {"large": f"{asked.site.cdn}{side}/{number}.jpg"}}

    some = page(number := asked.whole("page", 1), 3)
    if not some:
        return Reply(404, {"object": "error", "code": "not_found"})
    cards = [
        uris("front", i) if i != 4 else {"card_faces": [uris("front", i), uris("back", i)]} for i in some
    ]
    more = some.stop < COUNT
    following = only_if(more, next_page=f"{asked.url}?q=set%3Aisd&page={number + 1}")
    return {"object": "list", "total_cards": COUNT, "has_more": more, **following, "data": cards}
