# SPDX-License-Identifier: Apache-2.0
"""Egress: pods of networks with the same addresses reach the Internet behind their node, and nobody reaches them."""

import concurrent.futures
import contextlib
import errno
import socket

import pytest
from sluice_e2e import Node, socket_in, wait_until
from traffic import LiveConnections, ask_tcp, ask_udp, serve, start_server

INTERNET6, NODE6 = "2001:db8:1::1", "2001:db8:1::2"
PORTS = range(20000, 21000)
NETWORK = """
kind: Network
name: {network}
cidr6: "fd00:5::/64"
{more}
---
kind: Pod
name: a
network: {network}
address4: 172.16.0.20
labels: {{app: web}}
"""
FLOATING = """
kind: FloatingIP
name: pub
address: 203.0.113.10
---
kind: Service
name: web
network: blue
selector: {app: web}
floating_ip: pub
ports: [{port: 80, target_port: 8080}]
"""


def make_node(egress, **settings):
    node = Node(settings={"egress": egress, **settings})
    node.namespace.run("ip", "addr", "add", f"{NODE6}/64", "dev", "uplink0", "nodad")
    node.internet.run("ip", "addr", "add", f"{INTERNET6}/64", "dev", "wan0", "nodad")
    node.start()
    node.put("---".join([NETWORK.format(network="red", more=""), NETWORK.format(network="blue", more=""),
                         NETWORK.format(network="shut", more="egress: none"), FLOATING]))
    node.attach("red/a", "blue/a", "shut/a")
    return node


@pytest.fixture(scope="module")
def node():
    with make_node({"ports": "20000-20999", "deny": ["198.51.100.200/32"]}) as made:
        start_server(made.internet, "internet")
        serve(made, "blue/a")
        yield made


def from_port(namespace, port, address, to, family=socket.AF_INET):
    """What an echo server says of a connection from that port."""
    with contextlib.closing(socket_in(namespace.name, family)) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        connection.bind(("", port))
        connection.connect((address, to))
        name, seen, seen_port = connection.makefile().readline().split()
        return name, seen, int(seen_port)


def refused_with(namespace, address, port, timeout=2.0):
    """The errno of a connection that is not made; ETIMEDOUT if nobody answers."""
    with contextlib.closing(socket_in(namespace.name)) as connection:
        connection.settimeout(timeout)
        try:
            connection.connect((address, port))
        except TimeoutError:
            return errno.ETIMEDOUT
        except OSError as error:
            return error.errno
        return 0


def ping(namespace, address, *words):
    return namespace.run("ping", "-c", "2", "-i", "0.2", "-W", "3", *words, address, check=False).returncode == 0


# ---- out ------------------------------------------------------------------------------------------------------------


def test_pods_with_one_address_and_one_port_reach_the_internet_side_by_side(node):
    with concurrent.futures.ThreadPoolExecutor() as both:
        seen = list(both.map(lambda pod: from_port(node.pods[pod], 20005, node.INTERNET, 8080), ("red/a", "blue/a")))
    assert [(name, address) for name, address, _ in seen] == [("internet", node.ADDRESS)] * 2
    ports = {port for *_, port in seen}
    assert len(ports) == 2 and 20005 in ports and all(port in PORTS for port in ports)


def test_datagrams_and_pings_of_both_families_leave(node):
    for pod in ("red/a", "blue/a"):
        name, seen = ask_udp(node.pods[pod], node.INTERNET, 8080)
        assert (name, seen) == ("internet", node.ADDRESS)
        assert ping(node.pods[pod], node.INTERNET)
        assert ping(node.pods[pod], INTERNET6)
    assert node.counted("to_egress") > 0


def test_a_ping_of_the_host_goes_on_beside_those_of_pods(node):
    with concurrent.futures.ThreadPoolExecutor() as all_three:
        answers = all_three.map(lambda where: ping(where, node.INTERNET),
                                (node.pods["red/a"], node.namespace, node.pods["blue/a"]))
        assert list(answers) == [True] * 3


