"""Exports in place of an API: sitemaps, JSON, JSON Lines, CSV."""

from __future__ import annotations

import json
from typing import Callable

from tests.fakes.api_shapes.shape import COUNT, Asked, Reply, Site, registry

SHAPES, shape = registry()

_XML = {"Content-Type": "application/xml"}
_SITEMAP = 'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"'
_IMAGES = 'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1"'


@shape("sitemap")
def _(asked: Asked) -> Reply:
    """A sitemap index, and sitemaps with image:loc"""
    origin = asked.site.origin
    if asked.path == "/sitemap_index.xml":
        maps = "".join(f"<sitemap><loc>{origin}/s{number}.xml</loc></sitemap>" for number in range(2))
        return Reply(200, f"<sitemapindex {_SITEMAP}>{maps}</sitemapindex>", _XML)
    some = range(4) if asked.path == "/s0.xml" else range(4, COUNT)
    entries = "".join(
        f"<url><loc>{origin}/p{i}</loc><image:image><image:loc>{asked.image(i)}</image:loc></image:image></url>"
        for i in some
    )
    return Reply(200, f"<urlset {_SITEMAP} {_IMAGES}>{entries}</urlset>", _XML)


def _export(name: str, title: str, file: str, content: Callable[[Site], str]) -> None:
    """Add an export: a file on the disk, and no API."""

    def nothing(asked: Asked) -> Reply:
        return Reply(404)

    nothing.__doc__ = title
    shape(name, files=lambda site: {file: content(site)})(nothing)


def _records(site: Site) -> list[dict[str, object]]:
    return [{"id": i, "image_url": site.image(i)} for i in range(COUNT)]


def _cells(site: Site) -> str:
    rows = (f'"lot, {i}",{site.image(i)}\r\n' for i in range(COUNT))
    return "Handle,Image Src\r\n" + "".join(rows)


def _lists_in_cells(site: Site) -> str:
    some = [range(at, min(COUNT, at + 2)) for at in range(0, COUNT, 2)]
    rows = (f'{i},"{", ".join(site.images(numbers))}"\r\n' for i, numbers in enumerate(some))
    return "ID,Images\r\n" + "".join(rows)


_export(
    "json-export",
    "A JSON export, a list of objects",
    "export.json",
    lambda site: json.dumps(_records(site)),
)
_export(
    "jsonl-export",
    "A JSON Lines export (Shopify bulk, BigQuery, Sanity, Smithsonian on S3)",
    "export.jsonl",
    lambda site: "".join(json.dumps(record) + "\n" for record in _records(site)),
)
_export("csv-export", "A CSV export (Shopify, Magento, eBay, MetObjects)", "export.csv", _cells)
_export("csv-list", "A WooCommerce CSV: several URLs in one cell", "export.csv", _lists_in_cells)
