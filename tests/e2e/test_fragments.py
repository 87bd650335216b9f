# SPDX-License-Identifier: Apache-2.0
"""Datagrams that do not fit into one packet, cut and put together by real stacks on both sides."""

import os

import manifests
import pytest
import traffic
from sluice_e2e import Node

VIP = "172.16.200.1"
PUBLIC = "203.0.113.10"
BACKEND = "172.16.0.11"
LENGTHS = (1473, 2953, 8000, 30000)


@pytest.fixture(scope="module")
def node():
    documents = [
        manifests.floating_ip("public", PUBLIC),
        manifests.network("red"),
        manifests.pod("red/client", address4="172.16.0.10"),
        manifests.pod("red/web-1", "web", address4=BACKEND),
        manifests.service("red/web", "web", [manifests.port(80, protocol="UDP"), manifests.port(80)], address4=VIP),
        manifests.service("red/public", "web", [manifests.port(80, protocol="UDP")], address4="172.16.200.2",
                          floating_ip="public"),
    ]
    with Node(manifests.join(*documents)).start() as made:
        traffic.serve(made, "red/web-1")
        made.attach("red/client")
        yield made


def dropped_fragments(node):
    return {(entry, reason): count for entry in ("from_pod", "from_uplink")
            for reason, count in node.counters(entry).items() if reason.startswith("fragment")}


def test_datagrams_of_any_length_pass_a_service_both_ways(node):
    for length in LENGTHS:  # the answer is longer by the server's name, so it is cut as well
        payload = os.urandom(length)
        assert traffic.ask_udp(node.pods["red/client"], VIP, 80, payload)[0] == "red/web-1"
    assert not any(dropped_fragments(node).values())


def test_datagrams_of_any_length_pass_a_floating_ip_both_ways(node):
    for length in LENGTHS:
        payload = os.urandom(length)
        assert traffic.ask_udp(node.internet, PUBLIC, 80, payload)[0] == "red/web-1"
        assert traffic.ask_udp(node.pods["red/client"], PUBLIC, 80, payload)[0] == "red/web-1"
    assert not any(dropped_fragments(node).values())


def test_long_pings_reach_pods_and_services(node):
    for address in (BACKEND, VIP):
        node.pods["red/client"].run("ping", "-c", 3, "-i", 0.2, "-W", 3, "-s", 3000, address)
    assert not any(dropped_fragments(node).values())


def test_a_long_ping_of_the_router_is_dropped_and_counted(node):
    done = node.pods["red/client"].run("ping", "-c", 1, "-W", 1, "-s", 3000, "172.16.0.1", check=False)
    assert done.returncode == 1
    assert sum(dropped_fragments(node).values()) == node.counted("fragment") == 3
