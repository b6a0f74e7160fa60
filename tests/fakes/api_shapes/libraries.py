"""More image libraries and photo sites: Bynder, ImageKit, Uploadcare, imgix, Pexels, SmugMug, Imgur, Tumblr."""

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


@shape("bynder")
def _(asked: Asked) -> Any:
    """Bynder media: by page, the total with total=1, an empty list past the end"""
    number, size = asked.whole("page", 1), asked.whole("limit", 50)
    media = [{"id": str(i), "original": asked.image(i)} for i in page(number, size)]
    return {"total": {"count": COUNT}, "media": media} if "total" in asked.query else media


@shape("imagekit")
def _(asked: Asked) -> Any:
    """ImageKit files: skip and limit, a bare list without a total, the private key as the user's name"""
    if asked.headers.get("authorization") != "Basic cHJpdmF0ZV94Og==":
        return Reply(403, {"message": "Your account cannot be authenticated."})
    some = window(asked.whole("skip", 0), asked.whole("limit", 100))
    return [{"fileId": str(i), "url": asked.image(i)} for i in some]


@shape("uploadcare")
def _(asked: Asked) -> Any:
    """Uploadcare files: next is a complete URL, null on the last page; the version in the header Accept"""
    is_right = asked.headers.get("accept") == "application/vnd.uploadcare-v0.7+json"
    if not is_right or asked.headers.get("authorization") != "Uploadcare.Simple pub:sec":
        return Reply(406, {"detail": "Could not satisfy the request Accept header."})
    some = window(asked.whole("from", 0), size := asked.whole("limit", 100))
    more = f"{asked.url}?limit={size}&from={some.stop}" if some.stop < COUNT else None
    results = [{"uuid": str(i), "original_file_url": asked.image(i)} for i in some]
    return {"next": more, "previous": None, "total": COUNT, "per_page": size, "results": results}


def _imgix_urls(site: Site) -> list[str]:
    return [f"{site.cdn}{i}.jpg" for i in range(COUNT)]


@shape("imgix", _imgix_urls)
def _(asked: Asked) -> Any:
    """imgix assets (JSON:API): page[cursor], meta.cursor.hasMore; the URL from origin_path"""
    some = window(asked.whole("page[cursor]", 0), asked.whole("page[limit]", 20))
    more = some.stop < COUNT
    cursor = {"current": str(some.start), "hasMore": more, "limit": 20, "totalRecords": COUNT}
    cursor |= {"next": str(some.stop) if more else None}
    data = [{"id": f"x/{i}", "attributes": {"origin_path": f"{FOLDER}{i}.jpg"}} for i in some]
    return {"data": data, "jsonapi": {"version": "1.0"}, "meta": {"cursor": cursor}}


@shape("pexels")
def _(asked: Asked) -> Any:
    """Pexels search: the key as it is in Authorization; next_page is missing on the last page"""
    if asked.headers.get("authorization") != "563x":
        return Reply(401, {"status": 401, "code": "Unauthorized"})
    number, size = asked.whole("page", 1), asked.whole("per_page", 15)
    photos = [{"id": i, "src": {"original": asked.image(i)}} for i in page(number, size)]
    more = only_if(number < pages(size), next_page=f"{asked.url}?page={number + 1}&per_page={size}&query=hat")
    return {"page": number, "per_page": size, "photos": photos, "total_results": COUNT, **more}


@shape("smugmug")
def _(asked: Asked) -> Any:
    """SmugMug album images: start counts from 1, NextPage is a path, missing on the last page"""
    start, size = asked.whole("start", 1), asked.whole("count", 100)
    some = window(start - 1, size)
    more = only_if(some.stop < COUNT, NextPage=f"{asked.path}?APIKey=k&start={some.stop + 1}&count={size}")
    paging = {"Total": COUNT, "Start": start, "Count": len(some), "RequestedCount": size, **more}
    images = [{"ImageKey": str(i), "ArchivedUri": asked.image(i)} for i in some]
    return {"Response": {"AlbumImage": images, "Pages": paging}, "Code": 200, "Message": "Ok"}


@shape("google-photos", lambda site: [f"{site.cdn}lr/{i}=d" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Google Photos mediaItems:search: POST with pageSize and pageToken in its body; baseUrl wants =d"""
    request = json.loads(asked.body) if asked.method == "POST" else {}
    some = window(int(request.get("pageToken") or 0), request["pageSize"])
    items = [{"id": str(i), "baseUrl": f"{asked.site.cdn}lr/{i}"} for i in some]
    return {"mediaItems": items, **only_if(some.stop < COUNT, nextPageToken=str(some.stop))}


@shape("imgur")
def _(asked: Asked) -> Any:
    """Imgur account images: the number of the page in the path, from 0; an empty list past the end"""
    if asked.headers.get("authorization") != "Client-ID c":
        return Reply(403, {"success": False, "status": 403, "data": {"error": "Invalid client_id"}})
    some = window(3 * int(asked.path.rpartition("/")[2]), 3)
    return {"data": [{"id": str(i), "link": asked.image(i)} for i in some], "success": True, "status": 200}


@shape("tumblr")
def _(asked: Asked) -> Any:
    """Tumblr posts: _links.next.href is a path; the total is that of the blog; several photos in a post"""
    some = window(asked.whole("offset", 0), size := asked.whole("limit", 20))
    posts = [{"id": i, "photos": [{"original_size": {"url": asked.image(i)}}]} for i in some]
    href = f"{asked.path}?api_key=k&limit={size}&offset={some.stop}"
    links = only_if(some.stop < COUNT, _links={"next": {"href": href, "method": "GET"}})
    return {"meta": {"status": 200}, "response": {"posts": posts, "total_posts": COUNT, **links}}
