"""Where parsed JSON has image URLs, as paths and as one JMESPath expression. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit

EACH = "[]"  # a step into each element of a list
ANY = "*"  # a step into each value of an object whose names are keys

Path = tuple[str, ...]  # names, EACH and ANY; a name that looks like one of these is not told apart

_DEEPEST = 40
_ENDING = re.compile(
    r"[.@](jpe?g|jfif|png|gif|webp|avif|hei[cf]|bmp|tiff?|svg|jxl|jp2|psd|ico)$", re.IGNORECASE
)
_URL = re.compile(r"(https?:)?//[^\s<>\"]+", re.IGNORECASE)
_ADDRESS = re.compile(r"/[^\n<>\"{}]+|[^\s<>\"{}]+")
_IMAGE_WORDS = re.compile(
    r"ima?ge?|photo|picture|thumb|poster|cover|avatar|logo|banner|iiif|media", re.IGNORECASE
)
_LINK_NAMES = frozenset(
    {"next", "prev", "previous", "first", "last", "self", "links", "_links", "href", "link"}
)
_MOSTLY = 0.8  # share of a field's texts that must look like images


class Field(NamedTuple):
    """A place in the JSON whose texts look like images."""

    path: Path
    values: list[str]
    form: str  # "url", "schemeless" (//host/…), "path" (/…) or "name"
    is_sure: bool  # an image's ending, not only a word that suggests one


def leaves(value: object, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield each text, number, boolean and null in parsed JSON, with its path."""
    if len(path) > _DEEPEST:
        return
    if isinstance(value, list):
        for inner in value:
            yield from leaves(inner, (*path, EACH))
    elif isinstance(value, dict):
        keys_are_data = _is_mapping(value)
        for name, inner in value.items():
            yield from leaves(inner, (*path, ANY if keys_are_data else str(name)))
    else:
        yield path, value


def _is_mapping(value: dict[str, Any]) -> bool:
    """Return whether the names of an object are data (ids, sizes): its values are objects of one shape."""
    inner = list(value.values())
    if not inner or not all(isinstance(one, dict) and one for one in inner) or _LINK_NAMES & value.keys():
        return False
    if all(name.lstrip("-").isdigit() for name in value):
        return True
    names = [set(one) for one in inner]
    return len(inner) > 1 and 2 * len(set.intersection(*names)) > len(set.union(*names))


def image_fields(*pages: object) -> list[Field]:
    """Return the fields that have image URLs on pages of one kind.

    Only the surest kind: whole URLs, else what needs a base.
    """
    texts: dict[Path, list[str]] = {}
    for page in pages:
        for path, value in leaves(page):
            if isinstance(value, str) and value.strip():
                texts.setdefault(path, []).append(value.strip())
    fields = [field for path, values in texts.items() for field in _field(path, values)]
    for form, is_sure in (
        ("url", True),
        ("schemeless", True),
        ("url", False),
        ("path", True),
        ("name", True),
    ):
        chosen = [field for field in fields if field.form == form and field.is_sure is is_sure]
        if not is_sure and any(map(list_of, texts)):
            chosen = [
                field for field in chosen if list_of(field.path)
            ]  # beside a list: an address of the service
        if chosen:
            return _without_repeats(chosen)
    return []


def _field(path: Path, values: list[str]) -> Iterator[Field]:
    forms = [form_of(value) for value in values]
    for form in dict.fromkeys(forms):
        these = [value for value, its in zip(values, forms) if its == form]
        if not form or len(these) < _MOSTLY * len(values):
            continue
        if sum(map(_has_ending, these)) >= _MOSTLY * len(these):
            yield Field(path, these, form, is_sure=True)
        elif form == "url" and _is_suggestive(path, these):
            yield Field(path, these, form, is_sure=False)


