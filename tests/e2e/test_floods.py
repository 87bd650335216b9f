# SPDX-License-Identifier: Apache-2.0
"""Floods at one tenant, from outside and from its own pods: nobody else notices, and nothing that lives breaks.

red and blue have the same addresses. A flood opens as many flows of red's as it can, in tables that are full at once.
All the while
* every new connection of blue's succeeds, to its service and to its floating IP;
* the connections that both have had before carry data, from inside and from outside;
* what is too much is counted, under half_open_cap or network_cap;
* red's pods reach their service as before, as long as only the cap of half-open flows is reached, which holds for what
  comes from outside and is not answered. New connections from outside to red may fail: they compete with the flood.
After it red's new connections work again as soon as its flows have expired.

A flood may also begin datagrams in fragments and never go on with them. Then blue's long datagrams arrive all the while,
those of red do not and are counted under fragment_table_full, and after it red's do, too.
"""

import contextlib
import dataclasses
import functools
import json
import os
import subprocess
import threading
import time

import manifests
import pytest
import traffic
from sluice_e2e import ROOT, Node, wait_until

VIP = "172.16.200.1"
FLOATING = {"red": "203.0.113.10", "blue": "203.0.113.11"}
SERVER, MUTE = 80, 81  # ports of every service: an echo server, and one where nobody answers

FLOWS = 2048       # of the whole node
GUARANTEED = 512   # of each network
HALF_OPEN = 256
SECONDS = 3        # how long a flood lasts
TIMEOUTS = {"tcp_half_open": "2s", "tcp_closing": "2s", "tcp_closed": "1s", "tcp_reset": "500ms", "udp_new": "2s",
            "udp_stream": "2s", "icmp": "2s"}
SWEEP = {"interval": "10ms", "pairs": 1024, "delete_grace": "200ms"}
FRAGMENTS_FORGOTTEN = 2  # SLUICE_FRAGMENT_LIFETIME
EXPIRED = 2 + 0.2 + 0.1  # the longest of these timeouts, the grace and a round of the sweep: red is free again


@dataclasses.dataclass
class Flood:
    name: str
    reason: str             # of what is too much
    entry: str
    sender: list            # options of flood.py
    from_pod: bool = False
    red_opens: bool = False  # red's pods open new connections meanwhile
    fragments: bool = False

    def start(self, node):
        space, device, mac = node.internet, "wan0", uplink_mac(node)
        if self.from_pod:
            space, device, mac = node.pods["red/zombie"], "eth0", "02:73:6c:63:00:01"
        return space.popen("/usr/bin/python3", ROOT / "tests" / "e2e" / "flood.py", "--device", device, "--to-mac", mac,
                           *self.sender, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def outside(protocol, port):
    return ["--protocol", protocol, "--source", "198.18.0.0", "--destination", FLOATING["red"], "--port", port]


def inside(protocol, port):
    return ["--protocol", protocol, "--source", "172.16.0.66", "--one-source", "--destination", VIP, "--port", port]


FLOODS = [
    Flood("SYN from outside", "half_open_cap", "from_uplink", outside("tcp", SERVER), red_opens=True),
    Flood("UDP from outside, not answered", "half_open_cap", "from_uplink", outside("udp", MUTE), red_opens=True),
    Flood("UDP from outside, answered", "network_cap", "from_uplink", outside("udp", SERVER)),
    Flood("SYN from a pod", "network_cap", "from_pod", inside("tcp", SERVER), from_pod=True),
    Flood("UDP from a pod", "network_cap", "from_pod", inside("udp", SERVER), from_pod=True),
    Flood("fragments from outside", "fragment_table_full", "from_uplink", outside("udp-fragments", SERVER), red_opens=True,
          fragments=True),
    Flood("fragments from a pod", "fragment_table_full", "from_pod", inside("udp-fragments", SERVER), from_pod=True,
          red_opens=True, fragments=True),
]


def manifest():
    documents = []
    for tenant in ("red", "blue"):
        documents += [
            manifests.floating_ip(f"public-{tenant}", FLOATING[tenant]),
            manifests.network(tenant, limits={"max_flows": FLOWS, "guaranteed_flows": GUARANTEED,
                                              "max_half_open_flows": HALF_OPEN}),
            manifests.pod(f"{tenant}/client", address4="172.16.0.10"),
            manifests.pod(f"{tenant}/zombie", address4="172.16.0.66"),
            manifests.pod(f"{tenant}/web", "web", address4="172.16.0.11"),
            manifests.service(f"{tenant}/web", "web",
                              [manifests.port(SERVER), manifests.port(SERVER, protocol="UDP"),
                               manifests.port(MUTE, target=9, protocol="UDP")],
                              address4=VIP, floating_ip=f"public-{tenant}"),
        ]
    return manifests.join(*documents)


def uplink_mac(node):
    return json.loads(node.namespace.run("ip", "-j", "link", "show", "uplink0"))[0]["address"]


def mute(space, port):
    """A bound socket that nobody reads: the datagrams are neither answered nor refused."""
    return space.popen("/usr/bin/python3", "-c", f"import socket, time; s = socket.socket(type=socket.SOCK_DGRAM); "
                       f"s.bind(('0.0.0.0', {port})); print('ready', flush=True); time.sleep(1e6)", stdout=subprocess.PIPE)


@pytest.fixture(scope="module")
def node():
    settings = {"max_flows": FLOWS, "timeouts": TIMEOUTS, "sweep": SWEEP}
    with Node(manifest(), settings) as made:
        made.start()
        # Answers to invented senders have a way to go; at its end nobody answers them.
        made.namespace.run("ip", "route", "add", "default", "via", made.INTERNET)
        traffic.serve(made, "red/web", "blue/web")
        made.attach("red/client", "blue/client", "red/zombie")
        for tenant in ("red", "blue"):
            assert mute(made.pods[f"{tenant}/web"], 9).stdout.readline() == b"ready\n"
        yield made


@pytest.fixture(scope="module")
def live(node):
    made = [traffic.LiveConnections(space, address, SERVER, 4).start()
            for tenant in ("red", "blue")
            for space, address in ((node.pods[f"{tenant}/client"], VIP), (node.internet, FLOATING[tenant]))]
    yield made
    for each in made:
        each.stop()


def opening(node, tenant, inside_it, timeout=10):
    """Asks over a new connection of the tenant's, from a pod or from outside; who has answered."""
    return traffic.ask_tcp(*way(node, tenant, inside_it), SERVER, timeout=timeout)[0]


def long_datagram(node, tenant, inside_it, tries=5):
    """The same with a datagram in fragments. A flood fills queues of the kernel's, so a loss is no failure yet."""
    for left in reversed(range(tries)):
        try:
            return traffic.ask_udp(*way(node, tenant, inside_it), SERVER, os.urandom(3000), timeout=1)[0]
        except TimeoutError:
            if not left:
                raise


def way(node, tenant, inside_it):
    return (node.pods[f"{tenant}/client"], VIP) if inside_it else (node.internet, FLOATING[tenant])


class Openings:
    """New connections one after the other, until stop(): how many, and what became of those that failed."""

    def __init__(self, node, tenant, inside_it, ask=opening):
        self.made, self.failures = 0, []
        self._ask = functools.partial(ask, node, tenant, inside_it)
        self._name = f"{tenant}/web"
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self):
        while not self._stopping.is_set():
            try:
                name = self._ask()
                assert name == self._name, f"{name} answered"
                self.made += 1
            except (OSError, AssertionError, ValueError) as error:
                self.failures.append(f"connection {self.made + len(self.failures)}: {type(error).__name__} {error}")
            time.sleep(0.01)  # closed ones take their place in the table for a moment

    def stop(self):
        self._stopping.set()
        self._thread.join(20)
        return self


