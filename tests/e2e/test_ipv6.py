# SPDX-License-Identifier: Apache-2.0
"""IPv6 with real stacks: what a network is given, how pods reach each other, services and floating IPs, and who does not."""

import contextlib
import json
import socket
import subprocess

import pytest
from sluice_e2e import Node, socket_in, wait_until

PUBLIC = "2001:db8:f::10"
NETWORK = """
kind: Network
name: {network}
cidr6: "fd00:5::/64"
---
kind: Pod
name: client
network: {network}
---
kind: Pod
name: both
network: {network}
labels: {{app: web}}
---
kind: Pod
name: six
network: {network}
labels: {{app: web, only: six}}
families: [IPv6]
---
kind: Pod
name: four
network: {network}
labels: {{app: web}}
families: [IPv4]
---
kind: Service
name: web
network: {network}
selector: {{app: web}}
address6: "fd00:5::80"
{floating}
ports: [{{port: 80, target_port: 8080}}, {{port: 53, target_port: 5353, protocol: UDP}}]
---
kind: Service
name: alone
network: {network}
selector: {{only: six}}
address6: "fd00:5::81"
families: [IPv6]
ports: [{{port: 80, target_port: 8080}}]
"""
FLOATING = f"""
kind: FloatingIP
name: pub
address6: "{PUBLIC}"
---
"""
# Says its own name, whatever it hears; on both families.
SERVER = """
import socket, sys, threading
name = sys.argv[1].encode()
def udp():
    heard = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    heard.bind(("::", 5353))
    while True:
        heard.sendto(name, heard.recvfrom(2048)[1])
threading.Thread(target=udp, daemon=True).start()
listening = socket.create_server(("::", 8080), family=socket.AF_INET6, dualstack_ipv6=True)
print("ready", flush=True)
while True:
    connection, peer = listening.accept()
    connection.sendall(name + b" " + peer[0].encode())
    connection.close()
"""


@pytest.fixture(scope="module")
def node():
    with Node() as made:
        made.namespace.run("ip", "addr", "add", "2001:db8:1::2/64", "dev", "uplink0", "nodad")
        made.internet.run("ip", "addr", "add", "2001:db8:1::1/64", "dev", "wan0", "nodad")
        made.internet.run("ip", "route", "add", "2001:db8:f::/64", "dev", "wan0")
        made.start()
        made.put(FLOATING + NETWORK.format(network="red", floating="floating_ip: pub") + "---" +
                 NETWORK.format(network="blue", floating=""))
        for network in ("red", "blue"):
            made.attach(*(f"{network}/{pod}" for pod in ("client", "both", "six", "four")))
            for pod in ("both", "six", "four"):
                serve(made, f"{network}/{pod}")
        yield made


