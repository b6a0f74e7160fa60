"""Imports point down: a room uses the rooms of lower steps, never one of its own step, and nothing goes in a circle."""

from __future__ import annotations

import ast
import functools
from pathlib import Path

import pytest

from tests import ROOT

STEPS = [  # from the ground up
    {
        "errors",
        "url_notes",
        "odd_keys",
        "text",
        "url_text",
        "url_prefixes",
        "query_params",
        "keys",
        "records",
        "share",
        "bootstrap",
        "file_names",
        "atomic_file",
    },
    {"settings", "console", "http", "resilience"},
    {"state", "cdn", "destinations"},
    {"collection", "planning", "transfer"},
    {"delta"},
    {"executors", "reports"},
    {"validation", "commands"},
    {"variants"},  # the script of this name, too
    {"collect_urls", "migrate", "validate"},
]
STEP = {name: number for number, step in enumerate(STEPS) for name in step}
FILES = sorted([*ROOT.glob("*.py"), *(ROOT / "cdn2s3").rglob("*.py")])


def module_of(path: Path) -> str:
    """Return the dotted name of a file: `cdn2s3.http` for its `__init__.py`."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).replace(".__init__", "")


MODULES = {module_of(path): path for path in FILES}


def room_of(module: str) -> str:
    """Return the room, ground-floor file or script that a module is in; "" for the package itself."""
    return (module + ".").split(".")[1] if module.startswith("cdn2s3") else module


@functools.cache
def imported_by(path: Path) -> set[str]:
    """Return the modules of this project that a file imports, also within functions and for type checking."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in MODULES else str(node.module) for name in names}
    return {name for name in found if name in MODULES}


@pytest.mark.parametrize("name", sorted({room_of(module) for module in MODULES} - {""}))
def test_room_has_its_step(name: str) -> None:
    assert name in STEP, f"{name} is on no step: put it on one in this file and in docs/design.md"


def up_from(name: str) -> set[str]:
    """Return the modules of its own step or a higher one that a module imports."""
    room = room_of(name)
    up = {
        other
        for other in imported_by(MODULES[name])
        if room_of(other) != room and STEP.get(room_of(other), -1) >= STEP.get(room, -1)
    }
    # The ground floor is one step of files that may use each other; the last test keeps them out of circles.
    return {other for other in up if STEP.get(room) or STEP[room_of(other)]}


def test_imports_point_down() -> None:
    assert {name: up for name in MODULES if (up := up_from(name))} == {}


SUB_ROOMS = {  # of collection/: a sub-room, and the others that it may use
    "api": set(),
    "files": set(),
    "suggest": {"api", "files"},
}


def sub_room_of(module: str) -> str:
    """Return the sub-room of collection/ that a module is in, "" for none."""
    return (
        (module[len("cdn2s3.collection.") :] + ".").split(".")[0]
        if module.startswith("cdn2s3.collection.")
        else ""
    )


def test_sub_rooms_of_collection_use_only_those_they_need() -> None:
    for name, path in MODULES.items():
        if (own := sub_room_of(name)) in SUB_ROOMS:
            used = {sub_room_of(other) for other in imported_by(path)} & SUB_ROOMS.keys()
            assert used - {own} - SUB_ROOMS[own] == set(), name


def test_no_module_imports_itself_by_way_of_others() -> None:
    needs = {name: imported_by(path) for name, path in MODULES.items()}
    while loose := [name for name, others in needs.items() if not others & needs.keys()]:
        for name in loose:
            del needs[name]
    assert set(needs) == set(), "these import each other in a circle"
