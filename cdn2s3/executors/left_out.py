"""The Dask workers that get nothing in a run, why, and when that is said."""

from __future__ import annotations

import logging
import time
from collections.abc import Collection

from cdn2s3.errors import FatalError
from cdn2s3.executors.code_version import CODE
from cdn2s3.executors.dask_client import START_WORKER

log = logging.getLogger(__name__)

_HOLD = 1.0  # seconds to keep a farewell: if all go for one reason, the end of the run says it once


def unfit(code: object, scheduler: str) -> FatalError | None:
    """Return why a Dask worker cannot be used that says it has code (or raised it); None if it can."""
    if code == CODE:
        return None
    if isinstance(code, str):
        return FatalError(
            f"the Dask worker has other code than this machine: there {code}, here {CODE}. Bring the same commit and "
            "Python there, then start the worker again."
        )
    return FatalError(
        f"the Dask worker does not find this project's code ({type(code).__name__}). Start it in the project's folder, "
        f"with its Python: `{START_WORKER.format(scheduler)}`."
    )


class LeftOut:
    """Who is left out, by address; for the run's main thread."""

    def __init__(self) -> None:
        self._errors: dict[str, FatalError] = {}
        self._farewells: list[tuple[float, str, str]] = []  # when to say, which address, what
        self._said: set[str] = set()

    @property
    def addresses(self) -> frozenset[str]:
        return frozenset(self._errors)

    def add(self, address: str, error: FatalError) -> None:
        """Leave out the worker at address for error."""
        self._errors[address] = error
        self._farewells.append((time.monotonic() + _HOLD, address, str(error)))

    def say(self, everything: bool) -> None:
        """Warn of those that were left out a while ago, or of everything that has not been said."""
        now = time.monotonic()
        for farewell in [one for one in self._farewells if everything or one[0] <= now]:
            self._farewells.remove(farewell)
            _, address, why = farewell
            reason = "for the same reason" if why in self._said else why
            log.warning("the Dask worker %s is left out: %s", address, reason)
            self._said.add(why)

    def end_of(self, present: Collection[str]) -> FatalError | None:
        """Return what ends a run whose workers at present, some, are all left out; None where one is not.

        What that does not say is said before.
        """
        if not present or not self._errors.keys() >= set(present):
            return None
        address, last = [(one, error) for one, error in self._errors.items() if one in present][-1]
        if {str(error) for error in self._errors.values()} != {str(last)}:
            self.say(everything=True)
        also = f", and no other of the {len(present)} can be used" if len(present) > 1 else ""
        error = FatalError(f"{last} (Dask worker {address}{also})")
        error.exit_code = last.exit_code
        return error
