"""A link of so many megabits a second: two network namespaces, a veth pair, a token bucket at each end.

Needs root, `ip`, `tc` and iperf3 (apt-get install iproute2 iperf3). The servers run at one end, movers at
the other; both directions have the full rate, as on the instance this is meant for.
"""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.runs import Place

_SERVERS, _MOVERS = "cdn2s3-servers", "cdn2s3-movers"
_ADDRESSES = {_SERVERS: "10.213.77.1", _MOVERS: "10.213.77.2"}
_DEVICE = "bench0"
_BURST_BYTES = 4_000_000
_QUEUE = "20ms"  # what waits longer at an end of the link is dropped, as a switch does
_IPERF_SECONDS = 8


@contextmanager
def link(megabits: int) -> Iterator[Place]:
    """Set the link up and give the place that it makes; taken down at the end."""
    for namespace in _ADDRESSES:
        subprocess.run(["ip", "netns", "delete", namespace], stderr=subprocess.DEVNULL, check=False)
    try:
        for namespace in _ADDRESSES:
            _run("ip", "netns", "add", namespace)
        ends = [_DEVICE, "netns", _SERVERS, "type", "veth", "peer", "name", _DEVICE, "netns", _MOVERS]
        _run("ip", "link", "add", "name", *ends)
        for namespace, address in _ADDRESSES.items():
            _run("ip", "-n", namespace, "address", "add", f"{address}/24", "dev", _DEVICE)
            _run("ip", "-n", namespace, "link", "set", _DEVICE, "up")
            _run("ip", "-n", namespace, "link", "set", "lo", "up")
            bucket = ["rate", f"{megabits}mbit", "burst", str(_BURST_BYTES), "latency", _QUEUE]
            _run("tc", "-n", namespace, "qdisc", "add", "dev", _DEVICE, "root", "tbf", *bucket)
        yield Place(_ADDRESSES[_SERVERS], _inside(_SERVERS), _inside(_MOVERS))
    finally:
        for namespace in _ADDRESSES:
            subprocess.run(["ip", "netns", "delete", namespace], check=False)


def iperf3_mbps(place: Place) -> float:
    """Return the megabits a second that iperf3 carries over the link, both directions added up."""
    server = subprocess.Popen(
        [*place.servers_prefix, "iperf3", "--server", "--one-off"], stdout=subprocess.DEVNULL
    )
    try:
        client = [*place.movers_prefix, "iperf3", "--client", place.address, "--bidir", "--json"]
        client += ["--parallel", "4", "--time", str(_IPERF_SECONDS), "--connect-timeout", "5000"]
        deadline = time.monotonic() + 5
        while True:
            done = subprocess.run(client, capture_output=True, check=False)
            told = json.loads(done.stdout)
            if "error" not in told:  # its exit code is 0 then too
                break
            if time.monotonic() > deadline:
                raise RuntimeError(f"iperf3: {told['error']}")
            time.sleep(0.1)  # the server is not listening yet
        ways = [told["end"][way]["bits_per_second"] for way in ("sum_received", "sum_received_bidir_reverse")]
        return float(sum(ways)) / 1e6
    finally:
        server.terminate()
        server.wait()


def _inside(namespace: str) -> tuple[str, ...]:
    return ("ip", "netns", "exec", namespace)


def _run(*command: str) -> None:
    subprocess.run(command, check=True)
