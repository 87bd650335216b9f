# SPDX-License-Identifier: Apache-2.0
"""Two tenants with the same addresses: each sees its own network and nothing else."""

import subprocess

import manifests
import pytest
import traffic
from sluice_e2e import Node, wait_until

VIP = "172.16.200.1"
FLOATING = "203.0.113.10"
PODS = [f"{tenant}/{name}" for tenant in ("red", "blue") for name in ("client", "web-1", "web-2")]


@pytest.fixture(scope="module")
def node():
    with Node(manifests.join(manifests.two_tenants(), manifests.pod("red/only", address4="172.16.0.77"))) as made:
        made.start()
        traffic.serve(made, *PODS)
        yield made


def scapy(namespace, program):
    """Runs scapy code in a namespace; gives what it prints."""
    text = "from scapy.all import *\nconf.verb = 0\n" + program
    done = namespace.run("/usr/bin/python3", "-c", text, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def dropped(node, reason, action, entry="from_pod"):
    before = node.counted(reason, entry)
    action()
    wait_until(lambda: node.counted(reason, entry) > before, f"{reason} is counted")


@pytest.mark.parametrize("tenant", ["red", "blue"])
@pytest.mark.parametrize("ask", [traffic.ask_tcp, traffic.ask_udp])
def test_a_service_answers_from_its_own_tenant_and_spreads(node, tenant, ask):
    answers = [ask(node.pods[f"{tenant}/client"], VIP, 80) for _ in range(40)]
    assert {name for name, _ in answers} == {f"{tenant}/web-1", f"{tenant}/web-2"}
    assert {seen for _, seen in answers} == {"172.16.0.10"}, "the backend sees the client's own address"


@pytest.mark.parametrize("tenant", ["red", "blue"])
def test_pods_reach_each_other_by_address_inside_their_tenant_only(node, tenant):
    client = node.pods[f"{tenant}/client"]
    for address, name in (("172.16.0.11", "web-1"), ("172.16.0.12", "web-2")):
        assert traffic.ask_tcp(client, address, 8080) == (f"{tenant}/{name}", "172.16.0.10")
        client.run("ping", "-c1", "-W2", address)


def test_one_floating_ip_serves_two_tenants_by_port(node):
    for port, tenant in ((80, "red"), (8081, "blue")):
        answers = [traffic.ask_tcp(node.internet, FLOATING, port) for _ in range(30)]
        assert {name for name, _ in answers} == {f"{tenant}/web-1", f"{tenant}/web-2"}
        assert {seen for _, seen in answers} == {"198.51.100.1"}
    node.internet.run("ping", "-c1", "-W2", FLOATING)


def test_an_address_that_only_the_other_tenant_has_is_nowhere(node):
    node.attach("red/only")
    traffic.start_server(node.pods["red/only"], "red/only")
    assert traffic.ask_tcp(node.pods["red/client"], "172.16.0.77", 8080)[0] == "red/only"

    def attempt():
        with pytest.raises((TimeoutError, OSError)):
            traffic.ask_tcp(node.pods["blue/client"], "172.16.0.77", 8080, timeout=4)

    dropped(node, "arp_no_target", attempt)


def test_no_frame_of_one_tenant_ever_reaches_the_other(node):
    """Everything that arrives in blue's pods while red sends whatever it can: nothing but blue's own."""
    watched = [node.pods["blue/web-1"], node.pods["blue/client"]]
    captures = [
        space.popen("tcpdump", "-i", "eth0", "-n", "-e", "-l", "--immediate-mode", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        for space in watched
    ]
    for capture in captures:
        while b"listening" not in capture.stderr.readline():
            pass
    red = node.pods["red/client"]
    marker = traffic.unique_payload()
    for address in ("172.16.0.10", "172.16.0.11", "172.16.0.12", VIP, "172.16.0.1", "172.16.255.255", "224.0.0.1"):
        scapy(red, f"sendp(Ether(dst='ff:ff:ff:ff:ff:ff')/ARP(pdst='{address}'), iface='eth0')\n"
                   f"sendp(Ether(dst='ff:ff:ff:ff:ff:ff')/IP(dst='{address}')/UDP(sport=9,dport=8080)/{marker!r}, iface='eth0')")
        traffic_out = f"sendp(Ether()/IP(dst='{address}')/ICMP(type=3)/{marker!r}, iface='eth0')"
        scapy(red, traffic_out)
    # Blue talks to itself, so that the captures are seen to work.
    traffic.ask_tcp(node.pods["blue/client"], "172.16.0.11", 8080)
    for capture in captures:
        capture.terminate()
    lines = [line for capture in captures for line in capture.communicate()[0].decode().splitlines()]
    assert any("172.16.0.11.8080" in line for line in lines), "the capture saw nothing"
    red_macs = {red.run("cat", "/sys/class/net/eth0/address").strip()}
    foreign = [line for line in lines if any(mac in line for mac in red_macs)]
    assert not foreign, foreign


def test_arp_gives_the_peers_real_mac_of_the_own_tenant(node):
    def asked(tenant, address):
        return scapy(node.pods[f"{tenant}/client"],
                     f"a = srp1(Ether(dst='ff:ff:ff:ff:ff:ff')/ARP(pdst='{address}'), iface='eth0', timeout=3)\n"
                     "print(a.hwsrc if a else None)")

    for tenant in ("red", "blue"):
        real = node.pods[f"{tenant}/web-1"].run("ip", "-o", "link", "show", "eth0").split("link/ether ")[1].split()[0]
        assert asked(tenant, "172.16.0.11") == real
        assert asked(tenant, "172.16.0.1") == asked(tenant, VIP) == "02:73:6c:63:00:01"
    assert asked("red", "172.16.0.11") != asked("blue", "172.16.0.11")


@pytest.mark.parametrize("frame, reason", [
    ("Ether(src='02:00:00:00:00:99')/IP(src='172.16.0.10',dst='172.16.0.11')/UDP(sport=1,dport=2)", "spoofed_mac"),
    ("Ether()/IP(src='172.16.0.11',dst='172.16.0.12')/UDP(sport=1,dport=2)", "spoofed_ip"),
    ("Ether()/IP(src='172.16.200.1',dst='172.16.0.11')/UDP(sport=1,dport=2)", "spoofed_ip"),
    ("Ether()/IP(src='172.16.0.1',dst='172.16.0.11')/UDP(sport=1,dport=2)", "spoofed_ip"),
    ("Ether()/ARP(op=2,psrc='172.16.0.12',pdst='172.16.0.11')", "spoofed_arp"),
    ("Ether(src=get_if_hwaddr('eth0'))/IPv6(dst='fe80::1')/ICMPv6ND_NA()", "spoofed_nd"),
    ("Ether()/Dot1Q(vlan=5)/IP(src='172.16.0.10',dst='172.16.0.11')/UDP(sport=1,dport=2)", "vlan"),
    ("Ether()/IP(src='172.16.0.10',dst='198.51.100.2')/UDP(sport=1,dport=2)", "no_egress"),
    ("Ether()/IP(src='172.16.0.10',dst='172.16.0.1')/UDP(sport=1,dport=53)", "router_closed"),
])
def test_what_a_hostile_pod_sends_is_dropped_under_its_reason(node, frame, reason):
    dropped(node, reason, lambda: scapy(node.pods["red/client"], f"sendp({frame}, iface='eth0')"))


def test_an_unknown_port_and_an_unbound_floating_port_are_refused_at_once(node):
    for space, address, port in ((node.pods["red/client"], VIP, 81), (node.internet, FLOATING, 82)):
        with pytest.raises(ConnectionRefusedError):
            traffic.ask_tcp(space, address, port, timeout=3)
    with pytest.raises(ConnectionRefusedError):
        traffic.ask_udp(node.pods["red/client"], VIP, 81, timeout=3)


def test_a_pod_reaches_itself_through_its_own_service(node):
    for kind in (traffic.ask_tcp, traffic.ask_udp):
        answers = [kind(node.pods["red/web-1"], VIP, 80) for _ in range(30)]
        own = {seen for name, seen in answers if name == "red/web-1"}
        other = {seen for name, seen in answers if name == "red/web-2"}
        assert own == {VIP} and other == {"172.16.0.11"}


def test_pods_cannot_reach_the_node_or_be_reached_from_the_internet(node):
    with node.namespace.socket() as listener:
        listener.bind(("0.0.0.0", 7777))
        listener.listen()
        for address in (Node.ADDRESS, "172.16.0.1", FLOATING):
            with pytest.raises((TimeoutError, OSError)):
                traffic.ask_tcp(node.pods["red/client"], address, 7777, timeout=1.5)
        with pytest.raises((TimeoutError, OSError)):
            traffic.ask_tcp(node.internet, "172.16.0.11", 8080, timeout=1.5)
        # The node itself is as reachable from outside as it was without us.
        with node.internet.socket() as outside:
            outside.connect((Node.ADDRESS, 7777))


def test_large_transfers_and_odd_protocols_pass(node):
    payload = b"x" * 3_000_000
    assert traffic.ask_tcp(node.pods["blue/client"], VIP, 80, payload, timeout=20)
    assert traffic.ask_tcp(node.internet, FLOATING, 80, payload, timeout=20)
    got = node.pods["red/web-1"].popen("/usr/bin/python3", "-c",
        "import socket; s = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253); s.settimeout(10)\n"
        "print('up', flush=True); print(s.recv(2048)[20:].decode())", stdout=subprocess.PIPE)
    assert got.stdout.readline() == b"up\n"
    scapy(node.pods["red/client"], "send(IP(dst='172.16.0.11',proto=253)/'odd')")
    assert got.communicate(timeout=12)[0].strip() == b"odd"