@contextlib.contextmanager
def flooding(flood, node):
    """The flood, for the time of the block; gives what it has sent: {"packets", "seconds"}."""
    process = flood.start(node)
    report = {}
    try:
        assert process.stdout.readline() == "ready\n"
        process.stdin.write("go\n")
        process.stdin.flush()
        yield report
        process.stdin.write("stop\n")
        process.stdin.flush()
        packets, seconds = process.stdout.readline().split()
        report.update(packets=int(packets), seconds=float(seconds))
    finally:
        process.kill()
        process.wait()


def works(ask, node, tenant, inside_it, **settings):
    """One try, at once."""
    try:
        return ask(node, tenant, inside_it, **settings) == f"{tenant}/web"
    except OSError:
        return False


@pytest.mark.parametrize("flood", FLOODS, ids=lambda flood: flood.name)
def test_a_flood_at_one_tenant_is_its_own_trouble_alone(node, live, flood):
    before = node.counters(flood.entry)
    with flooding(flood, node) as report:
        wait_until(lambda: node.counted(flood.reason, flood.entry) > before.get(flood.reason, 0), "the cap is reached")
        openings = [Openings(node, "blue", inside_it) for inside_it in (True, False)]
        if flood.fragments:
            openings += [Openings(node, "blue", inside_it, long_datagram) for inside_it in (True, False)]
            assert not works(long_datagram, node, "red", flood.from_pod, tries=1), "red's table of fragments is not full"
        if flood.red_opens:
            openings.append(Openings(node, "red", True))
        time.sleep(SECONDS)
        assert all(each.progressed() for each in live), "a live connection stands still"
        for each in openings:
            each.stop()
    ended = time.monotonic()
    for each in openings:
        assert not each.failures, (each.made, each.failures[:5])
        assert each.made > 5 * SECONDS, "the flood left no time to open connections"
    for each in live:
        assert not any(each.failure), each.failure

    after = node.counters(flood.entry)
    refused = after.get(flood.reason, 0) - before.get(flood.reason, 0)
    print(f"\n{flood.name}: {report['packets'] / report['seconds']:.0f} packets/s, {refused} counted as {flood.reason}, "
          f"connections opened meanwhile: {[each.made for each in openings]}")
    assert report["packets"] > 10 * FLOWS, "that was no flood"
    assert refused > report["packets"] / 4

    for inside_it in (True, False):
        wait_until(lambda: works(opening, node, "red", inside_it, timeout=0.5), "red's new connections work again",
                   10 * EXPIRED)
    assert time.monotonic() - ended < 4 * EXPIRED
    if flood.fragments:
        wait_until(lambda: works(long_datagram, node, "red", flood.from_pod, tries=1), "red's long datagrams pass again",
                   10 * FRAGMENTS_FORGOTTEN)
    idle = 2 * sum(len(each.sockets) for each in live)  # records: two of each live connection
    wait_until(lambda: len(node.bpf("flows")) <= idle, "what the flood has opened has expired", 3 * EXPIRED)
    assert all(each.progressed() for each in live)
