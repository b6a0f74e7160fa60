"""Platforms and frameworks: GitLab, Stripe, Elasticsearch, Django REST framework, GraphQL, Google Drive."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.api_shapes.shape import COUNT, Asked, Reply, link, only_if, page, pages, registry, window
from tests.fakes.api_shapes.shops import relay

SHAPES, shape = registry()


@shape("gitlab")
def _(asked: Asked) -> Any:
    """GitLab repository tree: next link in a header (keyset), URL from a path"""
    some = window(asked.whole("page_token", 0), size := asked.whole("per_page", 20), COUNT + 1)
    query = f"id=1&page_token={some.stop}&pagination=keyset&per_page={size}&recursive=true"
    folder = {"type": "tree", "path": "u"}
    tree = [{"type": "blob", "path": f"u/{i}.jpg"} if i < COUNT else folder for i in some]
    return Reply(200, tree, link(f"{asked.url}?{query}") if some.stop <= COUNT else {})


@shape("stripe")
def _(asked: Asked) -> Any:
    """Stripe: starting_after is the last id, has_more; an empty list after the last one"""
    start = int(asked.query.get("starting_after", "prod_-1")[5:]) + 1
    some = window(start, asked.whole("limit", 10))
    data = [{"id": f"prod_{i}", "images": [asked.image(i)]} for i in some]
    return {"object": "list", "has_more": some.stop < COUNT, "data": data}


@shape("elasticsearch")
def _(asked: Asked) -> Any:
    """Elasticsearch search_after: the request is a JSON body, or the parameter source"""
    request = json.loads(asked.query.get("source", asked.body))
    start = request["search_after"][0] + 1 if "search_after" in request else 0  # null is refused
    some = window(start, request["size"])
    hits = [{"_id": str(i), "_source": {"image": asked.image(i)}, "sort": [i]} for i in some]
    return {"hits": {"total": {"value": COUNT, "relation": "eq"}, "hits": hits}}


@shape("elasticsearch-scroll")
def _(asked: Asked) -> Any:
    """Elasticsearch scroll: the id stays the same from page to page, the server moves on"""
    if asked.path == "/lots/_search":
        asked.state["at"] = 0
    some = window(asked.state["at"], 3)
    asked.state["at"] = some.stop
    hits = [{"_source": {"image": asked.image(i)}} for i in some]
    return {"_scroll_id": "FGluY2x1ZGVfY29udGV4dA==", "hits": {"total": {"value": COUNT}, "hits": hits}}


def drf(asked: Asked, origin: str) -> Any:
    """Answer as PageNumberPagination does; next pages are said to be at origin."""
    number, size = asked.whole("page", 1), asked.whole("page_size", 10)
    some = page(number, size)
    if not some:
        return Reply(404, {"detail": "Invalid page."})
    following = f"{origin}{asked.path}?page={number + 1}&page_size={size}"
    return {
        "count": COUNT,
        "next": following if number < pages(size) else None,
        "previous": None,
        "results": [{"image": asked.image(i)} for i in some],
    }


@shape("drf")
def _(asked: Asked) -> Any:
    """Django REST framework: next is a complete URL, count; 404 past the last page"""
    return drf(asked, asked.site.origin)


@shape("drf-proxy")
def _(asked: Asked) -> Any:
    """Django REST framework behind a proxy: next names an inner host (paperless-ngx 3130, 9986)"""
    return drf(asked, asked.site.origin.replace("127.0.0.1", "localhost"))


@shape("graphql-get")
def _(asked: Asked) -> Any:
    """GraphQL (Relay connection) on a server that takes GET"""
    if asked.method != "GET":
        return Reply(405, {"errors": [{"message": "GET only"}]})
    variables = json.loads(asked.query.get("variables") or "{}")
    return relay(asked, 3, variables.get("after"), "images")


@shape("deep-path")
def _(asked: Asked) -> Any:
    """A list three names deep, as in search APIs and GraphQL"""
    some = window(asked.whole("cursor", 0), asked.whole("per_page", 10))
    items = [{"image": {"url": asked.image(i)}} for i in some]
    return {
        "response": {
            "data": {"items": items},
            "meta": {"next": some.stop if some.stop < COUNT else None},
        }
    }


@shape("no-image", lambda site: site.images([0, 1, 3, 4, 6]))
def _(asked: Asked) -> Any:
    """Items without an image that say so with "" or false where others say null"""
    some = page(asked.whole("page", 1), asked.whole("per_page", 10))
    items = [{"image": {2: "", 5: False}.get(i, asked.image(i))} for i in some]
    return {"total": COUNT, "items": items}


@shape("google-drive", lambda site: [f"{site.cdn}drive/v3/files/id{i}?alt=media" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Google Drive: pageToken; the URL from the file's id"""
    some = window(int(asked.query.get("pageToken", "~0")[1:]), asked.whole("pageSize", 100))
    files = [{"id": f"id{i}"} for i in some]
    return {"files": files, **only_if(some.stop < COUNT, nextPageToken=f"~{some.stop}")}
