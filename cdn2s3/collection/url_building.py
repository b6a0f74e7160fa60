"""The URL of an image where a source gives only a part of it. Pure.

API_URL_BASE completes what is no whole URL:

    //cdn.example/1.jpg       with the scheme of the base
    /1.jpg, 1.jpg, u/1.jpg    after the base, with one slash between them

API_URL_TEMPLATE builds a URL from fields, each a JMESPath expression in braces, evaluated on one record:
`https://live.example/{server}/{id}_{secret}_b.jpg`. A field that finds a list gives a URL for each element.
A record in which a field is null, false or empty has no image.

What a URL may not hold is percent-encoded; what is encoded already stays so.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple
from urllib.parse import quote, urljoin, urlsplit

from cdn2s3.collection.expressions import (
    Expression,
    ItemError,
    UnexpectedShape,
    kind,
    named,
)
from cdn2s3.url_text import BLANKS

SETTING = "API_URL_TEMPLATE"

_WHOLE = re.compile(r"https?://", re.IGNORECASE)
_OTHER_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://|data:|blob:|javascript:|mailto:|about:")
_FIELD = re.compile(r"\{([^{}]*)\}")
_BARE_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_ENDS_IN_EMPTY = re.compile(r"""\|\|\s*(''|`""`|`''`)\s*$""")  # `suffix || ''`: nothing is meant

# What stays as it is, by where in the URL a field stands; letters, digits and _.-~ always do.
_IN_ADDRESS = ":/?#[]@!$&'()*+,;=%"  # the field begins the URL: it may be a whole one
_IN_HOST = ":[]/%"
_IN_PATH = "/:@!$&'()*+,;=%"
_IN_QUERY = "/:@!$'()*,;%"


def is_no_image(value: object) -> bool:
    """Return whether value is a way to say that there is no image: null, false, "", blanks, [] or {}."""
    if isinstance(value, str):
        return not value.strip(BLANKS)
    return value is None or value is False or value == [] or value == {}


class Field(NamedTuple):
    """One field of a template."""

    before: str  # the text between the field before it and this one
    expression: Expression
    safe: str  # characters of its value that are not encoded
    may_be_empty: bool


class UrlBuilder:
    """Complete or build the URLs of records, as API_URL_BASE and API_URL_TEMPLATE say."""

    def __init__(self, base: str | None, template: str, like_a_browser: bool = False) -> None:
        """Either may be empty; raise ValueError when template is not one.

        like_a_browser: `/1.jpg` is at the root of the base's host (RFC 3986), as in HTML.
        """
        self._base = base or ""
        self._like_a_browser = like_a_browser
        self._template = template
        self._fields, self._end = parsed(template)

    @property
    def has_template(self) -> bool:
        return bool(self._template)

    def urls_of(self, values: list[Any]) -> list[Any]:
        """Return the URLs of all that an expression found on a page."""
        is_plain = not self._base and not self._template and set(map(type, values)) <= {str}
        if is_plain and "" not in values and not any(map(str.isspace, values)):
            return values  # nearly every page: four million URLs go this way
        return [url for number, value in enumerate(values, 1) for url in self.urls(value, number)]

    def urls(self, value: Any, number: int = 0) -> list[Any]:
        """Return the URLs of a record, or of what an expression found; None for one without an image.

        What is neither text nor a list of texts is returned as it is: the caller rejects it. number is the record's,
        for the ItemError of one that cannot be used.
        """
        if isinstance(value, ItemError):
            return [value]
        if self._template:
            return self._from_template(value, number)
        if is_no_image(value):
            return [None]
        if isinstance(value, list):
            return [url for inner in value for url in self.urls(inner, number)]
        return [self._whole(value) if isinstance(value, str) and self._base else value]

    def says_that_there_is_none(self, value: object) -> bool:
        """Return whether value, of an item or in a field of the template, is "", blanks or false.

        Null, [] and {} may also be what a request leaves out: a page full of them is suspicious.
        """
        if self._template and not isinstance(value, (str, bool)):
            return any(self._is_said(field.expression.find(value).values) for field in self._fields)
        return self._is_said(value)

    @staticmethod
    def _is_said(value: object) -> bool:
        return value is False or (isinstance(value, str) and not value.strip())

    def empty_field(self, record: object) -> str:
        """Return the first field of the template that finds nothing in record; empty if each finds something."""
        for field in self._fields:
            if not field.may_be_empty and is_no_image(field.expression.find(record).values):
                return field.expression.text
        return ""

    def _whole(self, url: str) -> str:
        """Return url joined with the base; one that has a scheme is returned unchanged."""
        text = url.strip()
        if _WHOLE.match(text) or _OTHER_SCHEME.match(text):
            return url
        if text.startswith("//"):
            return f"{urlsplit(self._base).scheme}:{_encoded(text, _IN_ADDRESS)}"
        text = _encoded(text, _IN_ADDRESS)
        if text.startswith("/") and self._like_a_browser:
            return urljoin(self._base, text)
        folder = self._base.rstrip("/") + "/"
        return urljoin(folder, "./" + text.lstrip("/"))  # ./: `a:b.jpg` has no scheme

    def _from_template(self, record: Any, number: int) -> list[Any]:
        try:
            found = [self._texts(field, record) for field in self._fields]
        except UnexpectedShape as error:
            return [ItemError(named(number, record), str(error))]
        count = max(map(len, found))
        if sum(len(texts) > 1 for texts in found) > 1:
            return [ItemError(named(number, record), f"{SETTING}: more than one of its fields found a list")]
        whole = [texts * count if len(texts) == 1 else texts for texts in found]
        return [self._put_together(texts) for texts in zip(*whole)] or [None]

    def _put_together(self, texts: tuple[str | None, ...]) -> str | None:
        parts = [
            None if text is None else field.before + _encoded(text, field.safe)
            for field, text in zip(self._fields, texts)
        ]
        if None in parts:
            return None
        url = "".join(part or "" for part in parts) + self._end
        return self._whole(url) if self._base else url

    def _texts(self, field: Field, record: Any) -> list[str | None]:
        """Return what a field finds, None for no image; raise UnexpectedShape for what is no text or number."""
        value = field.expression.find(record).values
        if value == "" and field.may_be_empty:
            return [""]
        values = value if isinstance(value, list) else [value]
        return [None if is_no_image(inner) else self._text(field, inner) for inner in values]

    def _text(self, field: Field, value: object) -> str:
        if isinstance(value, str):
            return value.strip(BLANKS)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise UnexpectedShape(
                f"{SETTING}: {{{field.expression.text}}} should be text or a number, not {kind(value)}"
            )
        return str(int(value)) if float(value).is_integer() else str(value)


def parsed(template: str) -> tuple[list[Field], str]:
    """Return the fields of a template and the text after the last; raise ValueError when it is not one."""
    fields: list[Field] = []
    at = 0
    for found in _FIELD.finditer(template):
        before = template[at : found.start()]
        text = found[1].strip()
        if not text or "{" in before or "}" in before:
            raise ValueError("braces")
        fields.append(
            Field(
                before,
                Expression(text, f"{SETTING} {{{text}}}"),
                _safe_at(template[: found.start()]),
                bool(_ENDS_IN_EMPTY.search(text)),
            )
        )
        at = found.end()
    end = template[at:]
    if "{" in end or "}" in end or (template and not fields):
        raise ValueError("braces")
    return fields, end


def _safe_at(before: str) -> str:
    """Return what is not encoded in a field that stands after the text before."""
    plain = _FIELD.sub("x", before)
    if not plain:
        return _IN_ADDRESS
    if "?" in plain:
        return _IN_QUERY
    has_host = before.startswith("{") or plain.startswith("/") or plain.count("/") > 2 or "//" not in plain
    return _IN_PATH if has_host else _IN_HOST


def _encoded(text: str, safe: str) -> str:
    return quote(_BARE_PERCENT.sub("%25", text), safe=safe + "~")
