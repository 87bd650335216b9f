# SPDX-License-Identifier: Apache-2.0
"""The MTU of pods follows what is configured and the uplinks, while they are in use; connections over an uplink agree on
segments that fit; and who sends what does not fit hears of it. With real stacks on both sides."""

import contextlib
import errno
import json
import signal
import socket
import struct
import threading
import time

import manifests
from sluice_e2e import Node, in_namespace, run, wait_until

PUBLIC = "203.0.113.10"
VIP = "172.16.200.1"
IP_MTU_DISCOVER, IP_PMTUDISC_DO, IP_MTU = 10, 2, 14
ETH_P_IP = 0x0800
HEADERS, TIMESTAMPS = 40, 12


def one_tenant():
    return manifests.join(
        manifests.floating_ip("public", PUBLIC),
        manifests.network("red"),
        manifests.pod("red/client", address4="172.16.0.10"),
        manifests.pod("red/web-1", "web", address4="172.16.0.11"),
        manifests.service("red/web", "web", [manifests.port(80), manifests.port(80, protocol="UDP")], address4=VIP,
                          floating_ip="public"))


def node_with(**settings):
    return Node(one_tenant(), settings=settings)


def mtu_of(namespace, device):
    return json.loads(namespace.run("ip", "-j", "link", "show", device))[0]["mtu"]


def set_mtu(namespace, device, mtu):
    namespace.run("ip", "link", "set", device, "mtu", mtu)


def mtus(node, pod):
    """Of the pod's end and of the host's."""
    return mtu_of(node.pods[pod], "eth0"), mtu_of(node.namespace, device_of(node, pod))


def device_of(node, pod):
    return next(row["device"] for row in node.status()["pods"] if f"{row['network']}/{row['name']}" == pod)


def smallest_mtu(node):
    """What the programs take for small enough everywhere."""
    dump = json.loads(run("bpftool", "-j", "map", "dump", "pinned", next(node.pin_root.glob("abi-*/maps/settings"))))
    return dump[0]["formatted"]["value"]["smallest_mtu"]


def reload_with(node, **keys):
    node.config |= keys
    node.write_config()
    node.process.send_signal(signal.SIGHUP)


# ---- the MTU of pods ------------------------------------------------------------------------------------------------


def test_a_pod_gets_what_the_uplink_leaves_less_the_reserve():
    for reserve, mtu in (("none", 1500), ("tunnel", 1430), ("encryption", 1350)):
        with node_with(mtu_reserve=reserve).start() as node:
            node.attach("red/web-1")
            assert mtus(node, "red/web-1") == (mtu, mtu)
            assert node.status()["pod_mtu"] == mtu
            assert node.status()["uplinks"][0]["mtu"] == 1500
            assert json.loads(node.ctl("describe", "pod", "red/web-1", "-o", "json"))["mtu"] == mtu
            assert smallest_mtu(node) == mtu


@contextlib.contextmanager
def echoing(node):
    """An open connection from red/client to red/web-1 through the service: exchange(size) sends and reads back."""
    client, web = node.attach("red/client", "red/web-1")
    with in_namespace(web.name):
        server = socket.create_server(("", 8080))

    def serve():
        with contextlib.suppress(OSError), server.accept()[0] as peer:
            while data := peer.recv(65536):
                peer.sendall(data)

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    with client.socket() as connection:
        connection.settimeout(20)
        connection.connect((VIP, 80))

        def exchange(size=300_000):
            content = bytes(range(256)) * (size // 256)
            sending = threading.Thread(target=connection.sendall, args=(content,), daemon=True)
            sending.start()
            got = bytearray()
            while len(got) < len(content):
                data = connection.recv(65536)
                assert data, "the connection has ended"
                got += data
            sending.join(20)
            assert bytes(got) == content

        yield exchange
    thread.join(5)
    server.close()


def test_a_reload_changes_pods_whose_connections_go_on():
    with node_with().start() as node, echoing(node) as exchange:
        exchange()
        for keys, mtu in (({"pod_mtu": 1400}, 1400), ({"pod_mtu": "auto"}, 1500), ({"mtu_reserve": "tunnel"}, 1430)):
            reload_with(node, **keys)
            for pod in ("red/client", "red/web-1"):
                wait_until(lambda: mtus(node, pod) == (mtu, mtu), lambda: f"{pod} with {mtu}, now {mtus(node, pod)}")
            wait_until(lambda: smallest_mtu(node) == mtu, "the programs know")
            exchange()
        assert node.status()["synced"] and not node.status()["warnings"]


def test_an_uplinks_mtu_reaches_pods_whose_connections_go_on():
    with node_with().start() as node, echoing(node) as exchange:
        for mtu in (1300, 9000, 1500):
            set_mtu(node.namespace, "uplink0", mtu)
            for pod in ("red/client", "red/web-1"):
                wait_until(lambda: mtus(node, pod) == (mtu, mtu), lambda: f"{pod} with {mtu}, now {mtus(node, pod)}")
            exchange()
        set_mtu(node.namespace, "uplink0", 1000)
        wait_until(lambda: node.status()["warnings"], "a warning of an uplink that is too small")
        assert mtus(node, "red/web-1") == (1280, 1280), "IPv6 needs as much"
        assert node.status()["pod_mtu"] == 1280


def test_a_restart_puts_right_what_has_drifted_and_touches_nothing_else():
    with node_with().start() as node:
        client, web = node.attach("red/client", "red/web-1")
        set_mtu(web, "eth0", 1200)
        node.kill()
        set_mtu(node.namespace, "uplink0", 1450)
        node.start()
        assert mtus(node, "red/web-1") == mtus(node, "red/client") == (1450, 1450)
        with open(node.folder / "monitor", "w+") as heard:
            monitor = client.popen("ip", "monitor", "link", stdout=heard)
            time.sleep(0.5)  # it has no way to say that it listens; a late start could only hide what is looked for
            node.restart()
            node.ctl("status")
            monitor.terminate()
            monitor.wait(10)
            heard.seek(0)
            assert heard.read() == ""


# ---- segment sizes --------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def syns_received(namespace, device):
    """Collects the maximum segment sizes of TCP segments with SYN that come in by a device."""
    found = []
    with in_namespace(namespace.name):
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(ETH_P_IP))
    raw.bind((device, ETH_P_IP))
    raw.settimeout(0.2)
    stop = threading.Event()

    def listen():
        while not stop.is_set():
            with contextlib.suppress(TimeoutError):
                packet, address = raw.recvfrom(65535)
                if address[2] != socket.PACKET_OUTGOING and packet[9] == socket.IPPROTO_TCP and packet[33] & 2:
                    found.append(mss_of(packet[20:]))

    thread = threading.Thread(target=listen, daemon=True)
    thread.start()
    try:
        yield found
    finally:
        stop.set()
        thread.join()
        raw.close()


