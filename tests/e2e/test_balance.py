# SPDX-License-Identifier: Apache-2.0
"""How new connections are shared out: algorithms, weights and affinity, and that no change moves a live one."""

import collections
import contextlib
import time

import manifests
import pytest
import traffic
from manifests import pod, port, service
from sluice_e2e import Node, socket_in, wait_until

VIP = "172.16.200.1"
PODS = ["red/web-1", "red/web-2", "red/web-3"]


def tenant(weights=(1, 1, 1), **fields):
    web = [pod(name, "web", address4=f"172.16.0.{11 + i}", weight=weights[i]) for i, name in enumerate(PODS)]
    return manifests.join(
        manifests.network("red"), pod("red/client", address4="172.16.0.10"), pod("red/other", address4="172.16.0.20"),
        pod("red/late", address4="172.16.0.30"), *web, service("red/web", "web", [port(80), port(81)], address4=VIP, **fields))


@pytest.fixture(scope="module")
def node():
    with Node(uplink=False) as made:
        made.start()
        made.put(tenant())
        made.attach("red/client", "red/other", "red/late")
        traffic.serve(made, *PODS)
        yield made


def shares(node, count, client="red/client", number=80):
    return collections.Counter(traffic.ask_tcp(node.pods[client], VIP, number)[0] for _ in range(count))


class Held(contextlib.ExitStack):
    """Connections that stay open."""

    def __init__(self, node):
        super().__init__()
        self.node = node
        self.of = collections.defaultdict(list)

    def open(self):
        connection = self.enter_context(socket_in(self.node.pods["red/client"].name))
        connection.settimeout(5)
        connection.connect((VIP, 80))
        name = connection.makefile("rb").readline().decode().split()[0]
        self.of[name].append(connection)
        return name

    def echo(self):
        for name, connections in self.of.items():
            for connection in connections:
                connection.sendall(b"still there")
                assert connection.recv(64) == b"still there", name


def live(node):
    """{pod's address: live connections} as the datapath counts them."""
    return {row["address"]: row["live"] for row in node.bpf("backends")}


def test_round_robin_gives_each_its_turn(node):
    node.put(tenant(algorithm="round_robin"))
    assert set(shares(node, 30).values()) == {10}
    node.ctl("pod", "detach", "red/web-2")
    assert set(shares(node, 20).values()) == {10}, "no one gets the absent one's turns beside its own"
    node.attach("red/web-2")
    traffic.start_server(node.pods["red/web-2"], "red/web-2")


@pytest.mark.parametrize("algorithm", ["hash", "random", "round_robin"])
def test_shares_are_as_the_weights(node, algorithm):
    node.put(tenant((1, 3, 0), algorithm=algorithm))
    share = shares(node, 400)
    assert set(share) == {"red/web-1", "red/web-2"}, "weight 0 gets nothing"
    assert 65 <= share["red/web-1"] <= 135, share  # 100 expected, four standard deviations of a random choice


def test_least_connections_evens_out_what_is_open(node):
    node.put(tenant(algorithm="least_connections"))
    with Held(node) as held:
        for _ in range(12):
            held.open()
        assert {name: len(held.of[name]) for name in PODS} == dict.fromkeys(PODS, 4)
        for connection in held.of.pop("red/web-1"):
            connection.close()
        wait_until(lambda: live(node)["172.16.0.11"] == 0, "closed connections no longer count")
        assert [held.open() for _ in range(4)] == ["red/web-1"] * 4
        # Another algorithm and other weights for new ones: these stay where they are.
        node.put(tenant((1, 1, 4), algorithm="source"))
        held.echo()
        node.put(tenant((1, 1, 4), algorithm="least_connections"))
        held.echo()
        assert [held.open() for _ in range(12)] == ["red/web-3"] * 12, "16 for weight 4 beside 4 for 1"


def test_a_client_keeps_its_pod_on_all_ports(node):
    node.put(tenant(algorithm="round_robin", affinity={"timeout": 60}))
    mine = shares(node, 10) + shares(node, 10, number=81)
    others = shares(node, 10, client="red/other") + shares(node, 10, client="red/other", number=81)
    assert len(mine) == 1 and len(others) == 1 and mine != others
    (pod_of_mine,) = mine
    node.ctl("pod", "drain", pod_of_mine)
    wait_until(lambda: pod_of_mine not in shares(node, 1), "a draining pod loses its clients")
    (next_one,) = shares(node, 5)
    node.ctl("pod", "undrain", pod_of_mine)
    assert set(shares(node, 5)) == {next_one}, "it has another one now"


def test_affinity_ends_when_nothing_is_asked_for_its_time(node):
    node.put(tenant(algorithm="round_robin", affinity={"timeout": 1}))
    picked = []
    for _ in range(3):
        picked += shares(node, 1, client="red/late")
        time.sleep(1.2)
    assert len(set(picked)) == 3, "round robin goes on with each"
