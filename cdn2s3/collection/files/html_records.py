"""The URLs in HTML pages: what html_addresses finds, or the attributes that URL_COLUMNS names."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from typing import Any

from cdn2s3.collection.files.html_addresses import HtmlAddresses
from cdn2s3.collection.files.picker import INLINE
from cdn2s3.collection.files.records import Job, Record
from cdn2s3.collection.files.text_lines import encoding_of


class HtmlRecords:
    """The attributes of a page that hold images, each a record."""

    def __init__(self, job: Job) -> None:
        self._job = job

    def __iter__(self) -> Iterator[Record]:
        job = self._job
        parser = HtmlAddresses(takes_all=job.picker.is_named)
        decoder = codecs.getincrementaldecoder(job.encoding)(
            "surrogateescape" if job.encoding == "utf-8" else "replace"
        )
        job.stream.read(encoding_of(job.head)[1])
        number = 0
        is_at_end = False
        while not is_at_end:
            chunk = job.stream.read()
            is_at_end = not chunk
            parser.feed(decoder.decode(chunk, final=is_at_end))
            if is_at_end:
                parser.close()
            found, parser.found = parser.found, []
            for address in found:
                number += 1
                if number > job.start.records:
                    yield Record(self._urls(address.tag, address.attribute, address.address))

    def _urls(self, tag: str, attribute: str, address: str) -> list[Any]:
        picker = self._job.picker
        urls: list[Any] = []
        if picker.is_named:
            picker.take((tag, attribute), address, urls)
        elif address.startswith("data:"):
            picker.note(INLINE, address[:80])
        elif address and not address.startswith(("#", "blob:", "about:", "javascript:")):
            picker.take_wanted((tag, attribute), address, urls)
        return urls
