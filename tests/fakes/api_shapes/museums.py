"""More museums, libraries and observatories: Europeana, DPLA, Harvard, Smithsonian, NASA, Cleveland, V&A, Wikidata."""

from __future__ import annotations

from typing import Any

from tests.fakes.api_shapes.shape import COUNT, Asked, Reply, Site, only_if, page, pages, registry, window

SHAPES, shape = registry()


@shape("europeana", lambda site: site.images([0, 1, 2, 3, 4, 6]))
def _(asked: Asked) -> Any:
    """Europeana search: the first cursor is *, nextCursor is missing on the last page; lists of URLs"""
    cursor = asked.query["cursor"]
    some = window(0 if cursor == "*" else int(cursor[2:]), asked.whole("rows", 12))
    items = [{"id": f"/1/{i}", **only_if(i != 5, edmIsShownBy=[asked.image(i)])} for i in some]
    more = only_if(some.stop < COUNT, nextCursor=f"Ao{some.stop}")
    return {"success": True, "itemsCount": len(some), "totalResults": COUNT, **more, "items": items}


@shape("dpla")
def _(asked: Asked) -> Any:
    """DPLA items: page and page_size, count is the total, an empty list past the end"""
    number, size = asked.whole("page", 1), asked.whole("page_size", 10)
    docs = [{"id": str(i), "object": asked.image(i)} for i in page(number, size)]
    return {"count": COUNT, "start": (number - 1) * size + 1, "limit": size, "docs": docs}


@shape("harvard", lambda site: [f"{site.cdn}ids/{i}" for i in (0, 1, 2, 4, 5, 6)])
def _(asked: Asked) -> Any:
    """Harvard Art Museums objects: info.next is a complete URL with the key; a null image if it is restricted"""
    if asked.query.get("apikey") != "k":
        return Reply(401, {"error": "Unauthorized"})
    number, size = asked.whole("page", 1), asked.whole("size", 10)
    info = {"totalrecordsperquery": size, "totalrecords": COUNT, "page": number, "pages": pages(size)}
    info |= only_if(number < pages(size), next=f"{asked.url}?apikey=k&size={size}&page={number + 1}")
    records = [
        {"id": i, "primaryimageurl": f"{asked.site.cdn}ids/{i}" if i != 3 else None}
        for i in page(number, size)
    ]
    return {"info": info, "records": records}


@shape("smithsonian", lambda site: [f"{site.cdn}deliveryService?id=SAAM-{i}" for i in (0, 1, 2, 3, 4, 6)])
def _(asked: Asked) -> Any:
    """Smithsonian Open Access search: start and rows; media deep in each row, rows without any"""
    some = window(asked.whole("start", 0), asked.whole("rows", 10))
    media = {
        i: {"media": [{"content": f"{asked.site.cdn}deliveryService?id=SAAM-{i}"}]} for i in range(COUNT)
    }
    rows = [
        {"id": str(i), "content": {"descriptiveNonRepeating": only_if(i != 5, online_media=media[i])}}
        for i in some
    ]
    return {
        "status": 200,
        "responseCode": 1,
        "response": {"rows": rows, "rowCount": COUNT, "message": "content found"},
    }


@shape("nasa-images")
def _(asked: Asked) -> Any:
    """NASA images search: the next page in a list of links, as http:// on an https API; several sizes per item"""
    number, size = asked.whole("page", 1), asked.whole("page_size", 100)
    items = [
        {"href": "x", "links": [{"href": asked.image(i), "rel": "preview", "render": "image"}]}
        for i in page(number, size)
    ]
    links = [{"rel": "prev", "prompt": "Previous", "href": "x"}] if number > 1 else []
    if number < pages(size):
        href = f"{asked.url}?q=moon&media_type=image&page_size={size}&page={number + 1}"
        links.append({"rel": "next", "prompt": "Next", "href": href.replace("127.0.0.1", "localhost")})
    collection = {"version": "1.1", "items": items, "metadata": {"total_hits": COUNT}}
    return {"collection": {**collection, **only_if(links, links=links)}}


def _cleveland_urls(site: Site) -> list[str]:
    return [
        *site.images(i for i in range(COUNT) if i != 1),
        *(f"{site.cdn}u/{i}_web.jpg" for i in range(COUNT)),
    ]