def test_an_error_from_outside_reaches_the_pod_that_it_is_about(node):
    with contextlib.closing(socket_in(node.pods["red/a"].name, kind=socket.SOCK_DGRAM)) as channel:
        channel.connect((node.INTERNET, 9999))
        channel.send(b"anybody there?")
        with pytest.raises(ConnectionRefusedError):
            channel.recv(100)


def test_a_connection_outlives_the_daemon(node):
    live = LiveConnections(node.pods["red/a"], node.INTERNET, 8080, 8).start()
    node.restart()
    wait_until(lambda: min(live.verified) > 50_000, lambda: f"{live.verified} bytes, {live.failure}")
    live.stop()
    assert not any(live.failure), live.failure


def test_a_floating_ip_of_another_network_is_reached_with_both_translations(node):
    name, seen = ask_tcp(node.pods["red/a"], "203.0.113.10", 80)
    assert name == "blue/a"
    assert seen == node.ADDRESS, "as from outside"
    assert ask_tcp(node.pods["blue/a"], "203.0.113.10", 80)[0] == "blue/a", "its own is a service to it"
    assert refused_with(node.pods["shut/a"], "203.0.113.10", 80) == errno.ETIMEDOUT


# ---- not out --------------------------------------------------------------------------------------------------------


def test_a_network_without_egress_reaches_nothing(node):
    before = node.counted("no_egress")
    assert refused_with(node.pods["shut/a"], node.INTERNET, 8080) == errno.ETIMEDOUT
    assert not ping(node.pods["shut/a"], INTERNET6)
    assert node.counted("no_egress") >= before + 2


def test_a_network_that_loses_its_egress_loses_its_connections(node):
    live = LiveConnections(node.pods["blue/a"], node.INTERNET, 8080, 2).start()
    wait_until(lambda: min(live.verified) > 10_000, lambda: f"{live.verified} bytes, {live.failure}")
    node.put(NETWORK.format(network="blue", more="egress: none").split("---")[0])
    stopped = list(live.verified)
    with pytest.raises(AssertionError):
        wait_until(lambda: min(live.verified) > max(stopped) + 50_000, "they go on", timeout=2)
    assert refused_with(node.pods["blue/a"], node.INTERNET, 8080) == errno.ETIMEDOUT
    node.put(NETWORK.format(network="blue", more="egress: node").split("---")[0])
    assert from_port(node.pods["blue/a"], 20500, node.INTERNET, 8080)[0] == "internet"
    live.stop()


def test_no_pod_reaches_its_node_or_what_is_denied(node):
    serving = start_server(node.namespace, "host", port=8022)
    before = node.counted("egress_denied")
    for target in (node.ADDRESS, "198.51.100.200", "169.254.169.254"):
        assert refused_with(node.pods["red/a"], target, 8022, timeout=1.2) == errno.ETIMEDOUT, target
    assert node.counted("egress_denied") >= before + 3
    assert {"198.51.100.2/32", "198.51.100.200/32"} <= set(node.bpf("denied"))
    serving.kill()


# ---- in -------------------------------------------------------------------------------------------------------------


def test_nobody_outside_reaches_a_pod_and_the_host_has_what_is_its_own(node):
    before = node.counted("egress_unsolicited", "from_uplink")
    assert refused_with(node.internet, node.ADDRESS, 20005) == errno.ETIMEDOUT
    assert node.counted("egress_unsolicited", "from_uplink") > before
    serving = start_server(node.namespace, "host", port=8022)
    assert ask_tcp(node.internet, node.ADDRESS, 8022)[0] == "host"
    assert refused_with(node.internet, node.ADDRESS, 8023) == errno.ECONNREFUSED, "the host's stack says so"
    assert ask_tcp(node.namespace, node.INTERNET, 8080)[0] == "internet"
    assert ping(node.internet, node.ADDRESS) and ping(node.internet, NODE6)
    serving.kill()


