# SPDX-License-Identifier: Apache-2.0
"""Living with the host: what the machine's owner has configured stays, and we work under it."""

import subprocess

import manifests
import pytest
import traffic
from sluice_e2e import Node, run, wait_until

NFT = """
table inet closed {
  chain input { type filter hook input priority 0; policy drop; }
  chain forward { type filter hook forward priority 0; policy drop; }
  chain output { type filter hook output priority 0; policy drop; }
  chain prerouting { type filter hook prerouting priority 0; policy drop; }
  chain postrouting { type filter hook postrouting priority 0; policy drop; }
}
"""

# On the uplink itself, where the kernel calls them next to tc. What pods send and get goes around them.
NFT_DEVICE = """
table netdev closed {
  chain ingress { type filter hook ingress device uplink0 priority -500; policy drop; ether type arp accept; }
  chain egress { type filter hook egress device uplink0 priority -500; policy drop; ether type arp accept; }
}
"""

ADVERTISE = """
from scapy.all import *
conf.verb = 0
sendp(Ether(dst='33:33:00:00:00:01')/IPv6(src='fe80::99',dst='ff02::1',hlim=255)/ICMPv6ND_RA(routerlifetime=3)
      /ICMPv6NDOptSrcLLAddr(lladdr=get_if_hwaddr('wan0')), iface='wan0')
"""


TAGGED = """
from scapy.all import *
conf.verb = 0
sendp(Ether(dst='ff:ff:ff:ff:ff:ff')/Dot1Q(vlan=7)/IP(src='192.0.2.2',dst='192.0.2.1')/UDP(sport=9,dport=9), iface='wan0')
"""


@pytest.fixture
def node():
    with Node(manifests.two_tenants()) as made:
        yield made


def sysctl(node, name, value=None):
    path = "/proc/sys/net/" + name
    if value is None:
        return node.namespace.run("cat", path).strip()
    return node.namespace.run("sh", "-c", f"echo {value} > {path}")


SETTINGS = [f"ipv4/conf/{device}/{name}" for device in ("all", "default", "uplink0")
            for name in ("forwarding", "rp_filter", "arp_ignore", "proxy_arp")] + [
    "ipv4/ip_forward", "ipv6/conf/all/forwarding", "ipv6/conf/uplink0/accept_ra", "ipv6/conf/all/accept_ra"]


def default_route(node):
    return "default" in node.namespace.run("ip", "-6", "route")


def test_everything_works_with_forwarding_off_strict_filters_and_a_closed_firewall(node):
    sysctl(node, "ipv4/ip_forward", 0)
    sysctl(node, "ipv4/conf/all/rp_filter", 1)
    sysctl(node, "ipv4/conf/uplink0/rp_filter", 1)
    before = {name: sysctl(node, name) for name in SETTINGS}
    node.namespace.run("nft", NFT)
    node.namespace.run("nft", NFT_DEVICE)
    node.start()
    traffic.serve(node, "red/web-1", "blue/web-1")
    node.attach("red/client", "blue/client")
    for tenant, port in (("red", 80), ("blue", 8081)):
        client = node.pods[f"{tenant}/client"]
        assert traffic.ask_tcp(client, "172.16.200.1", 80)[0] == f"{tenant}/web-1"
        assert traffic.ask_udp(client, "172.16.200.1", 80)[0] == f"{tenant}/web-1"
        assert traffic.ask_tcp(node.internet, "203.0.113.10", port) == (f"{tenant}/web-1", "198.51.100.1")
    assert {name: sysctl(node, name) for name in SETTINGS} == before, "a setting of the host was changed"


def test_router_advertisements_still_reach_the_host_and_run_out(node):
    sysctl(node, "ipv6/route/gc_interval", 1)  # seconds; an expired route is only removed by the collector
    node.start()

    def learned():
        node.internet.run("/usr/bin/python3", "-c", ADVERTISE)
        return default_route(node)

    wait_until(learned, "the host learned its default route")
    wait_until(lambda: not default_route(node), "the route's lifetime ran out", 20)
    assert sysctl(node, "ipv6/conf/uplink0/accept_ra") == "1"


def test_foreign_traffic_on_the_uplink_passes_untouched(node):
    node.start()
    for size in (56, 1472, 4000):  # 4000: fragments
        node.internet.run("ping", "-c1", "-W2", "-s", size, Node.ADDRESS)
        node.namespace.run("ping", "-c1", "-W2", "-s", size, Node.INTERNET)
    server = traffic.start_server(node.namespace, "host", 2222)
    assert traffic.ask_tcp(node.internet, Node.ADDRESS, 2222, b"y" * 100000)[0] == "host"
    capture = node.namespace.popen("tcpdump", "-i", "uplink0", "-n", "-c1", "--immediate-mode", "-l", "vlan 7",
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    while b"listening" not in capture.stderr.readline():
        pass
    node.internet.run("/usr/bin/python3", "-c", TAGGED)
    assert b"192.0.2.1.9" in capture.communicate(timeout=10)[0]
    server.kill()
    counters = node.counters("from_uplink")
    assert set(counters) - {"foreign"} <= {reason for reason, packets in counters.items() if not packets}, counters


def test_an_uplink_may_vanish_and_come_back(node):
    node.start()
    traffic.serve(node, "red/web-1")
    assert traffic.ask_tcp(node.internet, "203.0.113.10", 80)
    node.namespace.run("ip", "link", "del", "uplink0")
    wait_until(lambda: not node.uplink_ports(), "the uplink's record goes")
    node.internet.delete()
    node._make_uplink()
    wait_until(node.uplink_ports, "the uplink's record comes back")
    assert traffic.ask_tcp(node.internet, "203.0.113.10", 80)[0] == "red/web-1"


@pytest.mark.parametrize("mode", ["generic", "native"])
def test_the_uplink_works_with_xdp_on(node, mode):
    node.config["uplinks"][0]["xdp"] = mode
    node.internet.run("ethtool", "-K", "wan0", "tx", "off")
    node.start()
    traffic.serve(node, "red/web-1")
    assert traffic.ask_tcp(node.internet, "203.0.113.10", 80, b"z" * 200000)[0] == "red/web-1"
    assert node.counted("xdp_to_tc", "uplink_xdp") > 0


def test_a_namespace_that_vanishes_ends_the_attachment_and_keeps_the_address(node):
    node.start()
    traffic.serve(node, "red/web-1", "red/web-2")
    node.attach("red/client")
    address = node.address("red/web-1")
    for pid in run("ip", "netns", "pids", node.pods["red/web-1"].name).split():
        run("kill", "-9", pid)
    node.pods.pop("red/web-1").delete()
    wait_until(lambda: not next(p for p in node.status()["pods"] if p["name"] == "web-1" and p["network"] == "red")["attached"],
               "the attachment ends")
    assert {traffic.ask_tcp(node.pods["red/client"], "172.16.200.1", 80)[0] for _ in range(20)} == {"red/web-2"}
    assert node.address("red/web-1") == address
    traffic.serve(node, "red/web-1")
    assert node.address("red/web-1") == address
    wait_until(lambda: traffic.ask_tcp(node.pods["red/client"], "172.16.200.1", 80)[0] == "red/web-1", "it serves again")
