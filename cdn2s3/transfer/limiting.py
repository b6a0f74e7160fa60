"""Which endpoint limits a run now, and to what."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from cdn2s3.resilience.endpoint import REFUSES_AFTER, Endpoint, EndpointState, LastFailure
from cdn2s3.text import duration

# Causes of failures without a status, where the name of the cause is not clear enough on a bar.
_IN_SHORT = {"timeout": "no answer", "connection": "no connection"}


class Limiting(NamedTuple):
    """What limits a process at one endpoint."""

    endpoint: str  # its name
    files_per_second: float | None = None  # that it lets through; None: note says what it is
    note: str = ""  # for people; "" where it is a rate, which adds up over processes
    is_down: bool = False  # its circuit is open
    is_throttled: bool = False  # it answers that this is too fast
    why: str = ""  # the last failure, in short


def limiting(endpoints: Iterable[Endpoint]) -> list[Limiting]:
    """Return what limits a process that uses endpoints."""
    found = []
    for endpoint in endpoints:
        state = endpoint.health()
        note = _note(endpoint, state)
        if note or state.allowed is not None:
            is_down = state.down_for is not None
            is_throttled = not is_down and (state.allowed is not None or state.refusing_for is not None)
            why = _in_short(state.last_failure)
            allowed = None if note else state.allowed
            found.append(Limiting(endpoint.name, allowed, note, is_down, is_throttled, why))
    return found


def _note(endpoint: Endpoint, state: EndpointState) -> str:
    name, why = endpoint.name, _in_short(state.last_failure)
    if state.down_for is not None:
        probe = duration(state.next_probe_in or 0)
        return f"{name} down {duration(state.down_for)} ({why}), probe in {probe}"
    if state.refusing_for is not None and state.refusing_for >= REFUSES_AFTER:
        return f"{name} lets nothing through for {duration(state.refusing_for)} ({why})"
    if state.limit < endpoint.workers:
        return f"{name} slowed to {state.limit} of {endpoint.workers}"
    return ""


def _in_short(failure: LastFailure | None) -> str:
    """Return why an attempt failed, short enough for a bar; the log has it in full."""
    if failure is None:
        return ""
    if failure.status is not None:
        return str(failure.status)
    return _IN_SHORT.get(failure.cause, failure.cause.replace("_", " "))


def rates(found: Iterable[Limiting]) -> dict[str, float]:
    """Return what each endpoint that throttles lets through, in files a second, over all processes."""
    rate_of: dict[str, float] = {}
    for limit in found:
        if limit.files_per_second is not None:
            rate_of[limit.endpoint] = rate_of.get(limit.endpoint, 0.0) + limit.files_per_second
    return rate_of


def text_of(found: Iterable[Limiting]) -> str:
    """Return what found says, of one process or of several, in one line; "" for nothing."""
    found = list(found)
    notes = [f"the {name} allows {rate_text(rate)}" for name, rate in rates(found).items()]
    return "; ".join([*notes, *sorted({limit.note for limit in found if limit.note})][:2])


def rate_text(files_per_second: float) -> str:
    """Return a rate for people: 20 files/s, 2.5 files/s."""
    digits = 0 if files_per_second >= 10 else 1
    return f"{files_per_second:.{digits}f} files/s"
