"""Shops: WordPress, Shopify, BigCommerce, Magento, Salesforce Commerce, eBay."""

from __future__ import annotations

import base64
import json
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


def wordpress_urls(site: Site, numbers: range | list[int]) -> list[str]:
    """Return what the media library holds of some images: each second one has a thumbnail."""
    thumbnails = [f"{site.cdn}u/{i}-150x150.jpg" for i in numbers if i % 2]
    return site.images(numbers) + thumbnails


def wordpress(asked: Asked, hidden: tuple[int, ...] = ()) -> Reply:
    """Answer for /wp/v2/media; pages in hidden are empty, although others follow."""
    number, size = asked.whole("page", 1), asked.whole("per_page", 10)
    last = pages(size)
    if number > last:
        code = "rest_post_invalid_page_number"
        return Reply(400, {"code": code, "message": "The page number…", "data": {"status": 400}})
    headers = {"X-WP-Total": str(COUNT), "X-WP-TotalPages": str(last)}
    if number < last:
        query = f"media_type=image&orderby=id&order=asc&per_page={size}&page={number + 1}"
        headers |= link(f"{asked.url}?{query}")
    return Reply(
        200, [] if number in hidden else [_media(asked.site, i) for i in page(number, size)], headers
    )


def _media(site: Site, i: int) -> dict[str, Any]:
    sizes = {
        "thumbnail": {"source_url": f"{site.cdn}u/{i}-150x150.jpg"},
        "full": {"source_url": site.image(i)},
    }
    return {"id": i, "source_url": site.image(i), "media_details": only_if(i % 2, sizes=sizes)}


@shape("wordpress", lambda site: wordpress_urls(site, range(COUNT)))
def _(asked: Asked) -> Reply:
    """WordPress media library: totals and next link in headers, 400 past the last page"""
    return wordpress(asked)


@shape("wordpress-hole", lambda site: wordpress_urls(site, [0, 1, 2, 6]))
def _(asked: Asked) -> Reply:
    """WordPress media library with an empty page 2, all of it attached to drafts (core trac 55128)"""
    return wordpress(asked, hidden=(2,))


@shape("shopify-rest", lambda site: [f"{url}?v=17" for url in site.images(range(COUNT))])
def _(asked: Asked) -> Reply:
    """Shopify REST products: next link in a header, with page_info"""
    if asked.headers.get("x-shopify-access-token") != "shpat_x":
        return Reply(401, {"errors": "[API] Invalid API key or access token"})
    if "page_info" in asked.query and set(asked.query) - {"page_info", "limit", "fields"}:
        return Reply(400, {"errors": {"page_info": "Invalid value."}})
    start = int(base64.b64decode(asked.query.get("page_info", "MA==")).decode())
    size = asked.whole("limit", 50)
    following = base64.b64encode(str(start + size).encode()).decode()
    more = f"{asked.url}?limit={size}&fields=id,images&page_info={following}"
    products = [{"id": i, "images": [{"src": asked.image(i) + "?v=17"}]} for i in window(start, size)]
    return Reply(200, {"products": products}, link(more) if start + size < COUNT else {})


def relay(asked: Asked, first: int, after: str | None, name: str) -> dict[str, Any]:
    """Return a GraphQL answer with a Relay connection of that name."""
    some = window(int(after or 0), first)
    more = some.stop < COUNT
    info = {"hasNextPage": more, "endCursor": str(some.stop) if more else None}
    return {"data": {name: {"nodes": [{"image": {"url": asked.image(i)}} for i in some], "pageInfo": info}}}


@shape("shopify-graphql")
def _(asked: Asked) -> Any:
    """Shopify GraphQL Admin: POST only, pageInfo"""
    if asked.method != "POST" or asked.headers.get("x-shopify-access-token") != "shpat_x":
        return Reply(404, {"errors": "Not Found"})
    request = json.loads(asked.body)
    if "files" not in request["query"]:
        return {"errors": [{"message": "Field must have selections"}]}
    variables = request.get("variables") or {}
    return relay(asked, int(variables.get("first") or 3), variables.get("after"), "files")


@shape("bigcommerce-v3")
def _(asked: Asked) -> Any:
    """BigCommerce V3 products: links.next is only '?page=2&limit=3' and loses include=images"""
    number, size = asked.whole("page", 1), asked.whole("limit", 50)
    some, last = page(number, size), pages(size)
    has_images = asked.query.get("include") == "images"
    links = {"current": f"?page={number}&limit={size}"}
    links |= only_if(number < last, next=f"?page={number + 1}&limit={size}")
    counts = {
        "total": COUNT,
        "count": len(some),
        "per_page": size,
        "current_page": number,
        "total_pages": last,
    }
    return {
        "data": [{"id": i, **only_if(has_images, images=[{"url_zoom": asked.image(i)}])} for i in some],
        "meta": {"pagination": {**counts, "links": links}},
    }


def magento(asked: Asked, count: int) -> Any:
    """Answer for /rest/V1/products: past the end the last page comes again."""
    size = asked.whole("searchCriteria[pageSize]", 20)
    number = asked.whole("searchCriteria[currentPage]", 1)
    some = page(min(number, pages(size, count)), size, count)
    return {
        "items": [{"sku": str(i), "media_gallery_entries": [{"file": f"/m/b/{i}.jpg"}]} for i in some],
        "search_criteria": {"filter_groups": [], "page_size": size, "current_page": number},
        "total_count": count,
    }


def magento_urls(site: Site, count: int) -> list[str]:
    return [f"{site.cdn}catalog/product/m/b/{i}.jpg" for i in range(count)]


@shape("magento", lambda site: magento_urls(site, COUNT))
def _(asked: Asked) -> Any:
    """Magento 2 products: the last page comes again past the end; file is relative to media/catalog/product"""
    return magento(asked, COUNT)


@shape("magento-exact", lambda site: magento_urls(site, 6))
def _(asked: Asked) -> Any:
    """Magento 2 products whose total is a multiple of the page size: only total_count shows the end"""
    return magento(asked, 6)


@shape("sfcc-ocapi")
def _(asked: Asked) -> Any:
    """Salesforce Commerce OCAPI product_search: next is a complete URL, start, count and total"""
    some = window(asked.whole("start", 0), size := asked.whole("count", 25))
    query = f"q=a&expand=images&client_id=c&start={some.stop}&count={size}"
    return {
        "count": len(some),
        "start": some.start,
        "total": COUNT,
        **only_if(some.stop < COUNT, next=f"{asked.url}?{query}"),
        "hits": [{"image": {"link": asked.image(i)}} for i in some],
    }


@shape("ebay")
def _(asked: Asked) -> Any:
    """eBay Inventory: next is a URL; offset is a page number, so counting items would skip"""
    number, size = asked.whole("offset", 0), asked.whole("limit", 25)
    more = number + 1 < pages(size)
    return {
        "href": "x",
        "limit": size,
        "size": pages(size),
        "total": COUNT,
        **only_if(more, next=f"{asked.url}?limit={size}&offset={number + 1}"),
        "inventoryItems": [
            {"sku": str(i), "product": {"imageUrls": [asked.image(i)]}} for i in page(number + 1, size)
        ],
    }
