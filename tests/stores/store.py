"""What a module of servers/ says about its store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple


class Endpoint(NamedTuple):
    """A store that answers."""

    url: str
    access_key: str
    secret_key: str
    version: str  # of the store, for the table
    region: str = "us-west-2"  # which it takes; most take any


@dataclass(frozen=True)
class Store:
    """A store that can be installed and started here.

    install gets what it needs into a folder of its own (install.py; raises NotHere). serve starts it from there, with
    its data and logs in another folder, which is temporary (processes.py; raises ServerFailed).
    """

    name: str  # as in make stores STORE=name
    title: str
    packages: str  # where they are from
    install: Callable[[Path], object]
    serve: Callable[[Path, Path], AbstractContextManager[Endpoint]]
    limits: Mapping[str, str] = field(
        default_factory=dict
    )  # check that does not hold here -> what the store does
    races: Mapping[str, str] = field(default_factory=dict)  # the same, of a check that sometimes holds
