"""More platforms, databases and searches: Notion, HubSpot, Salesforce, Odoo, Algolia, Firestore, Supabase, Solr."""

from __future__ import annotations

import json
from typing import Any

from tests.fakes.api_shapes.shape import COUNT, Asked, Reply, Site, only_if, page, pages, registry, window

SHAPES, shape = registry()


@shape("notion")
def _(asked: Asked) -> Any:
    """Notion database query: POST with start_cursor, which must not be null; a header for the version"""
    request = json.loads(asked.body) if asked.method == "POST" else {}
    if asked.headers.get("notion-version") != "2022-06-28" or not isinstance(
        request.get("start_cursor", ""), str
    ):
        return Reply(
            400, {"object": "error", "code": "validation_error", "message": "start_cursor should be a string"}
        )
    some = window(int(request.get("start_cursor", "0")), request["page_size"])
    more = some.stop < COUNT
    results = [{"properties": {"Photos": {"files": [{"file": {"url": asked.image(i)}}]}}} for i in some]
    return {
        "object": "list",
        "results": results,
        "has_more": more,
        "next_cursor": str(some.stop) if more else None,
    }


@shape("hubspot")
def _(asked: Asked) -> Any:
    """HubSpot files: paging.next.after, missing on the last page together with paging"""
    some = window(asked.whole("after", 0), asked.whole("limit", 10))
    after = {"next": {"after": str(some.stop), "link": "https://api.hubapi.com/files?after=x"}}
    results = [{"id": str(i), "url": asked.image(i)} for i in some]
    return {"results": results, **only_if(some.stop < COUNT, paging=after)}


@shape("salesforce")
def _(asked: Asked) -> Any:
    """Salesforce query: nextRecordsUrl is a path, missing on the last page where done is true"""
    some = window(int(asked.path.rpartition("-")[2]) if "-" in asked.path else 0, 3)
    more = some.stop < COUNT
    records = [{"attributes": {"type": "Lot__c"}, "Image__c": asked.image(i)} for i in some]
    following = f"/services/data/v60.0/query/01gx-{some.stop}"
    return {
        "totalSize": COUNT,
        "done": not more,
        **only_if(more, nextRecordsUrl=following),
        "records": records,
    }


def _odoo_urls(site: Site) -> list[str]:
    return [f"{site.cdn}web/image/product.template/{i}/image_1920" for i in range(1, COUNT + 1)]


@shape("odoo", _odoo_urls)
def _(asked: Asked) -> Any:
    """Odoo JSON-RPC: POST, offset and limit in the arguments; the URL from the record's ID"""
    request = json.loads(asked.body)
    options = request["params"]["args"][6]
    if request["params"]["args"][2] != "key":
        return {"jsonrpc": "2.0", "error": {"code": 200, "message": "Odoo Server Error"}}
    result = [{"id": i + 1} for i in window(options["offset"], options["limit"])]
    return {"jsonrpc": "2.0", "id": None, "result": result}


@shape("algolia")
def _(asked: Asked) -> Any:
    """Algolia browse: cursor is missing on the last page; two headers"""
    if (
        asked.headers.get("x-algolia-api-key") != "k"
        or asked.headers.get("x-algolia-application-id") != "APP"
    ):
        return Reply(403, {"message": "Invalid Application-ID or API key", "status": 403})
    some = window(int(asked.query.get("cursor", "c0")[1:]), asked.whole("hitsPerPage", 1000))
    hits = [{"objectID": str(i), "image": asked.image(i)} for i in some]
    return {"hits": hits, "nbHits": COUNT, "page": 0, **only_if(some.stop < COUNT, cursor=f"c{some.stop}")}


@shape("typesense")
def _(asked: Asked) -> Any:
    """Typesense search: page and found; documents inside hits"""
    some = page(asked.whole("page", 1), asked.whole("per_page", 10))
    return {
        "found": COUNT,
        "out_of": 90,
        "page": 1,
        "hits": [{"document": {"image": asked.image(i)}} for i in some],
    }


@shape("meilisearch")
def _(asked: Asked) -> Any:
    """Meilisearch documents: offset, limit and total"""
    some = window(asked.whole("offset", 0), size := asked.whole("limit", 20))
    return {
        "results": [{"image": asked.image(i)} for i in some],
        "offset": some.start,
        "limit": size,
        "total": COUNT,
    }


@shape("mongodb-find")
def _(asked: Asked) -> Any:
    """MongoDB over HTTP (the Data API's find): POST with skip and limit in its body, no total"""
    request = json.loads(asked.body)
    if asked.method != "POST" or asked.headers.get("api-key") != "k":
        return Reply(401, {"error": "invalid session"})
    return {
        "documents": [
            {"_id": str(i), "image": asked.image(i)} for i in window(request["skip"], request["limit"])
        ]
    }


