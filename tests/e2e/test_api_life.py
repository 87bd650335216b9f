# SPDX-License-Identifier: Apache-2.0
"""What platforms do all day: floating IPs, networks, labels and named ports, under live connections."""

import ipaddress
import json
import threading
import time

import client
import manifests
import pytest
import traffic
from sluice_e2e import Node, wait_until

POOL = "203.0.113.0/29"


def declared():
    return manifests.join(
        *(text for side in "ab" for text in (
            manifests.network(side), manifests.pod(f"{side}/web", "web"), manifests.pod(f"{side}/client"),
            manifests.service(f"{side}/web", "web", [manifests.port(80)]))))


@pytest.fixture
def node():
    with Node(settings={"floating_ip_pools": [{"name": "public", "prefixes": [POOL]}]}) as made:
        made.start()
        made.put(declared())
        traffic.serve(made, "a/web", "b/web")
        yield made


def floating(node, name):
    return next(row for row in json.loads(node.ctl("fip", "list", "-o", "json"))["floating_ips"] if row["name"] == name)


class Prober(threading.Thread):
    """Connects again and again, and writes down who answered or what went wrong."""

    def __init__(self, namespace, address, port):
        super().__init__(daemon=True)
        self.target = namespace, address, port
        self.answers, self.failures = [], []
        self.stopping = threading.Event()

    def run(self):
        while not self.stopping.is_set():
            try:
                self.answers.append(traffic.ask_tcp(*self.target, timeout=10)[0])
            except (OSError, ValueError) as error:
                self.failures.append(error)

    def __enter__(self):
        self.start()
        wait_until(lambda: len(self.answers) > 20, "connections are made")
        return self

    def __exit__(self, *_):
        self.stopping.set()
        self.join(30)


def test_a_floating_ip_from_allocation_to_release(node):
    address = node.ctl("fip", "allocate", "vip", "--pool", "public").strip().split()[-1]
    assert ipaddress.ip_address(address) in ipaddress.ip_network(POOL)
    assert floating(node, "vip") == {"name": "vip", "address": address, "address6": "", "pool": "public",
                                     "services": []}
    assert "vip" in node.ctl("fip", "list", "--dangling")
    assert node.ctl("fip", "allocate", "vip", "--pool", "public", check=False).returncode == 7
    with pytest.raises(OSError):
        traffic.ask_tcp(node.internet, address, 80, timeout=1)

    node.ctl("fip", "attach", "vip", "a/web", "--wait")
    assert "vip" not in node.ctl("fip", "list", "--dangling") and floating(node, "vip")["services"] == ["a/web"]
    live = traffic.LiveConnections(node.internet, address, 80, 30, pause=0.02).start()
    assert set(live.backend) == {"a/web"}
    for command in (["fip", "release", "vip"], ["delete", "fip", "vip"]):
        done = node.ctl(*command, check=False)
        assert done.returncode == 7 and "a/web" in done.stderr, done
    with Prober(node.internet, address, 80) as prober:
        node.ctl("fip", "attach", "vip", "b/web", "--wait")
        assert {traffic.ask_tcp(node.internet, address, 80)[0] for _ in range(20)} == {"b/web"}
        count = len(prober.answers)
        wait_until(lambda: len(prober.answers) > count + 20, "connections are made")
    switched = prober.answers.index("b/web")
    assert set(prober.answers[:switched]) == {"a/web"} and set(prober.answers[switched:]) == {"b/web"}
    assert not any(isinstance(error, ConnectionRefusedError) for error in prober.failures), prober.failures
    assert len(prober.failures) <= 1, prober.failures  # the one that was open at that moment
    wait_until(lambda: all(live.failure), "the old flows end", 30)
    live.stop()
    assert floating(node, "vip")["services"] == ["b/web"]

    node.ctl("fip", "detach", "vip", "--wait")
    assert "vip" in node.ctl("fip", "list", "--dangling")
    with pytest.raises(OSError):
        traffic.ask_tcp(node.internet, address, 80, timeout=1)
    node.ctl("fip", "release", "vip", "--wait")
    assert not node.get("fip") and address not in {row["address"] for row in node.bpf("endpoints")}


def test_a_pool_gives_each_address_once_and_says_when_it_is_empty(node):
    given = []
    while True:
        done = node.ctl("fip", "allocate", f"vip-{len(given)}", "--pool", "public", check=False)
        if done.returncode:
            break
        given.append(floating(node, f"vip-{len(given)}")["address"])
    size = ipaddress.ip_network(POOL).num_addresses
    assert done.returncode == 7 and f"all {size} addresses of pool public are in use" in done.stderr, done
    assert "--dangling" in done.stderr, done
    assert len(set(given)) == len(given) == size, given
    node.ctl("fip", "release", "vip-3")
    node.ctl("fip", "allocate", "again", "--pool", "public")
    assert floating(node, "again")["address"] == given[3]
    done = node.ctl("fip", "allocate", "x", "--pool", "pubic", check=False)
    assert done.returncode and "pubic" in done.stderr, done