def test_the_hosts_sockets_get_no_port_of_the_range(node):
    reserved = node.namespace.run("sysctl", "-n", "net.ipv4.ip_local_reserved_ports")
    assert "20000-20999" in reserved
    node.namespace.run("sysctl", "-w", "net.ipv4.ip_local_port_range=19990 21010")
    held = []
    for _ in range(20):
        held.append(socket_in(node.namespace.name))
        held[-1].connect((node.INTERNET, 8080))
        assert held[-1].getsockname()[1] not in PORTS
    for connection in held:
        connection.close()


def test_the_tables_show_the_way_out(node):
    ways = {(row["network"], row["address"]): row for row in node.bpf("egress")}
    networks = {row["name"]: row["status"]["id"] for row in node.get("networks")}
    for name in ("red", "blue"):
        for address in (node.ADDRESS, NODE6):
            row = ways.pop((networks[name], address))
            assert (row["first_port"], row["last_port"], row["current"]) == (20000, 20999, True)
    assert not ways, "a network without egress has none"


# ---- other nodes ----------------------------------------------------------------------------------------------------


def test_an_address_of_its_own_is_answered_for_and_has_all_ports():
    with make_node({"address4": "198.51.100.50", "address6": "2001:db8:1::50"}) as node:
        start_server(node.internet, "internet")
        assert from_port(node.pods["red/a"], 5005, node.INTERNET, 8080) == ("internet", "198.51.100.50", 5005)
        assert ping(node.pods["red/a"], INTERNET6)
        assert ping(node.internet, "198.51.100.50") and ping(node.internet, "2001:db8:1::50"), "it is found"
        assert refused_with(node.internet, "198.51.100.50", 22) == errno.ETIMEDOUT
        assert refused_with(node.internet, node.ADDRESS, 20005) == errno.ECONNREFUSED, "the node's own is the host's"


def test_an_address_that_comes_later_is_taken_into_use_and_one_that_goes_ends_its_flows():
    with make_node({"ports": "20000-20999"}) as node:
        start_server(node.internet, "internet")
        assert from_port(node.pods["red/a"], 20005, node.INTERNET, 8080)[1] == node.ADDRESS
        node.namespace.run("ip", "addr", "add", "198.51.100.3/24", "dev", "uplink0")
        node.namespace.run("ip", "addr", "del", f"{node.ADDRESS}/24", "dev", "uplink0")
        node.namespace.run("ip", "addr", "replace", "198.51.100.3/24", "dev", "uplink0")
        wait_until(lambda: {row["address"] for row in node.bpf("egress")} == {"198.51.100.3", NODE6},
                   lambda: node.bpf("egress"))
        assert from_port(node.pods["red/a"], 20006, node.INTERNET, 8080)[1] == "198.51.100.3"


def test_a_listener_in_the_range_is_named_and_keeps_its_port():
    with Node(settings={"egress": {"ports": "20000-20999"}}) as node:
        with contextlib.closing(socket_in(node.namespace.name)) as listener:
            listener.bind(("0.0.0.0", 20007))
            listener.listen()
            node.start()
            node.put(NETWORK.format(network="red", more=""))
            warnings = " ".join(node.status()["warnings"])
            assert "20007" in warnings and "TCP" in warnings
            assert not [row for row in node.bpf("egress") if row["address"] == node.ADDRESS]


def test_a_socket_that_comes_later_does_not_end_what_leaves_already():
    with make_node({"ports": "20000-20999"}) as node:
        start_server(node.internet, "internet")
        live = LiveConnections(node.pods["red/a"], node.INTERNET, 8080, 2).start()
        with contextlib.closing(socket_in(node.namespace.name)) as listener:
            listener.bind(("0.0.0.0", 20999))
            listener.listen()
            node.restart()
            assert "20999" in " ".join(node.status()["warnings"])
            before = min(live.verified)
            wait_until(lambda: min(live.verified) > before + 20_000, lambda: f"{live.verified} bytes, {live.failure}")
            assert from_port(node.pods["blue/a"], 20500, node.INTERNET, 8080)[0] == "internet"
        live.stop()
        assert not any(live.failure), live.failure
