"""More content systems: Ghost, Prismic, Storyblok, DatoCMS, Hygraph, Directus, Payload, Strapi, Contentstack."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.api_shapes.shape import (
    COUNT,
    FOLDER,
    Asked,
    Reply,
    Site,
    only_if,
    page,
    pages,
    registry,
    window,
)

SHAPES, shape = registry()


@shape("ghost", lambda site: site.images([0, 1, 3, 4, 5, 6]))
def _(asked: Asked) -> Any:
    """Ghost Content API posts: meta.pagination.next is the number of the next page, null on the last one"""
    number, size = asked.whole("page", 1), asked.whole("limit", 15)
    last = pages(size)
    paging = {"page": number, "limit": size, "pages": last, "total": COUNT}
    paging |= {"next": number + 1 if number < last else None, "prev": number - 1 or None}
    posts = [{"id": str(i), "feature_image": asked.image(i) if i != 2 else None} for i in page(number, size)]
    return {"posts": posts, "meta": {"pagination": paging}}


@shape("prismic", lambda site: [f"{url}?auto=compress,format" for url in site.images(range(COUNT))])
def _(asked: Asked) -> Any:
    """Prismic documents: next_page is a complete URL with the token in it, null on the last page"""
    if asked.query.get("access_token") != "MC5x" or "ref" not in asked.query:
        return Reply(401, {"error": "Invalid access token"})
    number, size = asked.whole("page", 1), asked.whole("pageSize", 20)
    query = f"ref={asked.query['ref']}&page={number + 1}&pageSize={size}&access_token=MC5x"
    results = [
        {"id": str(i), "data": {"image": {"url": asked.image(i) + "?auto=compress,format"}}}
        for i in page(number, size)
    ]
    return {
        "page": number,
        "results_per_page": size,
        "results_size": len(results),
        "total_results_size": COUNT,
        "total_pages": pages(size),
        "next_page": f"{asked.url}?{query}" if number < pages(size) else None,
        "prev_page": None,
        "results": results,
    }


@shape("storyblok")
def _(asked: Asked) -> Any:
    """Storyblok assets: by page, the total in the header Total, an empty list past the end"""
    if asked.headers.get("authorization") != "tok":
        return Reply(401, {"error": "Unauthorized"})
    number, size = asked.whole("page", 1), asked.whole("per_page", 25)
    assets = [{"id": i, "filename": asked.image(i)} for i in page(number, size)]
    return Reply(200, {"assets": assets}, {"Total": str(COUNT), "Per-Page": str(size)})


@shape("datocms")
def _(asked: Asked) -> Any:
    """DatoCMS GraphQL: POST, first and skip in the variables, the total in _allUploadsMeta"""
    request = json.loads(asked.body)
    if asked.headers.get("authorization") != "Bearer t" or "allUploads" not in request["query"]:
        return {"errors": [{"message": "INVALID_AUTHORIZATION_HEADER"}]}
    variables = request["variables"]
    some = window(variables["skip"], variables["first"])
    return {
        "data": {"allUploads": [{"url": asked.image(i)} for i in some], "_allUploadsMeta": {"count": COUNT}}
    }


@shape("hygraph")
def _(asked: Asked) -> Any:
    """Hygraph GraphQL: POST, assetsConnection with edges and pageInfo; throttled once, with status 200"""
    variables = json.loads(asked.body)["variables"]
    if variables.get("after") and not asked.state.setdefault("said", False):
        asked.state["said"] = True
        return {
            "errors": [{"message": "too many requests", "extensions": {"code": "THROTTLED"}}],
            "data": None,
        }
    some = window(int(variables.get("after") or 0), variables["first"])
    more = some.stop < COUNT
    info = {"hasNextPage": more, "endCursor": str(some.stop) if more else None}
    edges = [{"node": {"url": asked.image(i)}} for i in some]
    return {"data": {"assetsConnection": {"edges": edges, "pageInfo": info, "aggregate": {"count": COUNT}}}}


def _directus_urls(site: Site) -> list[str]:
    return [f"{site.cdn}assets/f-{i}" for i in range(COUNT)]


@shape("directus", _directus_urls)
def _(asked: Asked) -> Any:
    """Directus files: offset and limit, the total when asked for, the URL from the file's ID"""
    some = window(asked.whole("offset", 0), asked.whole("limit", 100))
    meta = only_if("meta" in asked.query, meta={"filter_count": COUNT})
    return {"data": [{"id": f"f-{i}"} for i in some], **meta}


def _payload_urls(site: Site) -> list[str]:
    return [f"{site.cdn}{i}%20b.jpg" for i in range(COUNT)]


@shape("payload", _payload_urls)
def _(asked: Asked) -> Any:
    """Payload media: page, hasNextPage and nextPage; relative URLs with spaces"""
    number, size = asked.whole("page", 1), asked.whole("limit", 10)
    more = number < pages(size)
    docs = [{"id": str(i), "url": f"{FOLDER}{i} b.jpg"} for i in page(number, size)]
    counts = {
        "totalDocs": COUNT,
        "limit": size,
        "page": number,
        "totalPages": pages(size),
        "hasNextPage": more,
    }
    return {"docs": docs, **counts, "nextPage": number + 1 if more else None}


def _strapi_urls(site: Site) -> list[str]:
    return [f"{site.cdn}{i}.jpg" for i in (0, 1, 2, 3, 5, 6)]


@shape("strapi-entries", _strapi_urls)
def _(asked: Asked) -> Any:
    """Strapi entries with a cover: pagination[page], the total in meta.pagination, one without a cover"""
    number, size = asked.whole("pagination[page]", 1), asked.whole("pagination[pageSize]", 25)
    covers = {
        i: {"data": {"attributes": {"url": f"{FOLDER}{i}.jpg"}} if i != 4 else None} for i in range(COUNT)
    }
    data = [{"id": i, "attributes": {"cover": covers[i]}} for i in page(number, size)]
    paging = {"page": number, "pageSize": size, "pageCount": pages(size), "total": COUNT}
    return {"data": data, "meta": {"pagination": paging}}


@shape("contentstack")
def _(asked: Asked) -> Any:
    """Contentstack assets: skip and limit, count when asked for, two headers"""
    if asked.headers.get("api_key") != "k" or asked.headers.get("access_token") != "t":
        return Reply(401, {"error_message": "api_key is not valid"})
    some = window(asked.whole("skip", 0), asked.whole("limit", 100))
    count = only_if("include_count" in asked.query, count=COUNT)
    return {"assets": [{"uid": str(i), "url": asked.image(i)} for i in some], **count}