def serve(node, pod):
    process = node.pods[pod].popen("/usr/bin/python3", "-c", SERVER, pod, stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"ready\n"


def ask(namespace, address, port=80, family=socket.AF_INET6):
    """Who answers, and whom they saw."""
    with contextlib.closing(socket_in(namespace.name, family)) as connection:
        connection.connect((address, port))
        return connection.recv(200).decode().split()


def six_of(node, pod, kind="pods"):
    network, name = pod.split("/")
    return next(row["status"]["address6"] for row in node.get(kind)
                if (row["network"], row["name"]) == (network, name))


def ping(namespace, address, count=2):
    return namespace.run("ping", "-6", "-c", count, "-i", "0.2", "-W", "3", address, check=False).returncode == 0


# ---- what is given ----------------------------------------------------------------------------------------------


def test_a_network_is_given_a_unique_local_prefix_and_keeps_it():
    with Node(uplink=False) as node:
        node.start()
        node.put("{kind: Pod, name: a}")
        prefix = node.get("networks")[0]["cidr6"]
        assert prefix.startswith("fd") and prefix.endswith("::/64")
        address = six_of(node, "default/a")
        assert address == prefix.removesuffix("/64") + "2"
        node.restart()
        node.put("{kind: Pod, name: b}")
        assert node.get("networks")[0]["cidr6"] == prefix
        assert six_of(node, "default/a") == address
        assert six_of(node, "default/b") == prefix.removesuffix("/64") + "3"
        node.put("{kind: Network, name: old, families: [IPv4]}\n---\n{kind: Pod, name: c, network: old}")
        assert six_of(node, "old/c") == ""
        done = node.put("{kind: Pod, name: d, network: old, families: [IPv6]}", check=False)
        assert done.returncode and "network old has no IPv6" in done.stderr


def test_a_namespace_without_ipv6_is_refused_with_the_remedy():
    with Node(uplink=False) as node:
        node.start()
        node.put("{kind: Pod, name: a}\n---\n{kind: Pod, name: b, families: [IPv4]}")
        for name in ("default/a", "default/b"):
            namespace = node.make_namespace(name)
            namespace.run("sysctl", "-qw", "net.ipv6.conf.all.disable_ipv6=1", "net.ipv6.conf.default.disable_ipv6=1")
        done = node.ctl("pod", "attach", "default/a", "--netns", node.pods["default/a"].path, check=False)
        assert done.returncode and "disable_ipv6" in done.stderr and "[IPv4]" in done.stderr
        node.ctl("pod", "attach", "default/b", "--netns", node.pods["default/b"].path)


# ---- who reaches whom -------------------------------------------------------------------------------------------


def test_pods_reach_each_other_and_the_router(node):
    client = node.pods["red/client"]
    for address in (six_of(node, "red/both"), six_of(node, "red/six"), "fd00:5::1", "fd00:5::80"):
        assert ping(client, address), address
    assert ask(client, six_of(node, "red/six"), 8080)[0] == "red/six"


def test_the_pods_stack_keeps_its_neighbours_after_it_has_asked_again(node):
    client = node.pods["red/client"]
    six = six_of(node, "red/six")
    assert ping(client, six, 1)
    client.run("ip", "-6", "neigh", "replace", six, "dev", "eth0", "nud", "stale", "lladdr",
               node.pods["red/six"].run("cat", "/sys/class/net/eth0/address").strip())
    assert ping(client, six, 1)
    wait_until(lambda: any(word in client.run("ip", "-6", "neigh", "show", six) for word in ("REACHABLE", "DELAY")),
               "the neighbour is confirmed")


def test_a_service_has_the_pods_of_each_family_behind_each_address(node):
    client = node.pods["red/client"]
    answers = {ask(client, "fd00:5::80")[0] for _ in range(40)}
    assert answers == {"red/both", "red/six"}
    four = next(row["status"]["address4"] for row in node.get("services") if row["name"] == "web" and
                row["network"] == "red")
    answers = {ask(client, four, family=socket.AF_INET)[0] for _ in range(40)}
    assert answers == {"red/both", "red/four"}
    assert {ask(client, "fd00:5::81")[0] for _ in range(5)} == {"red/six"}
    with contextlib.closing(socket_in(client.name, socket.AF_INET6, socket.SOCK_DGRAM)) as asking:
        asking.sendto(b"who", ("fd00:5::80", 53))
        answer, sender = asking.recvfrom(100)
        assert answer in (b"red/both", b"red/six") and sender[:2] == ("fd00:5::80", 53)


def test_a_pod_reaches_itself_through_its_own_service(node):
    assert ask(node.pods["red/six"], "fd00:5::81") == ["red/six", "fd00:5::81"]


def test_the_public_side_reaches_a_floating_ip_and_is_seen_as_itself(node):
    for _ in range(10):
        name, peer = ask(node.internet, PUBLIC)
        assert name in ("red/both", "red/six") and peer == "2001:db8:1::1"
    assert ping(node.internet, PUBLIC)
    assert ask(node.pods["red/client"], PUBLIC)[0] in ("red/both", "red/six")


def test_equal_prefixes_do_not_meet(node):
    assert {ask(node.pods["blue/client"], "fd00:5::80")[0] for _ in range(20)} == {"blue/both", "blue/six"}
    same = six_of(node, "red/six")
    assert same == six_of(node, "blue/six")
    assert ask(node.pods["blue/client"], same, 8080)[0] == "blue/six"
    with pytest.raises(OSError):  # no floating IP of theirs
        ask(node.pods["blue/client"], PUBLIC)


def test_a_pod_does_not_speak_as_another(node):
    six = node.pods["red/six"]
    before = node.counted("spoofed_ip")
    six.run("ip", "addr", "add", "fd00:5::99/64", "dev", "eth0", "nodad")
    try:
        six.run("ping", "-6", "-c", "1", "-W", "1", "-I", "fd00:5::99", six_of(node, "red/both"), check=False)
    finally:
        six.run("ip", "addr", "del", "fd00:5::99/64", "dev", "eth0")
    assert node.counted("spoofed_ip") > before or node.counted("spoofed_nd") > 0


def test_the_uplink_hears_who_asks_for_a_floating_ip(node):
    """Network cards filter multicast, and the host's stack, which has none of the addresses, does not join for them."""
    def joined():
        rows = json.loads(node.namespace.run("ip", "-j", "maddr", "show", "dev", "uplink0"))[0]["maddr"]
        return {row["link"][-8:] for row in rows if row.get("link", "").startswith("33:33:ff") and row.get("features") == "static"}

    assert joined() == {"00:00:10"}
    node.put('{kind: FloatingIP, name: other, address6: "2001:db8:f::ab:cdef"}')
    wait_until(lambda: joined() == {"00:00:10", "ab:cd:ef"}, "the new address's group is joined")
    node.kill()
    node.namespace.run("ip", "maddr", "del", "33:33:ff:00:00:10", "dev", "uplink0")
    node.start()
    wait_until(lambda: joined() == {"00:00:10", "ab:cd:ef"}, "a lost group is joined again")
    node.ctl("delete", "floatingip", "other")
    wait_until(lambda: joined() == {"00:00:10"}, "the deleted address's group is left")


def test_everything_goes_on_over_a_restart(node):
    with contextlib.closing(socket_in(node.internet.name, socket.AF_INET6, socket.SOCK_DGRAM)) as asking:
        asking.sendto(b"who", (PUBLIC, 53))
        first = asking.recvfrom(100)[0]
        node.restart()
        for _ in range(5):
            asking.sendto(b"who", (PUBLIC, 53))
            assert asking.recvfrom(100)[0] == first
    assert ask(node.pods["red/client"], "fd00:5::81")[0] == "red/six"
