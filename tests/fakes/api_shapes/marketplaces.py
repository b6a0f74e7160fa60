"""More shops and marketplaces: WooCommerce, Wix, Squarespace, Etsy, PrestaShop, Medusa, Saleor, commercetools."""

from __future__ import annotations

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


@shape("woocommerce")
def _(asked: Asked) -> Any:
    """WooCommerce products: basic authentication, totals and next link in headers"""
    if asked.headers.get("authorization") != "Basic Y2tfeDpjc194":
        return Reply(401, {"code": "woocommerce_rest_cannot_view"})
    number, size = asked.whole("page", 1), asked.whole("per_page", 10)
    headers = {"X-WP-Total": str(COUNT), "X-WP-TotalPages": str(pages(size))}
    if number < pages(size):
        headers |= link(f"{asked.url}?orderby=id&order=asc&per_page={size}&page={number + 1}")
    return Reply(200, [{"id": i, "images": [{"src": asked.image(i)}]} for i in page(number, size)], headers)


@shape("wix")
def _(asked: Asked) -> Any:
    """Wix Stores products/query: POST with limit and offset in its body, a header for the site"""
    if asked.headers.get("wix-site-id") != "site" or asked.headers.get("authorization") != "IST.x":
        return Reply(401, {"message": "missing permissions"})
    paging = json.loads(asked.body)["query"]["paging"]
    some = window(paging["offset"], paging["limit"])
    products = [{"id": str(i), "media": {"items": [{"image": {"url": asked.image(i)}}]}} for i in some]
    return {
        "products": products,
        "metadata": {"items": len(some), "offset": some.start},
        "totalResults": COUNT,
    }


@shape("squarespace")
def _(asked: Asked) -> Any:
    """Squarespace Commerce products: hasNextPage and nextPageUrl"""
    some = window(asked.whole("cursor", 0), 3)
    more = some.stop < COUNT
    paging = {
        "hasNextPage": more,
        "nextPageCursor": str(some.stop) if more else None,
        "nextPageUrl": f"{asked.url}?cursor={some.stop}" if more else None,
    }
    return {
        "products": [{"id": str(i), "images": [{"url": asked.image(i)}]} for i in some],
        "pagination": paging,
    }


@shape("etsy")
def _(asked: Asked) -> Any:
    """Etsy listings of a shop: offset, count is the total; a key and a token in two headers"""
    if asked.headers.get("x-api-key") != "key" or asked.headers.get("authorization") != "Bearer 1.t":
        return Reply(401, {"error": "invalid_token"})
    some = window(asked.whole("offset", 0), asked.whole("limit", 25))
    has_images = asked.query.get("includes") == "Images"
    results = [
        {"listing_id": i, **only_if(has_images, images=[{"url_fullxfull": asked.image(i)}])} for i in some
    ]
    return {"count": COUNT, "results": results}


def _prestashop_urls(site: Site) -> list[str]:
    return [f"{site.cdn}{i}-large_default/x.jpg" for i in range(COUNT)]


@shape("prestashop", _prestashop_urls)
def _(asked: Asked) -> Any:
    """PrestaShop webservice: limit=offset,count in one parameter; an empty list is [] and not an object"""
    if asked.headers.get("authorization") != "Basic S0VZOg==":  # the key, and no password
        return Reply(401, "", {"Content-Type": "text/html"})
    start, size = (int(part) for part in asked.query["limit"].split(","))
    products = [{"id": i, "id_default_image": str(i)} for i in window(start, size)]
    return {"products": products} if products else []


@shape("medusa")
def _(asked: Asked) -> Any:
    """Medusa store products: offset, limit and count; a publishable key in a header"""
    if asked.headers.get("x-publishable-api-key") != "pk_x":
        return Reply(400, {"type": "not_allowed", "message": "Publishable API key required"})
    some = window(asked.whole("offset", 0), size := asked.whole("limit", 50))
    products = [{"id": f"prod_{i}", "images": [{"url": asked.image(i)}]} for i in some]
    return {"products": products, "count": COUNT, "offset": some.start, "limit": size}


@shape("saleor")
def _(asked: Asked) -> Any:
    """Saleor GraphQL: POST only, products with their media in edges"""
    variables = json.loads(asked.body)["variables"] if asked.method == "POST" else {}
    some = window(int(variables.get("after") or 0), variables["first"])
    edges = [{"node": {"media": [{"url": asked.image(i)}]}} for i in some]
    info = {"hasNextPage": some.stop < COUNT, "endCursor": str(some.stop)}  # on the last page, too
    return {"data": {"products": {"totalCount": COUNT, "edges": edges, "pageInfo": info}}}


