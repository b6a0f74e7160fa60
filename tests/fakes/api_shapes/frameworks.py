"""Frameworks and open data portals: Laravel, Spring, CKAN, Socrata, ArcGIS, PocketBase, NocoDB, Backblaze."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qs

from tests.fakes.api_shapes.shape import (
    COUNT,
    Asked,
    Reply,
    Site,
    link,
    only_if,
    page,
    pages,
    registry,
    window,
)

SHAPES, shape = registry()


@shape("laravel")
def _(asked: Asked) -> Any:
    """Laravel pagination: next_page_url is a complete URL, null on the last page, and loses other parameters"""
    number, size = asked.whole("page", 1), asked.whole("per_page", 15)
    last = pages(size)
    counts = {"current_page": number, "last_page": last, "per_page": size, "total": COUNT}
    following = f"{asked.url}?page={number + 1}" if number < last else None  # without per_page
    return {
        **counts,
        "next_page_url": following,
        "data": [{"photo": asked.image(i)} for i in page(number, size)],
    }


@shape("spring-page")
def _(asked: Asked) -> Any:
    """Spring's Page as JSON: pages from 0, last is true on the last one, totalElements"""
    number, size = asked.whole("page", 0), asked.whole("size", 20)
    content = [{"imageUrl": asked.image(i)} for i in page(number + 1, size)]
    counts = {
        "number": number,
        "totalPages": pages(size),
        "totalElements": COUNT,
        "last": number + 1 >= pages(size),
    }
    return {"content": content, **counts}


@shape("ckan")
def _(asked: Asked) -> Any:
    """CKAN datastore_search: offset, limit and total; _links.next never ends"""
    some = window(asked.whole("offset", 0), size := asked.whole("limit", 100))
    links = {"start": "x", "next": f"{asked.path}?resource_id=r&limit={size}&offset={some.start + size}"}
    records = [{"_id": i, "bild": asked.image(i)} for i in some]
    return {"success": True, "result": {"records": records, "total": COUNT, "_links": links}}


@shape("socrata")
def _(asked: Asked) -> Any:
    """Socrata: $limit and $offset, a bare list without a total; a URL inside an object"""
    some = window(asked.whole("$offset", 0), asked.whole("$limit", 1000))
    return [{":id": f"row-{i}", "image": {"url": asked.image(i)}} for i in some]


@shape("arcgis")
def _(asked: Asked) -> Any:
    """ArcGIS feature service: resultOffset; exceededTransferLimit is true, or missing on the last page"""
    some = window(asked.whole("resultOffset", 0), asked.whole("resultRecordCount", 2000))
    features = [{"attributes": {"OBJECTID": i, "PHOTO_URL": asked.image(i)}} for i in some]
    return {"features": features, **only_if(some.stop < COUNT, exceededTransferLimit=True)}


def _pocketbase_urls(site: Site) -> list[str]:
    return [
        f"{site.cdn}api/files/lots/r{i}/{name}_{i}.jpg" for i in range(COUNT) for name in ("front", "back")
    ]


@shape("pocketbase", _pocketbase_urls)
def _(asked: Asked) -> Any:
    """PocketBase records: perPage and totalItems; the URL from collection, record and several file names"""
    number, size = asked.whole("page", 1), asked.whole("perPage", 30)
    items = [
        {"id": f"r{i}", "collectionName": "lots", "photos": [f"front_{i}.jpg", f"back_{i}.jpg"]}
        for i in page(number, size)
    ]
    return {"page": number, "perPage": size, "totalItems": COUNT, "totalPages": pages(size), "items": items}


@shape("nocodb")
def _(asked: Asked) -> Any:
    """NocoDB records: offset and limit, pageInfo.isLastPage; a list of attachments, null where there is none"""
    some = window(asked.whole("offset", 0), size := asked.whole("limit", 25))
    info = {
        "totalRows": COUNT,
        "pageSize": size,
        "isFirstPage": some.start == 0,
        "isLastPage": some.stop >= COUNT,
    }
    rows = [{"Id": i, "Photos": [{"signedUrl": asked.image(i)}]} for i in some]
    return {"list": rows, "pageInfo": info}


@shape("last-id")
def _(asked: Asked) -> Any:
    """A bare list by the last item's ID (Trello, Mixcloud, old Rails APIs): nothing says that there is more"""
    some = window(int(asked.query.get("after", "c-1")[1:]) + 1, asked.whole("limit", 50))
    return [{"id": f"c{i}", "cover": asked.image(i)} for i in some]


