# SPDX-License-Identifier: Apache-2.0
"""What hosts tell each other when something does not fit, with real stacks on both sides: ICMP errors through services and
floating IPs, path-MTU discovery, traceroute."""

import contextlib
import errno
import socket
import struct
import threading
import time

import manifests
import traffic
from sluice_e2e import Namespace, Node, in_namespace, wait_until

VIP = "172.16.200.1"
ROUTER = "172.16.0.1"
PUBLIC = "203.0.113.10"
FAR = "192.0.2.77"  # a client behind a router with a narrow link
NARROW = 1280
IP_RECVERR, IP_MTU, SO_EE_ORIGIN_ICMP = 11, 14, 2


@contextlib.contextmanager
def far_client(node):
    """A namespace behind `internet`, which forwards to it no more than NARROW bytes at once. It does not know, so it asks
    for full segments."""
    inside = node.internet
    far = Namespace(f"{node.unique}f")
    try:
        inside.run("ip", "link", "add", "narrow", "mtu", NARROW, "type", "veth", "peer", "name", "far0", "netns",
                   far.name)
        inside.run("ip", "addr", "add", "192.0.2.1/24", "dev", "narrow")
        inside.run("ip", "link", "set", "narrow", "up")
        inside.run("sysctl", "-q", "-w", "net.ipv4.ip_forward=1")
        far.run("ip", "addr", "add", f"{FAR}/24", "dev", "far0")
        far.run("ip", "link", "set", "far0", "up")
        far.run("ip", "route", "add", "default", "via", "192.0.2.1")
        node.namespace.run("ip", "route", "add", "192.0.2.0/24", "via", node.INTERNET)
        yield far
    finally:
        far.delete()


def refused_after(namespace, address, port):
    """Seconds until a datagram's refusal reaches the socket that sent it."""
    with namespace.socket(socket.SOCK_DGRAM) as sock:
        sock.settimeout(5)
        sock.connect((address, port))
        began = time.monotonic()
        sock.send(b"anybody?")
        try:
            sock.recv(100)
        except ConnectionRefusedError:
            return time.monotonic() - began
        raise AssertionError("somebody answered")


def test_a_closed_port_of_a_backend_is_heard_of_through_its_service():
    with Node(manifests.two_tenants()).start() as node:
        node.attach("red/client", "red/web-1")  # whose stack has no socket on the target port
        assert refused_after(node.pods["red/client"], VIP, 80) < 1
        assert node.counted("error_translated") == 1


def test_a_large_transfer_finds_the_narrow_link_behind_a_floating_ip():
    """The pod sends full segments that may not be cut; only the translated error tells it to send smaller ones."""
    with Node(manifests.two_tenants()).start() as node, far_client(node) as far:
        web = node.attach("red/web-1")[0]
        with in_namespace(web.name):
            server = socket.create_server(("", 8080))
        client = far.socket()
        client.settimeout(20)
        client.connect((PUBLIC, 80))
        with server.accept()[0] as peer, client:
            content = bytes(range(256)) * 4096
            sending = threading.Thread(target=peer.sendall, args=(content,), daemon=True)
            sending.start()
            assert client.makefile("rb").read(len(content)) == content
            sending.join(20)
            assert peer.getsockopt(socket.IPPROTO_IP, IP_MTU) == NARROW
        assert node.counted("error_translated", "from_uplink") >= 1


def hops(namespace, address, port, most=4):
    """Who answers a datagram of each time to live, until the destination does: addresses, as traceroute shows them."""
    found = []
    for ttl in range(1, most + 1):
        with namespace.socket(socket.SOCK_DGRAM) as sock:
            sock.setsockopt(socket.IPPROTO_IP, IP_RECVERR, 1)
            sock.setsockopt(socket.IPPROTO_IP, socket.IP_TTL, ttl)
            sock.connect((address, port))
            sock.send(b"where?")

            def error(sock=sock):
                try:
                    return sock.recvmsg(512, 512, socket.MSG_ERRQUEUE)
                except OSError as problem:
                    assert problem.errno in (errno.EAGAIN, errno.ECONNREFUSED, errno.EHOSTUNREACH), problem
                    return None

            control = wait_until(error, f"an answer to a time to live of {ttl}", 5)[1]
            extended = next(data for level, kind, data in control if (level, kind) == (socket.IPPROTO_IP, IP_RECVERR))
            _, origin, kind, _, _, _, _ = struct.unpack("=IBBBBII", extended[:16])
            assert origin == SO_EE_ORIGIN_ICMP
            found.append(socket.inet_ntoa(extended[20:24]))
            if kind == 3:  # destination unreachable: the end of the way
                return found
    return found


def test_traceroute_sees_the_router_then_the_service():
    with Node(manifests.two_tenants()).start() as node:
        node.attach("red/client", "red/web-1")
        assert hops(node.pods["red/client"], VIP, 80) == [ROUTER, VIP]
        assert node.counted("time_exceeded") == 1


def test_an_unknown_protocol_is_refused_by_the_service_at_once():
    with Node(manifests.two_tenants()).start() as node:
        client = node.attach("red/client")[0]
        with in_namespace(client.name):
            raw = socket.socket(socket.AF_INET, socket.SOCK_RAW, 253)
        with raw:
            raw.settimeout(5)
            raw.connect((VIP, 0))
            raw.send(b"hello")
            error = wait_until(lambda: raw.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR), "the refusal", 5)
            assert error == errno.ENOPROTOOPT, errno.errorcode.get(error)


def test_a_pod_reaches_its_own_networks_floating_ip():
    with Node(manifests.two_tenants()).start() as node:
        traffic.serve(node, "red/web-1", "blue/web-1")
        node.attach("red/client", "blue/client")
        assert traffic.ask_tcp(node.pods["red/client"], PUBLIC, 80)[0] == "red/web-1"
        assert traffic.ask_tcp(node.pods["blue/client"], PUBLIC, 8081)[0] == "blue/web-1"
        # The backend itself, by the address that the whole world uses.
        assert traffic.ask_tcp(node.pods["red/web-1"], PUBLIC, 80)[0] == "red/web-1"
        # Another network's port of the same floating IP lies outside, and there is no way out yet.
        with node.pods["red/client"].socket() as sock:
            sock.settimeout(0.5)
            try:
                sock.connect((PUBLIC, 8081))
            except OSError:
                pass
            else:
                raise AssertionError("a pod reached another network through its floating IP")
        assert node.counted("no_egress") >= 1