@shape("commercetools")
def _(asked: Asked) -> Any:
    """commercetools product projections: offset, limit and total; images in the master variant and others"""
    some = window(asked.whole("offset", 0), size := asked.whole("limit", 20))
    results = [
        {"id": str(i), "masterVariant": {"images": [{"url": asked.image(i)}]}, "variants": [{"images": []}]}
        for i in some
    ]
    return {"limit": size, "offset": some.start, "count": len(some), "total": COUNT, "results": results}


@shape("spree")
def _(asked: Asked) -> Any:
    """Spree Storefront (JSON:API): images beside the products, links.next stays on the last page"""
    number, size = asked.whole("page", 1), asked.whole("per_page", 25)
    some, last = page(number, size), pages(size)
    included = [{"type": "image", "attributes": {"original_url": asked.image(i)}} for i in some]
    links = {"self": "x", "next": f"{asked.url}?page={min(number + 1, last)}&per_page={size}&include=images"}
    meta = {"count": len(some), "total_count": COUNT, "total_pages": last}
    return {
        "data": [{"id": str(i), "type": "product"} for i in some],
        "included": included,
        "meta": meta,
        "links": links,
    }


@shape(
    "ebay-browse", lambda site: [*site.images(range(COUNT)), *(f"{site.cdn}u/{i}b.jpg" for i in range(COUNT))]
)
def _(asked: Asked) -> Any:
    """eBay Browse search: next is a complete URL; image and additionalImages; a header for the marketplace"""
    if asked.headers.get("x-ebay-c-marketplace-id") != "EBAY_US":
        return Reply(400, {"errors": [{"message": "marketplace"}]})
    some = window(asked.whole("offset", 0), size := asked.whole("limit", 50))
    items = [
        {
            "image": {"imageUrl": asked.image(i)},
            "additionalImages": [{"imageUrl": f"{asked.site.cdn}u/{i}b.jpg"}],
        }
        for i in some
    ]
    more = only_if(some.stop < COUNT, next=f"{asked.url}?q=hat&limit={size}&offset={some.stop}")
    return {"href": "x", "total": COUNT, **more, "limit": size, "offset": some.start, "itemSummaries": items}


@shape("walmart")
def _(asked: Asked) -> Any:
    """Walmart Marketplace items: nextCursor begins with *, several headers"""
    if not {"wm_sec.access_token", "wm_qos.correlation_id", "wm_svc.name"} <= asked.headers.keys():
        return Reply(401, {"error": [{"code": "UNAUTHORIZED.GMP_GATEWAY_API"}]})
    cursor = asked.query["nextCursor"]
    some = window(0 if cursor == "*" else int(cursor), asked.whole("limit", 20))
    items = [{"sku": str(i), "primaryImageUrl": asked.image(i)} for i in some]
    return {
        "ItemResponse": items,
        "totalItems": COUNT,
        **only_if(some.stop < COUNT, nextCursor=str(some.stop)),
    }


@shape("rakuten", lambda site: [f"{url}?_ex=128x128" for url in site.images(range(COUNT))])
def _(asked: Asked) -> Any:
    """Rakuten Ichiba item search: page and pageCount; 400 past the last page"""
    number, size = asked.whole("page", 1), asked.whole("hits", 30)
    if number > pages(size):
        return Reply(400, {"error": "wrong_parameter", "error_description": "page must be a number"})
    items = [
        {"itemCode": str(i), "mediumImageUrls": [asked.image(i) + "?_ex=128x128"]} for i in page(number, size)
    ]
    return {"count": COUNT, "page": number, "pageCount": pages(size), "hits": len(items), "Items": items}


@shape("amazon-sp")
def _(asked: Asked) -> Any:
    """Amazon SP-API catalog items: pagination.nextToken goes into pageToken; one second between requests"""
    if asked.headers.get("x-amz-access-token") != "Atza|t":
        return Reply(
            403, {"errors": [{"code": "Unauthorized", "message": "Access to requested resource is denied."}]}
        )
    some = window(int(asked.query.get("pageToken", "t0")[1:]), asked.whole("pageSize", 10))
    items = [
        {"asin": str(i), "images": [{"marketplaceId": "M", "images": [{"link": asked.image(i)}]}]}
        for i in some
    ]
    paging = only_if(some.stop < COUNT, nextToken=f"t{some.stop}")
    return {"numberOfResults": COUNT, "pagination": paging, "items": items}
