"""What documented public APIs and exports answer, as small servers on 127.0.0.1: one shape each.

    with ShapeServer(SHAPES["wordpress"]) as server:
        server.site.origin, server.site.cdn, server.requests

A shape answers as its API's documentation says: its way to page, its way to end, its URLs, on seven images and pages
of three. tests/docs/test_recipes.py collects each of them with its recipe in docs/recipes/.
"""

from __future__ import annotations

from tests.fakes.api_shapes import (
    auctions,
    cms,
    content,
    culture,
    databases,
    exports,
    frameworks,
    libraries,
    marketplaces,
    museums,
    photos,
    platforms,
    shops,
    unusual,
)
from tests.fakes.api_shapes.shape import Reply, Shape, ShapeServer, Site

MODULES = (
    shops, marketplaces, cms, content, photos, libraries, culture, museums, platforms, databases, frameworks,
    unusual, auctions, exports,
)  # fmt: skip
SHAPES: dict[str, Shape] = {shape.name: shape for module in MODULES for shape in module.SHAPES.values()}

__all__ = ["SHAPES", "Reply", "Shape", "ShapeServer", "Site"]
