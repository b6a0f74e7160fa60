"""What `migrate.py --check` says of a Dask cluster, whose connection is none."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable

import pytest

from cdn2s3.commands import check_cluster as under_test
from cdn2s3.commands.check_context import FAILED, OK, WARNING, CheckResult
from cdn2s3.errors import FatalError
from cdn2s3.executors.code_version import CODE
from cdn2s3.executors.dask_inspection import Inspection
from cdn2s3.settings.declarations import MigrationSettings

A, B = "tls://10.0.0.1:4001", "tls://10.0.0.2:4001"
Checked = Callable[..., list[CheckResult]]


class FakeConnection:
    """Workers with their code, and what they find out about themselves."""

    def __init__(self, address: str, workers: dict[str, tuple[object, object]]) -> None:
        self.address = address
        self._workers = workers

    def present(self) -> list[str]:
        return sorted(self._workers)

    def ask(self, question: Callable[..., Any], *arguments: Any, workers: list[str]) -> dict[str, object]:
        which = 1 if question is under_test.inspect else 0
        return {address: self._workers[address][which] for address in workers}

    def close(self) -> None:
        """Nothing is open."""


@pytest.fixture
def checked(monkeypatch: pytest.MonkeyPatch) -> Checked:
    def check(
        workers: dict[str, tuple[object, object]], address: str = "tls://10.0.0.5:8786"
    ) -> list[CheckResult]:
        monkeypatch.setattr(under_test, "connect", lambda given: FakeConnection(given, workers))
        context = SimpleNamespace(settings=MigrationSettings(dask_scheduler=address))
        return under_test.check_cluster(context)  # type: ignore[arg-type]

    return check


GOOD = (CODE, Inspection("the role", ()))


def test_nothing_is_said_without_a_cluster(checked: Checked) -> None:
    assert checked({}, address="") == []


@pytest.mark.parametrize(
    ("address", "level"),
    [("tls://10.0.0.5:8786", OK), ("tcp://127.0.0.1:8786", OK), ("tcp://10.0.0.5:8786", WARNING)],
)
def test_scheduler_that_others_reach_without_tls_is_warned_of(
    checked: Checked, address: str, level: str
) -> None:
    scheduler, worker = checked({A: GOOD}, address)
    assert (scheduler.level, worker.level) == (level, OK)
    assert ("whoever reaches it or a worker runs code there" in scheduler.detail) == (level == WARNING)


def test_each_worker_is_told_of_with_its_remedy(checked: Checked) -> None:
    other = ("cdn2s3 0.9 (abc), Python 3.12", None)
    unread = (CODE, Inspection("the role", (), ("s3:GetObject is refused (HEAD)",)))
    _, *found = checked({A: other, B: unread})
    assert [one.level for one in found] == [WARNING, WARNING, OK]
    assert f"{A}: cdn2s3 0.9 (abc), Python 3.12, here {CODE}" == found[0].detail
    assert found[1].remedy == "grant s3:GetObject to the workers' role"
    assert found[2].detail == f"{B}: credentials from the role"


@pytest.mark.parametrize(
    ("worker", "said"),
    [
        ((ModuleNotFoundError("cdn2s3"), None), "no code of this project (ModuleNotFoundError)"),
        ((CODE, Inspection("", ("no AWS credentials were found",))), "no AWS credentials were found"),
        ((CODE, OSError("closed")), "it did not answer (OSError)"),
    ],
    ids=["no code", "problem", "no answer"],
)
def test_cluster_of_which_no_worker_could_work_fails(
    checked: Checked, worker: tuple[object, object], said: str
) -> None:
    _, one, last = checked({A: worker})
    assert said in one.detail
    assert (last.level, last.detail) == (FAILED, "no worker could work")


def test_cluster_without_workers_names_the_command(checked: Checked) -> None:
    _, nobody = checked({})
    assert nobody.level == WARNING
    assert nobody.remedy.startswith("python -m dask worker tls://10.0.0.5:8786 ")


def test_scheduler_that_does_not_answer_fails(checked: Checked, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(address: str) -> None:
        raise FatalError(f"the Dask scheduler at {address} does not answer")

    context = SimpleNamespace(settings=MigrationSettings(dask_scheduler="tls://10.0.0.5:8786"))
    monkeypatch.setattr(under_test, "connect", refused)
    (found,) = under_test.check_cluster(context)  # type: ignore[arg-type]
    assert found.level == FAILED
    assert "does not answer" in found.detail