@shape("firestore", lambda site: site.images([0, 1, 2, 3, 4, 5]))
def _(asked: Asked) -> Any:
    """Firestore documents: typed values; a last page that is {}"""
    some = window(int(asked.query.get("pageToken", "t0")[1:]), asked.whole("pageSize", 20), 6)
    documents = [{"name": f"lots/{i}", "fields": {"image": {"stringValue": asked.image(i)}}} for i in some]
    return {"documents": documents, "nextPageToken": f"t{some.stop}"} if some else {}


@shape("supabase")
def _(asked: Asked) -> Any:
    """Supabase (PostgREST): limit and offset, a bare list; with Prefer: count=exact the total in Content-Range"""
    if asked.headers.get("apikey") != "k":
        return Reply(401, {"message": "No API key found in request"})
    some = window(asked.whole("offset", 0), asked.whole("limit", 1000))
    is_counted = asked.headers.get("prefer") == "count=exact"
    span = f"{some.start}-{some.stop - 1}" if some else "*"
    rows = [{"image": asked.image(i)} for i in some]
    is_part = is_counted and len(some) < COUNT
    return Reply(206 if is_part else 200, rows, {"Content-Range": f"{span}/{COUNT if is_counted else '*'}"})


@shape("solr")
def _(asked: Asked) -> Any:
    """Solr with cursorMark: the last page has the cursor that was sent"""
    mark = asked.query["cursorMark"]
    some = window(0 if mark == "*" else int(mark[2:]), asked.whole("rows", 10))
    docs = [{"id": str(i), "image_url": asked.image(i)} for i in some]
    following = f"Ao{some.stop}" if some else mark
    return {"response": {"numFound": COUNT, "start": 0, "docs": docs}, "nextCursorMark": following}


@shape("couchdb")
def _(asked: Asked) -> Any:
    """CouchDB _find: POST, a bookmark on every page; an empty page is the last one"""
    request = json.loads(asked.body)
    some = window(int(request.get("bookmark") or 0), request["limit"])
    return {"docs": [{"image": asked.image(i)} for i in some], "bookmark": str(some.stop) if some else "nil"}


@shape("odata")
def _(asked: Asked) -> Any:
    """OData (Dynamics, SharePoint): @odata.nextLink is a complete URL, missing on the last page"""
    some = window(asked.whole("$skip", 0), size := asked.whole("$top", 100))
    more = (
        {"@odata.nextLink": f"{asked.url}?$count=true&$top={size}&$skip={some.stop}"}
        if some.stop < COUNT
        else {}
    )
    return {"@odata.count": COUNT, "value": [{"ImageUrl": asked.image(i)} for i in some], **more}


@shape("spring-hal")
def _(asked: Asked) -> Any:
    """Spring Data REST (HAL): _links.next.href, pages from 0, the total in page.totalElements"""
    number, size = asked.whole("page", 0), asked.whole("size", 20)
    last = pages(size)
    links = {"self": {"href": asked.url}}
    links |= only_if(number + 1 < last, next={"href": f"{asked.url}?page={number + 1}&size={size}"})
    images = [{"url": asked.image(i)} for i in page(number + 1, size)]
    counts = {"size": size, "totalElements": COUNT, "totalPages": last, "number": number}
    return {"_embedded": {"images": images}, "_links": links, "page": counts}


@shape("zendesk")
def _(asked: Asked) -> Any:
    """Zendesk, cursor pagination: links.next is always there; meta.has_more shows the end"""
    some = window(asked.whole("page[after]", 0), size := asked.whole("page[size]", 100))
    links = {"next": f"{asked.url}?page%5Bsize%5D={size}&page%5Bafter%5D={some.stop}", "prev": None}
    meta = {"has_more": some.stop < COUNT, "after_cursor": str(some.stop), "before_cursor": "0"}
    users = [{"id": i, "photo": {"content_url": asked.image(i)}} for i in some]
    return {"users": users, "meta": meta, "links": links}


@shape("intercom")
def _(asked: Asked) -> Any:
    """Intercom contacts: pages.next.starting_after, and next is missing on the last page"""
    some = window(asked.whole("starting_after", 0), size := asked.whole("per_page", 50))
    number = some.start // size + 1
    following = {"page": number + 1, "starting_after": str(some.stop)}
    paging = {"type": "pages", "page": number, "per_page": size, "total_pages": pages(size)}
    paging |= only_if(some.stop < COUNT, next=following)
    contacts = [{"id": str(i), "avatar": asked.image(i)} for i in some]
    return {"type": "list", "data": contacts, "total_count": COUNT, "pages": paging}


@shape("slack-files")
def _(asked: Asked) -> Any:
    """Slack files.list: an empty next_cursor on the last page; errors with status 200"""
    if asked.headers.get("authorization") != "Bearer xoxb-t":
        return {"ok": False, "error": "invalid_auth"}
    some = window(asked.whole("cursor", 0), asked.whole("limit", 100))
    cursor = str(some.stop) if some.stop < COUNT else ""
    files = [{"id": f"F{i}", "url_private": asked.image(i)} for i in some]
    return {"ok": True, "files": files, "response_metadata": {"next_cursor": cursor}}
