"""Museums, archives and encyclopedias: MediaWiki, the Internet Archive, The Met, Art Institute of Chicago, IIIF."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from tests.fakes.api_shapes.shape import COUNT, Asked, Reply, Site, only_if, page, pages, registry, window

SHAPES, shape = registry()


@shape("wikimedia-allimages")
def _(asked: Asked) -> Any:
    """MediaWiki list=allimages: a continue object of which one parameter is enough"""
    some = window(int(asked.query.get("aicontinue", "I_0.jpg")[2:-4]), asked.whole("ailimit", 10))
    following = {"aicontinue": f"I_{some.stop}.jpg", "continue": "-||"}
    return {
        "batchcomplete": "",
        **only_if(some.stop < COUNT, **{"continue": following}),
        "query": {"allimages": [{"url": asked.image(i)} for i in some]},
    }


@shape("wikimedia-generator")
def _(asked: Asked) -> Any:
    """MediaWiki generator and imageinfo: continue with one to three parameters, all to be sent back"""
    start = int(asked.query.get("gcmcontinue", "file|0")[5:])
    members = window(start, 3)
    late = start + 2  # imageinfo of the third member comes in a request of its own
    state = "gcmcontinue||" if start else "||"
    following: dict[str, str] = {}
    if "iicontinue" in asked.query:
        is_right = asked.query["iicontinue"] == f"R&D_{late}.jpg|20110101000000"
        if not is_right or asked.query.get("continue") != state:
            return {"error": {"code": "badcontinue", "info": "Invalid continue param."}}
        some = [late]
    else:
        some = [i for i in members if i != late]
    if "iicontinue" not in asked.query and late < members.stop:
        following = {"iicontinue": f"R&D_{late}.jpg|20110101000000", "continue": state}
        following |= only_if(start, gcmcontinue=f"file|{start}")
    elif members.stop < COUNT:
        following = {"gcmcontinue": f"file|{members.stop}", "continue": "gcmcontinue||"}
    found = [
        {"title": f"File:{i}", **only_if(i in some, imageinfo=[{"url": asked.image(i)}])} for i in members
    ]
    return {**({"continue": following} if following else {"batchcomplete": True}), "query": {"pages": found}}


def scrape(asked: Asked) -> Any:
    """Answer for the Internet Archive's scrape."""
    some = window(int(asked.query.get("cursor", "W0")[1:]), 3)
    return {
        "items": [{"identifier": f"item{i}"} for i in some],
        "count": len(some),
        "total": COUNT,
        **only_if(some.stop < COUNT, cursor=f"W{some.stop}"),
    }


@shape("archive-thumbs", lambda site: [f"{site.cdn}item{i}" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """Internet Archive, thumbnails: a list of names by cursor, the URL from a template"""
    return scrape(asked)


def _archive_urls(site: Site) -> list[str]:
    return [f"{site.cdn}{i}/items/item{i}/{i}%20a.jpg" for i in range(COUNT)]


@shape("archive-files", _archive_urls)
def _(asked: Asked) -> Any:
    """Internet Archive, originals: a second request for each item, the URL from its parts"""
    if asked.path.startswith("/metadata/item"):
        i = int(asked.path[14:])
        return {
            "dir": f"/cdn/{i}/items/item{i}",
            "server": asked.site.host,
            "files": [
                {"name": f"{i} a.jpg", "format": "JPEG", "source": "original"},
                {"name": f"item{i}_meta.xml", "format": "Metadata", "source": "original"},
            ],
        }
    return scrape(asked)


def _met_files(site: Site) -> Mapping[str, str]:
    def content(i: int) -> str:
        image = site.image(i) if i != 3 else ""
        return json.dumps({"objectID": i, "primaryImage": image, "additionalImages": []})

    return {f"met/{i}.json": content(i) for i in range(COUNT)}


@shape("met-files", lambda site: site.images([0, 1, 2, 4, 5, 6]), _met_files)
def _(asked: Asked) -> Reply:
    """The Met's objects in files: the empty string isn't a URL, and isn't an error either"""
    return Reply(404, {"message": "not found"})


@shape("artic", lambda site: [f"{site.cdn}iiif/2/id{i}/full/843,/0/default.jpg" for i in (0, 1, 3, 4, 5, 6)])
def _(asked: Asked) -> Any:
    """Art Institute of Chicago: next_url; IIIF URL from image_id, null where there is none"""
    number, size = asked.whole("page", 1), asked.whole("limit", 12)
    more = f"{asked.url}?page={number + 1}&fields=id,image_id&limit={size}"
    paging = {
        "total": COUNT,
        "limit": size,
        "offset": (number - 1) * size,
        "total_pages": pages(size),
        "current_page": number,
        **only_if(number < pages(size), next_url=more),
    }
    data = [{"id": i, "image_id": f"id{i}" if i != 2 else None} for i in page(number, size)]
    return {"pagination": paging, "data": data, "config": {"iiif_url": f"{asked.site.cdn}iiif/2"}}


@shape("iiif-manifest", lambda site: [f"{site.cdn}iiif/{i}/full/full/0/default.jpg" for i in range(COUNT)])
def _(asked: Asked) -> Any:
    """One IIIF manifest (Presentation 2)"""
    images = (f"{asked.site.cdn}iiif/{i}/full/full/0/default.jpg" for i in range(COUNT))
    canvases = [{"images": [{"resource": {"@id": url}}]} for url in images]
    return {"@type": "sc:Manifest", "sequences": [{"canvases": canvases}]}
