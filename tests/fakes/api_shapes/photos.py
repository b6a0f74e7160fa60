"""Photo sites: Unsplash, Pixabay, Flickr, Instagram."""

from __future__ import annotations

from typing import Any

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


@shape("unsplash", lambda site: [f"{url}?ixid=M3&ixlib=rb-4" for url in site.images(range(COUNT))])
def _(asked: Asked) -> Reply:
    """Unsplash: Client-ID, next link and X-Total in headers"""
    if asked.headers.get("authorization") != "Client-ID key":
        return Reply(401, {"errors": ["OAuth error: The access token is invalid"]})
    number, size = asked.whole("page", 1), asked.whole("per_page", 10)
    headers = {"X-Total": str(COUNT), "X-Per-Page": str(size)}
    if number < pages(size):
        headers |= link(f"{asked.url}?page={number + 1}&per_page={size}")
    photos = [
        {"id": str(i), "urls": {"raw": asked.image(i) + "?ixid=M3&ixlib=rb-4"}} for i in page(number, size)
    ]
    return Reply(200, photos, headers)


@shape("pixabay")
def _(asked: Asked) -> Any:
    """Pixabay: key in the query; page, no link, 400 with plain text past the last page"""
    some = page(asked.whole("page", 1), asked.whole("per_page", 20))
    if not some:
        text = '[ERROR 400] "page" is out of valid range.'
        return Reply(400, text, {"Content-Type": "text/plain"})
    return {
        "total": 99,
        "totalHits": COUNT,
        "hits": [{"id": i, "largeImageURL": asked.image(i)} for i in some],
    }


def _flickr_urls(site: Site) -> list[str]:
    return [f"{site.cdn}65535/{i}_s{i}_b.jpg" for i in range(COUNT)]


@shape("flickr", _flickr_urls)
def _(asked: Asked) -> Any:
    """Flickr: the last page comes again past the end; URL from parts, numbers as text"""
    size = asked.whole("per_page", 100)
    number = min(asked.whole("page", 1), pages(size))
    photos = [{"id": str(i), "secret": f"s{i}", "server": "65535", "farm": 66} for i in page(number, size)]
    counts = {"page": number, "pages": str(pages(size)), "perpage": size, "total": str(COUNT)}
    return {"stat": "ok", "photos": {**counts, "photo": photos}}


@shape("instagram")
def _(asked: Asked) -> Any:
    """Instagram and Facebook Graph: paging.next holds the token, cursors.after stays on the last page"""
    if asked.query.get("access_token") != "t":
        return Reply(400, {"error": {"message": "Invalid OAuth access token", "code": 190}})
    some = window(asked.whole("after", 0), size := asked.whole("limit", 25))
    query = f"fields=media_url&access_token=t&limit={size}&after={some.stop}"
    more = only_if(some.stop < COUNT, next=f"{asked.url}?{query}")
    paging = {"cursors": {"after": str(some.stop)}, **more}
    return {"data": [{"media_url": asked.image(i)} for i in some], "paging": paging}
