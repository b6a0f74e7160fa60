"""The coordinator's connection to a Dask scheduler: who is there, orders to workers, what they tell.

Whatever Dask raises, with whatever version, becomes one thing here: the connection is lost. Blocking calls are made by
threads of the connection's own, so that the run's main thread never waits for the scheduler.
"""

from __future__ import annotations

import logging
import pickle
import pkgutil
import queue
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any, Callable, NamedTuple, Union
from urllib.parse import urlsplit

from cdn2s3.errors import RESUME, FatalError
from cdn2s3.executors.dask_messages import Told, packed, unpacked

log = logging.getLogger(__name__)

CODE_NAME = "cdn2s3.executors.code_version:CODE"
START_WORKER = (
    "python -m dask worker {} --nthreads 1 --nworkers -1 --no-dashboard --dashboard-address 127.0.0.1:0"
)
_START_SCHEDULER = "python -m dask scheduler --host {} --port {} --dashboard-address 127.0.0.1:8787"
_CONNECT_SECONDS = 10.0
_LOOK_EVERY = 0.5  # seconds between two looks who is there
_WAIT = 5.0  # seconds of one wait for a report
_CLOSE_SECONDS = 3.0


class Present(NamedTuple):
    """Which Dask workers are there, by address."""

    addresses: frozenset[str]


class Versions(NamedTuple):
    """What new Dask workers say which code they have: text, or what they raised."""

    of: dict[str, object]


class Lost(NamedTuple):
    """The scheduler is not there anymore."""

    why: str


News = Union[Told, Present, Versions, Lost]


def host_of(address: str) -> str:
    """Return the machine in the address of a Dask worker."""
    return urlsplit(address).hostname or address


def connect(address: str) -> Connection:
    """Return the connection to the scheduler at address; raise FatalError when it does not answer."""
    import distributed

    names = [name for name in logging.root.manager.loggerDict if name.startswith("distributed.")]
    for logger in map(logging.getLogger, ("distributed", *names)):
        logger.handlers.clear()  # they print through the bar; what they tell is told here
        logger.propagate = True
        logger.setLevel(logging.CRITICAL)
    parts = urlsplit(address)
    try:
        security = distributed.Security()  # from Dask's own configuration
        if parts.scheme == "tls" and security.get_connection_args("client")["ssl_context"] is None:
            raise ValueError("Dask's configuration names no certificates")
    except Exception as error:
        raise FatalError(
            f"DASK_SCHEDULER={address} needs certificates, which Dask on this machine cannot use: {_in_short(error)}. "
            f"Set DASK_DISTRIBUTED__COMM__TLS__CA_FILE, …__CLIENT__CERT and …__KEY (docs/cluster.md), then {RESUME}."
        ) from error
    try:
        client = distributed.Client(
            address, timeout=_CONNECT_SECONDS, set_as_default=False, name="cdn2s3", security=security
        )
        return Connection(client, address, lambda name: distributed.Queue(name, client=client))
    except Exception as error:  # see the top
        start = _START_SCHEDULER.format(f"{parts.scheme}://0.0.0.0", parts.port)
        raise FatalError(
            f"the Dask scheduler at {address} (DASK_SCHEDULER) does not answer ({_in_short(error)}). Start it there: "
            f"`{start}`; see docs/cluster.md. Then {RESUME}."
        ) from error


