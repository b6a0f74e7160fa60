"""The model of a life after the move: from what is there before a command, what may be there after it.

It knows the documents and none of the tool's code. For one URL: what lies at its key, what its row says, what the site
sends. Where something happens while a command runs, or the command is killed, several ends are right; all are listed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tests.torture.after_records import Change, OpenUndo, Row

OURS = ("stored", "renewed")


class Thing(NamedTuple):
    """An object or file, or a delete marker."""

    md5: str  # of its bytes; "" of a marker
    etag: str  # as HEAD has it, without quotes
    at: int  # when it was stored, in seconds since the epoch


class Look(NamedTuple):
    """One URL before a command."""

    stack: tuple[
        Thing, ...
    ]  # what is at its key, the newest first; more than one where the bucket keeps versions
    row: Row | None
    site: frozenset[str]  # MD5s of what the site sends for it while the command runs; "" where it says 404
    newcomer: str = ""  # MD5 of what somebody else may put at its key while the command runs

    @property
    def top(self) -> Thing | None:
        return self.stack[0] if self.stack and self.stack[0].md5 else None

    @property
    def below(self) -> Thing | None:
        """What shows once the newest version is gone."""
        return self.stack[1] if len(self.stack) > 1 and self.stack[1].md5 else None

    @property
    def is_recorded(self) -> bool:
        """Whether what is at the key is what the row says."""
        return self.row is not None and self.top is not None and self.top.etag == self.row.etag


class End(NamedTuple):
    """One URL after a command."""

    at_key: str  # MD5 of what is at its key; "" where nothing is
    how: str  # of its row; "" where it has none
    recorded: str  # MD5 that its row says, "-" if unknown; "" where it has none
    told: str = ""  # what changes.txt says of it, after a delta


def same(look: Look, told: str = "") -> End:
    """Return the end in which nothing has changed."""
    row = look.row
    return End(look.top.md5 if look.top else "", row.how if row else "", row.md5 if row else "", told)


class Undo(NamedTuple):
    """What an undo is asked for."""

    since: int | None = None
    urls: frozenset[str] | None = None  # None: all
    changes: dict[str, Change] | None = None  # with the lines of changes.txt: what each says
    opened: OpenUndo | None = None  # where it goes on
    done: frozenset[tuple[str, str]] = frozenset()  # URLs and places that it has undone before
    versioned: bool = False

    def covers(self, row: Row) -> bool:
        """Return whether it is about a row."""
        if self.opened is not None and (row.at > self.opened.newest or (row.url, row.place) in self.done):
            return False
        if self.since is not None and row.at < self.since:
            return False
        if self.changes is not None:
            change = self.changes.get(row.url)
            return change is not None and change.what in ("renewed", "replaced")
        return self.urls is None or row.url in self.urls

    @property
    def goes_back(self) -> bool:
        return self.since is not None or self.changes is not None


# --- the commands


def moved(look: Look, faults: bool) -> set[End]:
    """Return the ends of a run. faults: answers of the bucket may be lost, and then an object of ours is `found`."""
    if look.row is not None:
        return {same(look)}
    ends = set()
    for body in look.site:
        if look.top is not None:
            ends.add(
                End(look.top.md5, "found", look.top.md5)
                if body == look.top.md5
                else End(look.top.md5, "", "")
            )
        elif body:
            ends.add(End(body, "stored", body))
            if faults:
                ends.add(End(body, "found", body))
        else:
            ends.add(End("", "", ""))
    return ends


def caught_up(look: Look, is_looked_at: bool, faults: bool) -> set[End]:
    """Return the ends of a delta."""
    row = look.row
    if row is None:
        return moved(look, faults)
    if not is_looked_at:
        return {same(look)}
    ends = set()
    for body in look.site:
        if not body:
            ends.add(same(look, "gone"))
        elif _is_unchanged(look, row, body):
            ends.add(same(look))
        elif row.how not in OURS:
            ends.add(same(look, "changed, not ours"))
        else:
            ends |= _renewed(look, row, body)
    if len(look.site) > 1:  # it may change between the two passes
        ends |= {same(look, "failed:unstable"), same(look, "gone"), same(look, "failed:not_found")}
    return ends


def _is_unchanged(look: Look, row: Row, body: str) -> bool:
    """Whether body is what is recorded: by its MD5, else by the ETag, else by the object that has this ETag."""
    if row.md5 != "-":
        return body == row.md5
    return body == row.etag or (look.is_recorded and look.top is not None and body == look.top.md5)


def _renewed(look: Look, row: Row, body: str) -> set[End]:
    if look.top is None:
        return {same(look, "lost")}
    if look.is_recorded:
        return {End(body, "renewed", body, "renewed")}
    if look.top.md5 == body:  # by a delta that was killed
        return {End(body, "renewed", body)}
    return {same(look, "changed at both ends")}


def undone(look: Look, asked: Undo) -> set[End]:
    """Return the ends of an undo."""
    row, top = look.row, look.top
    if row is None or not asked.covers(row) or row.how not in OURS:
        return {same(look)}
    if asked.changes is not None and not _is_of(asked.changes[row.url], row):
        return {same(look)}
    if row.how == "renewed" and asked.goes_back:
        return _gone_back(look, row, asked)
    if top is None:
        return {End("", "", "")}
    if not look.is_recorded:
        return {same(look)}
    shows = look.below if asked.versioned and row.how == "stored" else None
    return {End(shows.md5 if shows else "", "", "")}


def _is_of(change: Change, row: Row) -> bool:
    """Whether a row is that of what a delta wrote: by its MD5, and where that is unknown, by how it came there."""
    return row.how == "renewed" if row.md5 == "-" else change.new_md5 in (row.md5, "-")


def _gone_back(look: Look, row: Row, asked: Undo) -> set[End]:
    if not asked.versioned or row.place == "local":
        return {same(look)}
    if look.top is None:
        return {End("", "", "")}
    if look.is_recorded:
        return _shown(look.stack[1:]) if look.below else {same(look)}
    is_ours_below = any(thing.etag == row.etag for thing in look.stack[1:])
    if asked.opened is not None and look.top.at < row.at and not is_ours_below:  # killed before the record
        return _shown(look.stack)
    return {same(look)}


def _shown(stack: tuple[Thing, ...]) -> set[End]:
    """Return the ends in which the first of stack, of ours, shows again and is recorded, its MD5 where it is known."""
    how = "renewed" if len(stack) > 1 and stack[1].md5 else "stored"
    return {End(stack[0].md5, how, recorded) for recorded in (stack[0].md5, "-")}


# --- what happens meanwhile


def with_newcomer(look: Look, ends: Iterable[End], after: Iterable[End]) -> set[End]:
    """Add the ends where somebody else puts an object there: before, meanwhile (after: seen at once), and later."""
    found = set(ends)
    if look.newcomer:
        found |= {end._replace(at_key=look.newcomer) for end in found} | set(after)
    return found


def killed(look: Look, ends: Iterable[End]) -> set[End]:
    """Return the ends of a command that is killed: not begun, done, or the object done and the row not written."""
    before = same(look)
    found = {end._replace(told="") for end in ends} | {before}
    return found | {End(end.at_key, before.how, before.recorded) for end in found}