def form_of(text: str) -> str:
    """Return how a text may be the address of an image; empty if it is none."""
    if _URL.fullmatch(text):
        return "schemeless" if text.startswith("//") else "url"
    if not _ADDRESS.fullmatch(text) or "://" in text or not _has_ending(text):
        return ""
    return "path" if text.startswith("/") else "name"


def _has_ending(text: str) -> bool:
    try:
        return bool(_ENDING.search(urlsplit(text).path))
    except ValueError:
        return False


def _is_suggestive(path: Path, values: Sequence[str]) -> bool:
    """Return whether a field's name, or its URLs' hosts and paths, speak of images."""
    names = [step for step in path if step not in (EACH, ANY)]
    if _LINK_NAMES & {name.lower() for name in names} or any(map(_is_folder, values)):
        return False
    if any(_IMAGE_WORDS.search(name) for name in names[-2:]):
        return True
    return all(_IMAGE_WORDS.search(re.sub("^https?://|[?#].*", "", value)) for value in values)


def _is_folder(url: str) -> bool:
    return url.partition("?")[0].endswith("/")


def _without_repeats(fields: list[Field]) -> list[Field]:
    """Leave out a field that says the same as an earlier one, item by item.

    One that is merely part of another one here may not be on other pages: a URL that is found twice does no harm.
    """
    kept: list[Field] = []
    for field in fields:
        if not any(field.values == other.values and len(field.values) > 2 for other in kept):
            kept.append(field)
    return kept


def list_of(path: Path) -> Path:
    """Return the path of the outermost list on a path, its step into the elements included; () if there is none."""
    at = next((at for at, step in enumerate(path) if step in (EACH, ANY)), None)
    return () if at is None else path[: at + 1]


def main_list(fields: Sequence[Field]) -> Path:
    """Return the list that most of the values are in."""
    counts: dict[Path, int] = {}
    for field in fields:
        counts[list_of(field.path)] = counts.get(list_of(field.path), 0) + len(field.values)
    return max(counts, key=lambda path: (bool(path), counts[path]))


def expression(paths: Sequence[Path]) -> str:
    """Return the JMESPath expression that finds the values at all paths as one flat list.

    The paths lie in one list. An empty expression means: the page is the list of the values itself.
    """
    if list(paths) == [(EACH,)]:
        return ""
    if len(paths) == 1:
        path = paths[0]
        if not list_of(path):
            return f"[{jmespath_of(path)}]"
        flat = EACH * (_depth(path) - 1)
        return jmespath_of(path) + flat
    common = _common_list(paths)
    rest = [path[len(common) :] for path in paths]
    flat = EACH * max(1, *(1 + _depth(path) for path in rest))
    chosen = ", ".join(jmespath_of(path) or "@" for path in rest)
    return f"{jmespath_of(common)}.[{chosen}]{flat}" if common else f"[{chosen}]{flat}"


def items_expression(path: Path) -> str:
    """Return the JMESPath expression for the list that list_of() has found."""
    if not path:
        return ""
    return jmespath_of(path) if path[-1] == ANY else jmespath_of(path[:-1]) or "@"


def jmespath_of(path: Path) -> str:
    """Return a path as JMESPath."""
    text = ""
    for step in path:
        if step == EACH:
            text += EACH
        else:
            name = step if step == ANY or re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", step) else _quoted(step)
            text += f".{name}" if text else name
    return text


def _quoted(name: str) -> str:
    escaped = name.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _depth(path: Path) -> int:
    """Return how deep the lists are nested in what a path finds: [] joins two levels, * opens one more."""
    depth = 0
    for step in path:
        if step == ANY:
            depth += 1
        elif step == EACH:
            depth = max(1, depth)
    return depth


def _common_list(paths: Sequence[Path]) -> Path:
    """Return the longest path into a list that all paths begin with."""
    length = 0
    for at, steps in enumerate(zip(*paths)):
        if len(set(steps)) > 1:
            break
        if steps[0] in (EACH, ANY):
            length = at + 1
    return paths[0][:length]