class Connection:
    """A connection to a scheduler, for one run; its methods are for the run's main thread."""

    def __init__(self, client: Any, address: str, new_queue: Callable[[str], Any]) -> None:
        """client is a Client of distributed, new_queue makes a Queue of it with that name."""
        self.address = address
        self._client = client
        self._new_queue = new_queue
        self._run = uuid.uuid4().hex[:12]
        self._news: queue.SimpleQueue[News] = queue.SimpleQueue()
        self._orders: queue.SimpleQueue[tuple[Any, bytes]] = queue.SimpleQueue()
        self._up = new_queue(f"cdn2s3-{self._run}-up")
        self._is_closed = threading.Event()
        self._asked: set[str] = set()  # Dask workers, for their code
        self._heard_at = time.monotonic()  # when the scheduler last answered
        for name, body in (("who", self._look_who_is_there), ("told", self._listen), ("orders", self._send)):
            threading.Thread(target=self._guarded, args=(body,), name=f"dask-{name}", daemon=True).start()

    def news(self, seconds: float) -> list[News]:
        """Return what has come; wait for it so many seconds at most."""
        try:
            found = [self._news.get(timeout=seconds)]
        except queue.Empty:
            return []
        return found + [self._news.get() for _ in range(self._news.qsize())]

    @property
    def silent_for(self) -> float:
        """For how many seconds the scheduler has not answered."""
        return time.monotonic() - self._heard_at

    def begin(self, address: str, member: int, job: object) -> WorkerLine:
        """Begin the task of ours on a Dask worker, and send it its first order, a Job."""
        name = f"cdn2s3-{self._run}-{member}"
        down = self._new_queue(f"{name}-down")
        line = WorkerLine(self._orders, down)
        line.send(job)
        body = pickle.dumps(_Serve(self._up.name, down.name, member, name))
        # The scheduler unpickles tasks, and need not have our code: so ours is bytes in there.
        line.future = self._client.submit(
            pickle.loads, body, key=name, workers=[address], allow_other_workers=False, pure=False
        )
        return line

    def ask(self, question: Callable[..., Any], *arguments: Any, workers: Iterable[str]) -> dict[str, object]:
        """Return what question, a function, answers on each of workers, or the exception it raised.

        Raise FatalError where the scheduler is gone.
        """
        try:
            found: dict[str, object] = self._client.run(
                question, *arguments, workers=list(workers), on_error="return"
            )
        except Exception as error:
            raise FatalError(f"the Dask scheduler at {self.address} is gone ({_in_short(error)}).") from error
        return found

    def present(self) -> list[str]:
        """Return the addresses of the Dask workers that are there now; raise FatalError where the scheduler is gone."""
        try:
            return sorted(self._client.nthreads())
        except Exception as error:
            raise FatalError(f"the Dask scheduler at {self.address} is gone ({_in_short(error)}).") from error

    def close(self) -> None:
        """Close it; never raises, never waits long for a scheduler that is gone."""
        self._is_closed.set()
        self._orders.put((None, b""))
        try:
            self._up.close()
            self._client.close(timeout=_CLOSE_SECONDS)
        except Exception as error:  # noqa: BLE001  # see the top
            log.debug("the Dask client did not close: %r", error)

    # --- its threads

    def _guarded(self, body: Callable[[], None]) -> None:
        try:
            body()
        except Exception as error:  # noqa: BLE001  # see the top
            if not self._is_closed.is_set():
                self._news.put(Lost(_in_short(error)))

    def _look_who_is_there(self) -> None:
        before: dict[str, set[str]] = {}
        while not self._is_closed.is_set():
            if self._client.status != "running":
                raise ConnectionError(f"the connection is {self._client.status}")
            found = set(self._client.nthreads())
            self._heard_at = time.monotonic()
            self._news.put(Present(frozenset(found)))
            of_host: dict[str, set[str]] = {}
            for address in found:
                of_host.setdefault(host_of(address), set()).add(address)
            # A machine's workers come one after the other, and share its cores: those of one look begin together.
            steady = {host for host, addresses in of_host.items() if before.get(host) == addresses}
            new = {address for address in found - self._asked if host_of(address) in steady}
            self._asked = (self._asked & found) | new
            before = of_host
            if new:
                threading.Thread(
                    target=self._ask_versions, args=(new,), name="dask-code", daemon=True
                ).start()
            self._is_closed.wait(_LOOK_EVERY)

    def _ask_versions(self, addresses: set[str]) -> None:
        try:
            answers = self.ask(pkgutil.resolve_name, CODE_NAME, workers=addresses)
        except FatalError as error:
            log.debug("%s", error)  # if the scheduler is gone, the other threads notice
            answers = {}
        # Who went away, or could not be reached, is asked again if it is there.
        told = {address: answer for address, answer in answers.items() if not isinstance(answer, OSError)}
        self._asked -= addresses - told.keys()
        self._news.put(Versions(told))

    def _listen(self) -> None:
        while not self._is_closed.is_set():
            try:
                told = [self._up.get(timeout=_WAIT)]
            except TimeoutError:
                continue
            for content in [*told, *self._up.get(batch=True)]:
                self._news.put(unpacked(content))

    def _send(self) -> None:
        while True:
            down, content = self._orders.get()
            if down is None:
                return
            if content:
                down.put(content)
            else:
                down.close()


class WorkerLine:
    """The line to a Dask worker: orders go out in their order, from the connection's thread."""

    def __init__(self, orders: queue.SimpleQueue[tuple[Any, bytes]], down: Any) -> None:
        self._orders = orders
        self._down = down
        self.future: Any = None  # of the task there

    def send(self, order: object) -> None:
        self._orders.put((self._down, packed(order)))

    @property
    def has_ended(self) -> bool:
        """Whether the task there has ended, or Dask has lost it."""
        return self.future is not None and bool(self.future.done())

    def close(self) -> None:
        """Give up the task and the queue."""
        if self.future is not None:
            self.future.release()
        self._orders.put((self._down, b""))


class _Serve:
    """A call of dask_worker.serve that happens where it is unpickled."""

    def __init__(self, *arguments: object) -> None:
        self._arguments = arguments

    def __reduce__(self) -> tuple[Any, ...]:
        return _serve, self._arguments


def _serve(*arguments: Any) -> None:
    """Run on a Dask worker."""
    from cdn2s3.executors.dask_worker import serve

    serve(*arguments)


def _in_short(error: Exception) -> str:
    """Return what an exception of Dask says, in one line that holds no more than that."""
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