@shape("cleveland", _cleveland_urls)
def _(asked: Asked) -> Any:
    """Cleveland Museum of Art: skip and limit; an object of sizes per work, some of them incomplete"""
    some = window(asked.whole("skip", 0), asked.whole("limit", 100))

    def images(i: int) -> dict[str, Any]:
        full = only_if(i != 1, full={"url": asked.image(i), "width": "5000"})
        return {"web": {"url": f"{asked.site.cdn}u/{i}_web.jpg", "width": "900"}, **full}

    return {
        "info": {"total": COUNT, "parameters": {}},
        "data": [{"id": i, "images": images(i)} for i in some],
    }


@shape("vam", lambda site: [f"{site.cdn}collections/2006A{i}/full/full/0/default.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Victoria and Albert Museum: page, pages and record_count; IIIF URL from _primaryImageId"""
    number, size = asked.whole("page", 1), asked.whole("page_size", 15)
    records = [{"systemNumber": f"O{i}", "_primaryImageId": f"2006A{i}"} for i in page(number, size)]
    return {"info": {"record_count": COUNT, "pages": pages(size), "page": number}, "records": records}


@shape("loc", lambda site: [f"{url}#h=150&w=100" for url in site.images(range(COUNT))])
def _(asked: Asked) -> Any:
    """Library of Congress: pagination.next is a URL, null on the last page; URLs with a fragment"""
    number, size = asked.whole("sp", 1), asked.whole("c", 25)
    more = f"{asked.url}?fo=json&c={size}&sp={number + 1}" if number < pages(size) else None
    results = [{"id": str(i), "image_url": [f"{asked.image(i)}#h=150&w=100"]} for i in page(number, size)]
    return {"pagination": {"current": number, "next": more, "of": COUNT, "perpage": size}, "results": results}


@shape("met-api", lambda site: [*site.images([0, 1, 2, 4, 5, 6]), f"{site.cdn}u/1-b.jpg"])
def _(asked: Asked) -> Any:
    """The Met's collection API: all IDs in one response, then a document for each; "" where there is no image"""
    if asked.path.endswith("/objects"):
        return {"total": COUNT, "objectIDs": list(range(COUNT))}
    i = int(asked.path.rpartition("/")[2])
    more = [f"{asked.site.cdn}u/1-b.jpg"] if i == 1 else []
    return {"objectID": i, "primaryImage": asked.image(i) if i != 3 else "", "additionalImages": more}


@shape("wikidata", lambda site: [f"{site.cdn}Special:FilePath/Hat%20{i}.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Wikidata SPARQL: LIMIT and OFFSET inside the query, bindings of values"""
    words = asked.query["query"].split()
    size, start = (int(words[words.index(name) + 1]) for name in ("LIMIT", "OFFSET"))
    urls = (f"{asked.site.cdn}Special:FilePath/Hat%20{i}.jpg" for i in window(start, size))
    bindings = [{"image": {"type": "uri", "value": url}} for url in urls]
    return {"head": {"vars": ["image"]}, "results": {"bindings": bindings}}


@shape("inaturalist")
def _(asked: Asked) -> Any:
    """iNaturalist observations: id_above is the last ID, total_results shrinks as it goes on"""
    some = window(asked.whole("id_above", -1) + 1, size := asked.whole("per_page", 30))
    results = [{"id": i, "photos": [{"url": asked.image(i)}]} for i in some]
    return {"total_results": COUNT - some.start, "page": 1, "per_page": size, "results": results}


@shape("gbif", lambda site: site.images([0, 1, 2, 3, 4, 6]))
def _(asked: Asked) -> Any:
    """GBIF occurrences: offset, limit and endOfRecords; media that are images and others"""
    some = window(asked.whole("offset", 0), size := asked.whole("limit", 20))
    results = [
        {"key": i, "media": [{"type": "StillImage" if i != 5 else "Sound", "identifier": asked.image(i)}]}
        for i in some
    ]
    counts = {"offset": some.start, "limit": size, "endOfRecords": some.stop >= COUNT, "count": COUNT}
    return {**counts, "results": results}