def test_tenants_share_a_floating_ip_port_by_port_and_never_a_port(node):
    address = node.ctl("fip", "allocate", "vip", "--pool", "public").strip().split()[-1]
    other = manifests.service("b/other", "web", [manifests.port(81)], floating_ip="vip")
    node.put(manifests.join(manifests.service("a/web", "web", [manifests.port(80)], floating_ip="vip"), other))
    assert traffic.ask_tcp(node.internet, address, 80)[0] == "a/web"
    assert traffic.ask_tcp(node.internet, address, 81)[0] == "b/web"
    done = node.put(manifests.join(manifests.service("b/web", "web", [manifests.port(80)], floating_ip="vip")),
                    check=False)
    assert done.returncode == 7 and "a/web" in done.stderr and address in done.stderr, done
    node.put(manifests.join(manifests.service("b/web", "web", [manifests.port(80, protocol="UDP")], floating_ip="vip")))
    assert traffic.ask_udp(node.internet, address, 80)[0] == "b/web"
    assert traffic.ask_tcp(node.internet, address, 80)[0] == "a/web"


def test_a_network_in_use_is_deleted_only_by_cascade_and_then_whole(node):
    vip = node.ctl("fip", "allocate", "vip", "--pool", "public").strip().split()[-1]
    node.ctl("fip", "attach", "vip", "a/web", "--wait")
    done = node.ctl("delete", "network", "a", check=False)
    assert done.returncode == 7 and "pod" in done.stderr and "cascade" in done.stderr, done
    assert traffic.ask_tcp(node.internet, vip, 80)[0] == "a/web"
    numbers = {network["name"]: network["status"]["id"] for network in node.get("networks")}
    out = node.ctl("delete", "network", "a", "--cascade", "--wait")
    assert out.count(" deleted") == 4, out
    assert {network["name"] for network in node.get("networks")} == {"b"} and not node.get("pods", "-n", "a")
    assert not [row for name in ("endpoints", "ports") for row in node.bpf(name) if row["network"] == numbers["a"]]
    wait_until(lambda: "eth0" not in node.pods["a/web"].run("ip", "-o", "link"), "the pod's interface goes")
    assert floating(node, "vip")["services"] == []
    with pytest.raises(OSError):
        traffic.ask_tcp(node.internet, vip, 80, timeout=1)
    node.ctl("fip", "attach", "vip", "b/web", "--wait")
    assert traffic.ask_tcp(node.internet, vip, 80)[0] == "b/web"


def test_a_changed_label_moves_a_pod_in_and_out_of_rotation_within_fifty_milliseconds(node):
    """From the answer of the API, that is after the durable write, to the maps. Medians: the machine has other work."""
    took = []
    node.put(manifests.join(manifests.service("a/rotating", "web", [manifests.port(80)], address4="172.16.200.7")))
    with client.Client(node.config["socket"]) as caller:
        for turn in range(40):
            expected = {} if turn % 2 == 0 else {"web": 8080}
            before = caller.ready("a/rotating")
            assert before != expected
            caller.apply(caller.pod("a/web", labels={"app": "web" if expected else "idle"}))
            start = time.monotonic()
            while caller.ready("a/rotating") != expected:
                assert time.monotonic() - start < 5, f"turn {turn}: not in the maps"
            took.append(time.monotonic() - start)
            ready = {row["ready_count"] for row in node.bpf("frontends") if row["address"] == "172.16.200.7"}
            assert ready == {len(expected)}, "the maps hold something else than what is described"
    took.sort()
    assert took[len(took) // 2] < 0.05, took
    (inside,) = node.attach("a/client")
    assert traffic.ask_tcp(inside, "172.16.200.7", 80)[0] == "a/web"


def test_named_target_ports_differ_from_pod_to_pod(node):
    def named(name, number):
        return manifests.document("Pod", network="a", name=name, labels={"app": "named"},
                                  ports=[{"name": "http", "port": number}] if number else None)

    node.put(manifests.join(
        named("one", 9001), named("two", 9002), named("three", None),
        manifests.service("a/named", "named", [manifests.port(80, target="http")], address4="172.16.200.9")))
    for name, number in (("a/one", 9001), ("a/two", 9002), ("a/three", 9003)):
        traffic.serve(node, name, port=number)
    (caller,) = node.attach("a/client")
    assert {traffic.ask_tcp(caller, "172.16.200.9", 80)[0] for _ in range(40)} == {"a/one", "a/two"}
    with client.Client(node.config["socket"]) as api:
        assert api.ready("a/named") == {"one": 9001, "two": 9002}
        three = next(row for row in api.describe("SERVICE", "a/named").backends if row.pod.name == "three")
        assert not three.ready and "http" in three.reason, three
    node.put(manifests.join(named("one", None), named("three", 9003)))
    assert {traffic.ask_tcp(caller, "172.16.200.9", 80)[0] for _ in range(40)} == {"a/two", "a/three"}
