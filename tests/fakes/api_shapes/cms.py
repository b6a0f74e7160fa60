"""Headless CMS and image libraries: Contentful, Sanity, Strapi, Cloudinary, Airtable, Drupal."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.api_shapes.shape import COUNT, FOLDER, Asked, Reply, only_if, registry, window

SHAPES, shape = registry()


@shape("contentful", lambda site: site.images([0, 1, 2, 3, 5, 6]))
def _(asked: Asked) -> Any:
    """Contentful assets: skip, limit and total; URLs without a scheme, one asset without a file"""
    some = window(asked.whole("skip", 0), size := asked.whole("limit", 100))
    items = [
        {"fields": {"title": str(i), **only_if(i != 4, file={"url": asked.image(i).partition(":")[2]})}}
        for i in some
    ]
    return {"sys": {"type": "Array"}, "total": COUNT, "skip": some.start, "limit": size, "items": items}


@shape("sanity")
def _(asked: Asked) -> Any:
    """Sanity GROQ: the next page by a $parameter that is JSON, the last _id"""
    last = json.loads(asked.query["$lastId"])
    some = [i for i in range(COUNT) if f"image-{i}" > last][:3]
    found = [{"_id": f"image-{i}", "url": asked.image(i)} for i in some]
    return {"ms": 1, "query": asked.query["query"], "result": found}


@shape("strapi-files", lambda site: [f"{site.cdn}{i}.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Strapi upload files: one bare list without pagination, relative URLs"""
    return [{"id": i, "url": f"{FOLDER}{i}.jpg"} for i in range(COUNT)]


def cloudinary(asked: Asked) -> Reply:
    """Answer for /resources/image."""
    if asked.headers.get("authorization") != "Basic a2V5OnNlY3JldA==":
        return Reply(401, {"error": {"message": "unknown api_key"}})
    some = window(asked.whole("next_cursor", 0), asked.whole("max_results", 10))
    resources = [{"public_id": str(i), "secure_url": asked.image(i)} for i in some]
    body = {"resources": resources, **only_if(some.stop < COUNT, next_cursor=str(some.stop))}
    return Reply(200, body, {"X-FeatureRateLimit-Remaining": "490"})


@shape("cloudinary")
def _(asked: Asked) -> Reply:
    """Cloudinary Admin API: basic authentication, next_cursor"""
    return cloudinary(asked)


@shape("cloudinary-420")
def _(asked: Asked) -> Reply:
    """Cloudinary, rate limited once with status 420"""
    if "next_cursor" in asked.query and not asked.state.setdefault("said", False):
        asked.state["said"] = True
        reset = {"X-FeatureRateLimit-Reset": "Thu, 26 Nov 2020 23:59:59 GMT"}
        return Reply(420, {"error": {"message": "Rate Limit Exceeded"}}, reset)
    return cloudinary(asked)


@shape("airtable", lambda site: site.images([0, 1, 2, 4, 5, 6]))
def _(asked: Asked) -> Any:
    """Airtable: offset is a token; attachments, and a record without any"""
    some = window(int(asked.query.get("offset", "itr/rec0")[7:]), asked.whole("pageSize", 100))
    records = [{"id": f"rec{i}", "fields": only_if(i != 3, Photos=[{"url": asked.image(i)}])} for i in some]
    return {"records": records, **only_if(some.stop < COUNT, offset=f"itr/rec{some.stop}")}


@shape("drupal-jsonapi", lambda site: [f"{site.cdn}{i}.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Drupal (JSON:API): links.next.href is a complete URL, uri.url is relative, no total"""
    some = window(asked.whole("page[offset]", 0), size := asked.whole("page[limit]", 50))
    following = f"{asked.url}?page%5Boffset%5D={some.stop}&page%5Blimit%5D={size}"
    links = {"self": {"href": "x"}, **only_if(some.stop < COUNT, next={"href": following})}
    data = [{"attributes": {"uri": {"url": f"{FOLDER}{i}.jpg"}}} for i in some]
    return {"jsonapi": {}, "data": data, "links": links}
