"""The outline of a page shows its names and the lengths of its lists, and no text of it."""

from __future__ import annotations

from cdn2s3.collection.page_outline import outline_of

SECRET = "s3cret-canary"


def test_outline_has_names_types_and_lengths() -> None:
    page = {
        "total": 31124,
        "more": True,
        "items": [
            {"id": 1, "image": {"url": "https://cdn.example/1.jpg"}, "tags": ["a", "b"]},
            {"id": 2, "image": None, "tags": [], "note": ""},
        ],
        "next": None,
    }
    assert outline_of(page) == [
        "total: 31124",
        "more: true",
        "items: list of 2",
        "  id: number",
        "  image: object (null in 1)",
        "    url: URL",
        "  tags: lists of 0 to 2",
        "    text",
        '  note: "" (in 1 of 2)',
        "next: null",
    ]


def test_bare_list_and_a_single_text_have_an_outline() -> None:
    assert outline_of(["https://cdn.example/1.jpg", None]) == ["list of 2", "  URL or null"]
    assert outline_of("text") == ["text"]
    assert outline_of([]) == ["list of 0"]


def test_outline_shows_no_text() -> None:
    page = {"token": SECRET, "items": [{"name": SECRET, "url": f"https://cdn.example/{SECRET}"}]}
    assert SECRET not in "".join(outline_of(page))


def test_outline_of_a_large_page_is_short() -> None:
    wide = outline_of({f"name{number}": number for number in range(100)})
    assert wide[-1] == "… and 75 more names"
    deep = outline_of([{f"a{i}": {f"b{j}": j for j in range(20)} for i in range(20)}])
    assert len(deep) == 61
    assert deep[-1] == "…"
