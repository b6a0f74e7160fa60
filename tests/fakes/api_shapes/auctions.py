"""Auction software: lots with their images inside, and auctions whose lots are asked for one by one."""

from __future__ import annotations

from typing import Any

from tests.fakes.api_shapes.shape import COUNT, Asked, Site, page, registry, window

SHAPES, shape = registry()


def _both(site: Site) -> list[str]:
    return [*site.images(range(COUNT)), *(f"{site.cdn}u/t{i}.jpg" for i in range(COUNT))]


@shape("auction-inline", _both)
def _(asked: Asked) -> Any:
    """Auction software: lots with their images inside, by page"""
    some = page(asked.whole("page", 1), asked.whole("per_page", 10))
    lots = [
        {"id": i, "images": [{"image_url": asked.image(i), "thumb_url": f"{asked.site.cdn}u/t{i}.jpg"}]}
        for i in some
    ]
    return {"total": COUNT, "lots": lots}


@shape("auction-nested")
def _(asked: Asked) -> Any:
    """Auction software: auctions, then /auctions/{id}/lots of each, itself in pages"""
    number = asked.whole("page", 1)
    if asked.path == "/v1/auctions":
        return {"auctions": [{"id": auction} for auction in page(number, asked.whole("per_page", 2), 3)]}
    auction = int(asked.path.split("/")[3])
    mine = range(auction, COUNT, 3)
    some = [mine[at] for at in window((number - 1) * 2, 2, len(mine))]
    return {"lots": [{"id": i, "images": [{"url": asked.image(i)}]} for i in some]}
