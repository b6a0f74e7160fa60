"""The keys that divide a listing: sorted, alike in number between them, the same each time."""

from __future__ import annotations

from pathlib import Path

from cdn2s3.keys import KeyMaker, Naming
from cdn2s3.planning.survey import UrlSurvey
from cdn2s3.state.lines import numbered_input
from cdn2s3.validation.dividers import FEWEST_KEYS, dividers

KEYS = KeyMaker(Naming("https://cdn.example/", "images/", preserve=True))


def survey_of(folder: Path, names: list[str]) -> UrlSurvey:
    path = folder / "urls.txt"
    path.write_text("".join(f"https://cdn.example/{name}\n" for name in names), encoding="utf-8")
    return survey_of_file(path)


def survey_of_file(path: Path) -> UrlSurvey:
    urls = numbered_input(path)
    lines = sum(1 for _, batch in urls.batches() for _ in batch)
    return UrlSurvey(urls, bytearray(lines))


def test_short_list_is_not_divided(tmp_path: Path) -> None:
    names = [f"{number:06d}.jpg" for number in range(2 * FEWEST_KEYS - 1)]
    assert dividers(survey_of(tmp_path, names), KEYS) == []


def test_parts_are_alike_whatever_the_order_of_the_list(tmp_path: Path) -> None:
    count = 20 * FEWEST_KEYS
    numbers = [number * 7_919 % count for number in range(count)]
    work = survey_of(tmp_path, [f"{number % 2}/{number:06d}é.jpg" for number in numbers])
    found = dividers(work, KEYS)
    assert found == sorted(set(found), key=str.encode) == dividers(work, KEYS)
    assert 14 <= len(found) <= 16
    keys = sorted(f"images/{number % 2}/{number:06d}é.jpg" for number in numbers)
    places = [0, *(keys.index(key) for key in found), count]
    assert all(0.2 < (end - begin) * 16 / count < 2.5 for begin, end in zip(places, places[1:]))


def test_lines_that_have_no_key_divide_nothing(tmp_path: Path) -> None:
    work = survey_of(tmp_path, ["/../up.jpg"] * (2 * FEWEST_KEYS))
    assert dividers(work, KEYS) == []
