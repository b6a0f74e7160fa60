"""Plan the demo's world: which lots the API lists, which images the CDN serves, and what is wrong with some.

The plan is a pure function of its seed: about 2,000 URLs of 40 auctions in the production shape, the same in
every run and on every Python. It knows paths only; where the CDN listens is decided by whoever starts it.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote, unquote

from demo.large_png import large_png
from demo.stamp import stamp

PICTURES = Path(__file__).parent / "images"
AUCTIONS = range(3483, 3523)
LOTS = range(160, 185)  # of each auction: the same file names return in all forty folders
LARGE = "large.png"  # not in demo/images: made when the world is built

FIRST_DAY = "Sat, 20 Apr 2024 09:02:24 GMT"  # when the images came to the site

EDGE_LOCATION = "FRA56-P8"  # what the CDN calls itself in x-amz-cf-pop: Frankfurt
NEAREST_REGION = "eu-central-1"

SUBJECTS = {
    "jpg": ("vase", "coin", "painting", "landscape", "fruit"),
    "png": ("clock", "kilim"),
    "gif": ("engraving", "medal"),
    "webp": ("bowl", "gem"),
    "avif": ("dunes",),
}
CONTENT_TYPES = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "gif": "image/gif",
    "webp": "image/webp",
    "avif": "image/avif",
}


class Fault(NamedTuple):
    """One way in which the CDN fails for a few URLs."""

    name: str  # in planted.json
    cause: str  # the word that failed_transfers.txt and the reports use for it
    first: int | None  # how many first downloads of each URL it spoils; None: all of them, it never heals
    lots: int  # in how many lots' images it is planted
    shown: str  # what the demo prints about it


FAULTS = (
    Fault("not_found", "not_found", None, 4, "404 Not Found"),
    Fault("forbidden", "forbidden", None, 3, "403 Forbidden for single files"),
    Fault("html", "not_an_image", None, 2, "HTML page, 200, image/jpeg"),
    Fault("empty", "empty", None, 2, "empty body, 200"),
    Fault("truncated", "truncated", 1, 3, "body that ends early (recovers)"),
    Fault("burst", "throttled", 1, 8, "burst of 503, Retry-After: 1 (recovers)"),
    Fault("drip", "timeout", 1, 1, "slow drip (recovers)"),
)

# Names as an auction house's photographers give them. The API hands some out percent-encoded and some raw.
ENCODED_NAMES = (
    "i0163%20Vorderseite.jpg",
    "i0171-B%C3%BCste%20aus%20Bronze.jpg",
    "i0177-%E8%8A%B1%E7%93%B6.jpg",
    "i0181-50%25%20Silber.jpg",
)
PLUS_NAMES = ("i0167-14+18.jpg", "i0169-oil+gouache.jpg")  # in the world of the cutover
RAW_NAMES = ("i0164 Rückseite.jpg", "i0172-Čajník.jpg", "i0178-花瓶 2.jpg", "i0165-a+b (1).jpg")

FOREIGN_URLS = (
    "https://pictures.partner-auctions.example/lots/88121/front.jpg",
    "https://pictures.partner-auctions.example/lots/88121/back.jpg",
    "http://old-cms.auction-house.example/uploads/2019/chair.jpg",
)
MISLABELLED = 3  # files that somebody saved as WebP and called .jpg
REPEATS = 5  # lots that the API lists a second time, as when a sale moves while its pages are read


class Image(NamedTuple):
    """One image as the CDN has it."""

    path: str  # from the leading slash on, as the API writes it: percent-encoded or raw
    picture: str  # the file in demo/images that it shows, or LARGE
    label: str  # the Content-Type that the CDN sends, not always the true one
    fault: Fault | None = None
    modified: str = FIRST_DAY  # the Last-Modified that the CDN sends


class Lot(NamedTuple):
    """One item of the API."""

    auction: int
    number: int
    image: str  # a path of World.images, or a whole URL of another host
    thumb: str


@dataclass(frozen=True)
class World:
    """The whole plan. Immutable, so that servers share it between threads without a lock."""

    lots: tuple[Lot, ...]  # in the API's order, repeated ones included
    images: dict[str, Image]  # by percent-decoded path
    repeated: tuple[Lot, ...]  # those of `lots` that come twice
    pictures: dict[str, bytes] = field(repr=False)  # by file name

    def body(self, image: Image) -> bytes:
        """Return the true bytes of an image: its picture, with the path as a comment inside."""
        return stamp(self.pictures[image.picture], quote(unquote(image.path)))

    def content_type(self, image: Image) -> str:
        """Return the true type of an image, whatever the CDN says."""
        return CONTENT_TYPES[image.picture.rpartition(".")[2]]


def build_world(seed: int = 3483) -> World:
    """Plan the world of `seed` and load its pictures. Takes a tenth of a second."""
    chance = random.Random(seed)
    numbers = [(auction, number) for auction in AUCTIONS for number in LOTS]
    images, thumbs = _draw(chance, numbers)
    foreign = _plant(chance, images)
    lots = [Lot(*who, image.path, thumb.path) for who, image, thumb in zip(numbers, images, thumbs)]
    for place, url in zip(foreign, FOREIGN_URLS):
        lots[place] = lots[place]._replace(image=url)
    served = [image for place, image in enumerate(images) if place not in foreign] + thumbs
    repeated = _repeat(chance, lots)
    return World(tuple(lots), {unquote(image.path): image for image in served}, repeated, _load_pictures())


def build_small_world(seed: int = 3483) -> World:
    """Plan a world of 96 URLs in which nothing stays wrong: the faults of three of its images heal."""
    chance = random.Random(seed)
    numbers = [(auction, number) for auction in AUCTIONS[:4] for number in LOTS[:12]]
    images, thumbs = _draw(chance, numbers)
    faults = {fault.name: fault for fault in FAULTS}
    plain = [place for place in range(1, len(images)) if images[place].label == "image/jpeg"]
    for place, name in zip(chance.sample(plain, 3), ("truncated", "burst", "burst")):
        images[place] = images[place]._replace(fault=faults[name])
    lots = tuple(Lot(*who, image.path, thumb.path) for who, image, thumb in zip(numbers, images, thumbs))
    return World(lots, {unquote(image.path): image for image in images + thumbs}, (), _load_pictures())


def build_plain_world(seed: int = 3483) -> World:
    """Plan a world of 132 URLs without a fault, in which ten images have special names."""
    chance = random.Random(seed)
    numbers = [(auction, number) for auction in AUCTIONS[:6] for number in LOTS[:11]]
    images, thumbs = _draw(chance, numbers)
    plain = [place for place in range(1, len(images)) if images[place].label == "image/jpeg"]
    names = ENCODED_NAMES + RAW_NAMES + PLUS_NAMES
    for place, name in zip(chance.sample(plain, len(names)), names):
        images[place] = _renamed(images[place], name)
    lots = tuple(Lot(*who, image.path, thumb.path) for who, image, thumb in zip(numbers, images, thumbs))
    return World(lots, {unquote(image.path): image for image in images + thumbs}, (), _load_pictures())


def build_faultless_world(seed: int = 3483) -> World:
    """Plan a world of 1,000 URLs in which nothing is wrong, for a run that takes a while."""
    chance = random.Random(seed)
    numbers = [(auction, number) for auction in AUCTIONS[:20] for number in LOTS]
    images, thumbs = _draw(chance, numbers)
    lots = tuple(Lot(*who, image.path, thumb.path) for who, image, thumb in zip(numbers, images, thumbs))
    return World(lots, {unquote(image.path): image for image in images + thumbs}, (), _load_pictures())


def _draw(chance: random.Random, numbers: list[tuple[int, int]]) -> tuple[list[Image], list[Image]]:
    """Draw an image and a thumbnail for every (auction, lot number), nothing special yet."""
    images, thumbs = [], []
    for auction, number in numbers:
        extension = chance.choices(list(SUBJECTS), weights=[80, 6, 4, 6, 4])[0]
        subject = chance.choice(SUBJECTS[extension])
        # The second folder is a time in seconds, two days apart from sale to sale.
        folder = f"/auctionimages/{auction}/{1713553344 + (auction - AUCTIONS[0]) * 172_811}"
        label = CONTENT_TYPES[extension]
        images.append(Image(f"{folder}/i{number:04}-1.{extension}", f"{subject}.{extension}", label))
        thumbs.append(Image(f"{folder}/t{number:04}-1.{extension}", f"{subject}-thumb.{extension}", label))
    return images, thumbs


def _plant(chance: random.Random, images: list[Image]) -> list[int]:
    """Make some of `images` special, in place; return the lots whose image shall lie on another host."""
    # The very first image stays plain: its URL answers for the CDN's edge location.
    plain = [place for place in range(1, len(images)) if images[place].label == "image/jpeg"]
    # The drip comes early, so that nobody waits for it at the end; a burst hits neighbours.
    chosen = {"drip": [plain.pop(10)], "burst": [plain.pop(200) for _ in range(8)]}
    places = iter(chance.sample(plain, len(plain)))
    for fault in FAULTS:
        for place in chosen.get(fault.name) or [next(places) for _ in range(fault.lots)]:
            images[place] = images[place]._replace(fault=fault)
    for name in ENCODED_NAMES + RAW_NAMES:
        place = next(places)
        images[place] = _renamed(images[place], name)
    for _ in range(MISLABELLED):
        place = next(places)
        images[place] = images[place]._replace(picture="bowl.webp")
    place = next(places)
    path = images[place].path.rpartition(".")[0] + ".png"
    images[place] = images[place]._replace(path=path, picture=LARGE, label="image/png")
    return [next(places) for _ in FOREIGN_URLS]


def _renamed(image: Image, name: str) -> Image:
    return image._replace(path=image.path.rpartition("/")[0] + "/" + name)


def _repeat(chance: random.Random, lots: list[Lot]) -> tuple[Lot, ...]:
    """List some of `lots` again a page or so later, in place; return them."""
    own = [place for place in range(100, len(lots) - 100) if lots[place].image.startswith("/")]
    repeated = []
    for place in sorted(chance.sample(own, REPEATS), reverse=True):
        lots.insert(place + 60, lots[place])
        repeated.append(lots[place])
    return tuple(reversed(repeated))


def _load_pictures() -> dict[str, bytes]:
    """Read demo/images, and make the picture that is too large to be kept there."""
    suffixes = {f".{extension}" for extension in SUBJECTS}
    pictures = {path.name: path.read_bytes() for path in PICTURES.iterdir() if path.suffix in suffixes}
    return {**pictures, LARGE: large_png()}
