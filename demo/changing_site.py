"""Plan a site that changes between the move and the cutover: what it is like before and after, and what differs.

Somebody has put three of its images into the bucket before. They look like the tool's own objects, and are not: a
delta must not renew them, an undo must not remove them.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote, unquote

from demo.envfiles import PREFIX, STRIP
from demo.planted import planted
from demo.world import Image, World, build_plain_world

CONVERTED = "webp"  # ending of the images for which the new CDN sends a wrong type
WRONG_TYPE = "application/octet-stream"


@dataclass(frozen=True)
class Site:
    """A site on two days."""

    before: World
    after: World
    replaced: tuple[str, ...]  # paths of images that show something else after
    added: tuple[str, ...]
    gone: tuple[str, ...]  # the API lists them no longer; the CDN still has them
    not_ours: tuple[
        str, ...
    ]  # in the bucket before the move: one that is replaced, one that is gone, one more

    def changed_at(self, time: str) -> World:
        """Return the second day's world with time as the Last-Modified of what is new in it."""
        images = {
            key: image._replace(modified=time) if image.path in self.replaced + self.added else image
            for key, image in self.after.images.items()
        }
        return replace(self.after, images=images)


def build_site(seed: int = 3483) -> Site:
    """Plan the site of `seed`."""
    world = build_plain_world(seed)
    listed, new = world.lots[:-1], world.lots[-1]
    withdrawn = listed[-8]
    jpegs = [lot.image for lot in listed if lot.image.endswith(".jpg") and lot != withdrawn]
    replaced, added = tuple(jpegs[2:40:10]), (new.image, new.thumb)
    shown = {path: _another(world.images[unquote(path)]) for path in replaced}
    images = {key: shown.get(image.path, image) for key, image in world.images.items()}
    return Site(
        before=replace(
            world,
            lots=listed,
            images={key: image for key, image in world.images.items() if image.path not in added},
        ),
        after=replace(world, lots=tuple(lot for lot in world.lots if lot != withdrawn), images=images),
        replaced=replaced,
        added=added,
        gone=(withdrawn.image, withdrawn.thumb),
        not_ours=(replaced[-1], withdrawn.image, jpegs[0]),
    )


def _another(image: Image) -> Image:
    """Return an image at the same path that shows something else."""
    return image._replace(picture="vase.jpg" if image.picture == "coin.jpg" else "coin.jpg")


def expected(site: Site, cdn_url: str, new_base: str) -> dict[str, Any]:
    """Describe what the scripts must find and leave, in JSON's types; cdn_url has no slash at its end, new_base one.

    `objects` has what every URL of the map must be, with key and md5; `bucket` what must be left at each key when all
    is over.
    """
    first = planted(site.before, cdn_url, PREFIX, STRIP)["objects"]
    last = planted(site.after, cdn_url, PREFIX, STRIP)["objects"]
    kept = cdn_url + site.not_ours[0]
    objects = {**last, kept: first[kept]}
    gone = [cdn_url + path for path in site.gone]
    removed = [url for url in gone if url != cdn_url + site.not_ours[1]]
    return {
        "first": sorted(first),
        "last": sorted(url for url in last if url not in gone),
        "replaced": [cdn_url + path for path in site.replaced if path not in site.not_ours],
        "changed_not_ours": [kept],
        "added": [cdn_url + path for path in site.added],
        "gone": gone,
        "removed": removed,
        "found": [cdn_url + path for path in site.not_ours],
        "plus": [url for url in objects if "+" in url],
        "wrong_type": [url for url in objects if url.endswith("." + CONVERTED)],
        "exceptions": [
            url for url, told in objects.items() if not _follows_the_rule(url, told["key"], cdn_url)
        ],
        "objects": {url: {"key": told["key"], "md5": told["md5"]} for url, told in objects.items()},
        "percent": {url: _percent(url[len(cdn_url) :]) for url in objects},
        "new_urls": {url: new_base + quote(told["key"]) for url, told in objects.items()},
        "bucket": {told["key"]: told["md5"] for url, told in objects.items() if url not in removed},
    }


def _follows_the_rule(url: str, key: str, cdn_url: str) -> bool:
    """Return whether a new URL is the old one with another beginning."""
    return quote(key) == PREFIX + url[len(f"{cdn_url}/{STRIP}") :]


def _percent(path: str) -> int:
    """Return at which share of the URLs the one with this path moves: from 0 to 99, as docs/cutover.md has it."""
    return int(hashlib.md5(path.encode()).hexdigest()[:8], 16) % 100


def objects_before(site: Site) -> dict[str, tuple[bytes, str]]:
    """Return body and type, by key, of what somebody has put into the bucket before the move."""
    found = {}
    for path in site.not_ours:
        image = site.before.images[unquote(path)]
        key = PREFIX + unquote(path)[1:][len(STRIP) :]
        found[key] = (site.before.body(image), site.before.content_type(image))
    return found
