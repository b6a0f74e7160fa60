"""What NOTIFY_COMMAND is told when a side goes down, and when it is up again."""

from __future__ import annotations

from collections.abc import Mapping

from cdn2s3.console.notify import OUTAGE_END, OUTAGE_START, Notifier
from cdn2s3.state.journal import DOWN
from cdn2s3.state.ledger import timestamp


def tell_of_outage(
    notifier: Notifier, event: str, side: str, detail: str, at: float, done: str, figures: Mapping[str, int]
) -> None:
    """Tell notifier of the beginning (event DOWN) or the end of an outage; done says how far the run is.

    at is in seconds since the epoch.
    """
    is_down = event == DOWN
    notifier.tell(
        OUTAGE_START if is_down else OUTAGE_END,
        f"the {side} is {'down' if is_down else 'up again'} ({detail}); {done}",
        {"side": side, "detail": detail, "at": timestamp(at), **figures},
    )
