"""Made-up lists of the production's shape and size: URLs, and the records of a migration of them.

Number N has always the same URL, size and ETag, and numbers go up as keys do, so nothing needs to be kept.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from benchmarks.movers import PREFIX, STRIP

_PER_LOT = 400  # images and as many thumbnails


_NAMES = [f"{kind}{image:04d}-1.jpg" for kind in "it" for image in range(_PER_LOT // 2)]


def path_of(number: int) -> str:
    """Return the path of a URL, such as auctionimages/3000/1713553344/i0178-1.jpg."""
    lot, rest = divmod(number, _PER_LOT)
    return f"{_folder_of(lot)}{_NAMES[rest]}"


def _folder_of(lot: int) -> str:
    return f"{STRIP}{3000 + lot // 10}/{1713553344 + lot}/"


def key_of(number: int) -> str:
    return PREFIX + path_of(number)[len(STRIP) :]


def size_of(number: int) -> int:
    return 20_000 + number % 700_000


def etag_of(number: int) -> str:
    """Return 32 hex digits that look like an MD5."""
    return f"{(number + 1) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % (1 << 128):032x}"


def write_urls(path: Path, base: str, count: int) -> None:
    """Write count URLs below base, which ends in /."""
    _write(path, (text for lot in range(-(-count // _PER_LOT)) for text in _lot(base, lot, count)))


def _lot(base: str, lot: int, count: int) -> Iterator[str]:
    """Yield the lines of a lot's URLs, of the first count ones."""
    folder, first = base + _folder_of(lot), lot * _PER_LOT
    return (f"{folder}{name}\n" for name in _NAMES[: count - first])


def write_completed(path: Path, base: str, count: int) -> None:
    """Write records of the first count URLs as completed."""
    _write(path, (_completed(base, number) for number in range(count)))


def _completed(base: str, number: int) -> str:
    etag = etag_of(number)
    fields = (
        base + path_of(number),
        key_of(number),
        size_of(number),
        etag,
        etag,
        "image/jpeg",
        "2026-11-20T09:00:00Z",
        "stored",
        f'"{etag}"',
        "Fri, 20 Nov 2026 09:00:00 GMT",
        "s3",
    )
    return "\t".join(map(str, fields)) + "\n"


def write_failed(path: Path, base: str, numbers: range) -> None:
    """Write records of the URLs with those numbers as failed."""
    tail = "timeout\t4\tno complete response within the time limit\t2026-11-20T09:00:00Z\n"
    _write(path, (f"{base}{path_of(number)}\t{tail}" for number in numbers))


def _write(path: Path, lines: Iterator[str]) -> None:
    with path.open("w", encoding="ascii") as file:
        file.writelines(lines)


def first_after(key: str, count: int) -> int:
    """Return the first of count numbers whose key comes after key; count if there is none."""
    low, high = 0, count
    while low < high:
        middle = (low + high) // 2
        if key_of(middle) <= key:
            low = middle + 1
        else:
            high = middle
    return low


def listing_page(bucket: str, first: int, count: int, most: int) -> bytes:
    """Return a page of ListObjectsV2 with the objects from number first on, most at a time, of count."""
    end = min(first + most, count)
    objects = "".join(
        f"<Contents><Key>{key_of(number)}</Key><LastModified>2026-11-20T09:00:00.000Z</LastModified>"
        f"<ETag>&quot;{etag_of(number)}&quot;</ETag><Size>{size_of(number)}</Size>"
        "<StorageClass>STANDARD</StorageClass></Contents>"
        for number in range(first, end)
    )
    more = end < count
    token = f"<NextContinuationToken>{end}</NextContinuationToken>" if more else ""
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/">'
        f"<Name>{bucket}</Name><Prefix>{PREFIX}</Prefix><EncodingType>url</EncodingType><MaxKeys>{most}</MaxKeys>"
        f"<KeyCount>{end - first}</KeyCount><IsTruncated>{'true' if more else 'false'}</IsTruncated>{token}{objects}"
        "</ListBucketResult>"
    ).encode()