@shape("scroll-again", lambda site: site.images([0, 1, 2, 3, 4, 5]))
def _(asked: Asked) -> Any:
    """A scan with a scroll_id that is the same on each page, null after the last one (Mercado Libre)"""
    if "scroll_id" not in asked.query:
        asked.state["at"] = 0
    some = window(asked.state["at"], asked.whole("limit", 50), 6)
    asked.state["at"] = some.stop
    results = [{"pictures": [{"secure_url": asked.image(i)}]} for i in some]
    return {
        "paging": {"total": 6, "limit": 50},
        "scroll_id": "YXBpY29y" if some else None,
        "results": results,
    }


@shape("google-custom-search")
def _(asked: Asked) -> Any:
    """Google Custom Search: queries.nextPage is a list, missing on the last page; start counts from 1"""
    start, size = asked.whole("start", 1), asked.whole("num", 10)
    if start < 1:
        return Reply(400, {"error": {"code": 400, "message": "Request contains an invalid argument."}})
    some = window(start - 1, size)
    queries: dict[str, Any] = {"request": [{"totalResults": str(COUNT), "startIndex": start}]}
    queries |= only_if(some.stop < COUNT, nextPage=[{"startIndex": some.stop + 1}])
    return {"queries": queries, "items": [{"link": asked.image(i)} for i in some]}


@shape("tmdb", lambda site: [f"{site.cdn}t/p/original/p{i}.jpg" for i in (0, 1, 2, 3, 5, 6)])
def _(asked: Asked) -> Any:
    """TMDB discover: pages of a fixed size, poster_path begins with a slash, null where there is none"""
    some = page(asked.whole("page", 1), 3)
    results = [{"id": i, "poster_path": f"/p{i}.jpg" if i != 4 else None} for i in some]
    return {"page": asked.whole("page", 1), "results": results, "total_pages": 3, "total_results": COUNT}


@shape("backblaze-b2", lambda site: [f"{site.cdn}file/bucket/lots/{i}%20a.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Backblaze B2 list_file_names: POST; nextFileName goes into startFileName, null on the last page"""
    request = json.loads(asked.body)
    start = request.get("startFileName")
    some = window(int(start[5:-6]) if start else 0, request["maxFileCount"])
    files = [{"fileName": f"lots/{i} a.jpg", "action": "upload"} for i in some]
    return {"files": files, "nextFileName": f"lots/{some.stop} a.jpg" if some.stop < COUNT else None}


@shape("mediawiki-by-id")
def _(asked: Asked) -> Any:
    """MediaWiki with formatversion=1: pages are an object by ID"""
    some = window(int(asked.query.get("gaicontinue", "0")), 3)
    found = {str(-1 - i): {"title": f"File:{i}", "imageinfo": [{"url": asked.image(i)}]} for i in some}
    following = {"gaicontinue": str(some.stop), "continue": "gaicontinue||"}
    return {**only_if(some.stop < COUNT, **{"continue": following}), "query": {"pages": found}}


@shape("mastodon")
def _(asked: Asked) -> Reply:
    """Mastodon timelines: next link in a header, with max_id; an empty page without one at the end"""
    some = window(asked.whole("max_id", 0), asked.whole("limit", 20))
    statuses = [{"id": str(i), "media_attachments": [{"type": "image", "url": asked.image(i)}]} for i in some]
    return Reply(200, statuses, link(f"{asked.url}?max_id={some.stop}&limit=3") if some else {})


@shape("form-post")
def _(asked: Asked) -> Any:
    """A search that takes a form by POST, the page's number in it"""
    form = {name: values[0] for name, values in parse_qs(asked.body.decode()).items()}
    if "x-www-form-urlencoded" not in asked.headers.get("content-type", ""):
        return Reply(415, {"error": "unsupported media type"})
    some = page(int(form["page"]), int(form["rows"]))
    return {"found": COUNT, "docs": [{"img": asked.image(i)} for i in some]}


@shape("linked-art", lambda site: [f"{site.cdn}{i}/full/max/0/default.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Linked Art search: next.id is a complete URL; each object is its own document"""
    if asked.path.startswith("/object/"):
        i = asked.path.rpartition("/")[2]
        return {
            "id": asked.url,
            "representation": [{"access_point": [{"id": f"{asked.site.cdn}{i}/full/max/0/default.jpg"}]}],
        }
    some = window(asked.whole("pageToken", 0), 3)
    items = [{"id": f"{asked.site.origin}/object/{i}", "type": "HumanMadeObject"} for i in some]
    following = {"id": f"{asked.url}?pageToken={some.stop}", "type": "OrderedCollectionPage"}
    return {
        "partOf": {"totalItems": COUNT},
        **only_if(some.stop < COUNT, next=following),
        "orderedItems": items,
    }