def mss_of(segment):
    options = segment[20:(segment[12] >> 4) * 4]
    while options and options[0] != 0:
        if options[0] == 2:
            return struct.unpack("!H", options[2:4])[0]
        options = options[1:] if options[0] == 1 else options[options[1]:]
    return None


def connected_through_the_floating_ip(node, web):
    """Both ends of a connection from outside."""
    with in_namespace(web.name), socket.create_server(("", 8080)) as server:
        client = node.internet.socket()
        client.settimeout(20)
        client.connect((PUBLIC, 80))
        return client, server.accept()[0]


def segment_size(sock):
    return sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG)


def expect_segments(node, mtu):
    web = node.pods["red/web-1"]
    with syns_received(web, "eth0") as inside, syns_received(node.internet, "wan0") as outside:
        client, server = connected_through_the_floating_ip(node, web)
        with client, server:
            wait_until(lambda: inside and outside, "both have been seen")
            assert inside[0] == outside[0] == mtu - HEADERS
            assert segment_size(client) == segment_size(server) == mtu - HEADERS - TIMESTAMPS


def test_both_ends_hear_of_an_uplink_that_is_smaller_than_the_pods():
    with node_with(pod_mtu=1500).start() as node:
        node.attach("red/web-1")
        expect_segments(node, 1500)
        set_mtu(node.namespace, "uplink0", 1400)
        expect_segments(node, 1400)


def test_both_ends_hear_of_pods_that_are_smaller_than_the_uplink():
    with node_with(pod_mtu=1300).start() as node:
        node.attach("red/web-1")
        expect_segments(node, 1300)


# ---- what does not fit ----------------------------------------------------------------------------------------------


def datagrams(namespace, port=None, peer=None):
    """A socket for datagrams that may not be fragmented."""
    with in_namespace(namespace.name):
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.setsockopt(socket.IPPROTO_IP, IP_MTU_DISCOVER, IP_PMTUDISC_DO)
    sock.settimeout(5)
    if port:
        sock.bind(("", port))
    if peer:
        sock.connect(peer)
    return sock


def hears_that_it_is_too_long(sock, size):
    """Sends a packet of that size, whose first refusal comes by ICMP."""
    sock.send(bytes(size - 28))

    def refused():
        problem = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        return problem if problem else None

    assert wait_until(refused, "the router's answer", 5) == errno.EMSGSIZE
    return sock.getsockopt(socket.IPPROTO_IP, IP_MTU)


def test_a_client_outside_hears_that_the_pod_takes_less():
    with node_with(pod_mtu=1300).start() as node:
        web = node.attach("red/web-1")[0]
        with datagrams(web, 8080) as server, datagrams(node.internet, peer=(PUBLIC, 80)) as client:
            assert hears_that_it_is_too_long(client, 1301) == 1300
            client.send(bytes(1300 - 28))
            assert len(server.recv(2000)) == 1300 - 28
            assert node.counted("too_big", "from_uplink") == 1


def test_a_pod_hears_that_the_uplink_takes_less():
    with node_with(pod_mtu=1500).start() as node:
        web = node.attach("red/web-1")[0]
        set_mtu(node.namespace, "uplink0", 1400)
        wait_until(lambda: smallest_mtu(node) == 1400, "the programs know")
        with datagrams(web, 8080) as server, datagrams(node.internet, peer=(PUBLIC, 80)) as client:
            client.send(b"ask")
            server.connect(server.recvfrom(100)[1])
            assert hears_that_it_is_too_long(server, 1401) == 1400
            server.send(bytes(1400 - 28))
            assert len(client.recv(2000)) == 1400 - 28
            assert node.counted("too_big") == 1


def test_a_transfer_goes_on_when_the_uplink_shrinks_under_it():
    """The pod sends large segments that its device may cut; the router's answer tells how small."""
    with node_with(pod_mtu=1500).start() as node:
        web = node.attach("red/web-1")[0]
        client, server = connected_through_the_floating_ip(node, web)
        with client, server:
            content = bytes(range(256)) * 2000
            for mtu in (1500, 1300):
                set_mtu(node.namespace, "uplink0", mtu)
                wait_until(lambda: smallest_mtu(node) == mtu, "the programs know")
                sending = threading.Thread(target=server.sendall, args=(content,), daemon=True)
                sending.start()
                got = bytearray()
                while len(got) < len(content):
                    got += client.recv(65536)
                sending.join(20)
                assert bytes(got) == content
                assert server.getsockopt(socket.IPPROTO_IP, IP_MTU) == mtu
        assert node.counted("too_big") >= 1
