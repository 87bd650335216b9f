# SPDX-License-Identifier: Apache-2.0
"""Drain: live flows go on until they end or until the deadline, new ones go elsewhere, through a service and a floating
IP; and a detach that waits for them."""

import contextlib
import errno
import json
import os
import signal
import socket
import time

import manifests
import pytest
import traffic
from sluice_e2e import Node, socket_in, wait_until

VIP = "172.16.200.1"
FLOATING = "203.0.113.10"
WEB = ("red/web-1", "red/web-2")


@pytest.fixture
def node():
    """Two backends behind a service and a floating IP. Their network has no way out: nothing else carries a reset."""
    with Node() as made:
        made.start()
        made.put(manifests.join(
            manifests.network("red"),
            manifests.floating_ip("public", FLOATING),
            manifests.pod("red/client"),
            *(manifests.pod(name, "web") for name in WEB),
            manifests.service("red/web", "web", [manifests.port(80), manifests.port(80, protocol="UDP")], address4=VIP,
                              floating_ip="public")))
        traffic.serve(made, *WEB)
        made.attach("red/client")
        yield made


def places(node):
    """From where, and to what address, the service is asked."""
    return [(node.pods["red/client"], VIP), (node.internet, FLOATING)]


class Connection:
    """One TCP connection to the service; `pod` is who answers it."""

    def __init__(self, namespace, address):
        self.socket = socket_in(namespace.name)
        self.socket.connect((address, 80))
        self.pod = self.read_line().split()[0]

    def read_line(self):
        line = b""
        while not line.endswith(b"\n"):
            part = self.socket.recv(1)
            assert part, "the connection was closed"
            line += part
        return line.decode()

    def works(self):
        """Sends a line and reads it back; raises what the socket raises."""
        self.socket.send(b"a line\n")
        return self.read_line() == "a line\n"

    def is_reset(self):
        """True if a reset answers what is sent, False if it is echoed."""
        try:
            return not self.works()
        except OSError as error:
            assert error.errno in (errno.ECONNRESET, errno.EPIPE), error
            return True


def connections_to(pod, node):
    """From each place one connection to this very pod."""
    found = []
    for namespace, address in places(node):
        for _ in range(64):
            made = Connection(namespace, address)
            if made.pod == pod:
                found.append(made)
                break
            made.socket.close()
        else:
            raise AssertionError(f"no connection came to {pod}")
    return found


def assert_new_ones_go_to(pod, node):
    for namespace, address in places(node):
        assert {traffic.ask_tcp(namespace, address, 80)[0] for _ in range(8)} == {pod}


def state_of(node, pod):
    network, name = pod.split("/")
    return next(row for row in node.status()["pods"] if (row["network"], row["name"]) == (network, name))


def described(node, pod):
    return json.loads(node.ctl("describe", "pod", pod, "-o", "json"))


def test_connections_go_on_during_the_grace_and_are_reset_at_its_end(node):
    old = connections_to("red/web-1", node)
    others = connections_to("red/web-2", node)
    node.ctl("pod", "drain", "red/web-1", "--grace", "3", "--wait")
    begin = time.monotonic()
    assert state_of(node, "red/web-1")["state"] == "draining"
    assert "draining until" in node.ctl("get", "pods", "-n", "red")
    assert described(node, "red/web-1")["flows_left"] == 2
    while time.monotonic() < begin + 2:
        assert all(connection.works() for connection in old)
        assert_new_ones_go_to("red/web-2", node)
    wait_until(lambda: state_of(node, "red/web-1")["state"] == "drained", "the deadline ends the drain", 5)
    assert 2 < time.monotonic() - begin < 4
    assert all(connection.is_reset() for connection in old)
    assert all(connection.works() for connection in others), "the other backend's go on"
    assert_new_ones_go_to("red/web-2", node)
    # The pod keeps its address and its traffic inside of the network.
    assert traffic.ask_tcp(node.pods["red/client"], node.address("red/web-1"), 8080)[0] == "red/web-1"
    node.ctl("pod", "undrain", "red/web-1", "--wait")
    connections_to("red/web-1", node)


def test_the_pod_hears_of_the_end_too(node):
    """What it sends after the deadline is answered with a reset, also where its network has no way out."""
    old = connections_to("red/web-1", node)
    pod = node.pods["red/web-1"]
    sockets = lambda: pod.run("ss", "-Htan", "state", "connected", "sport", "=", ":8080").splitlines()
    assert len(sockets()) >= 2
    node.ctl("pod", "drain", "red/web-1", "--grace", "200ms", "--wait")
    wait_until(lambda: state_of(node, "red/web-1")["state"] == "drained", "the deadline ends the drain", 5)
    # The server speaks only when it is asked; when it ends, its kernel closes every connection.
    for pid in pod.run("ip", "netns", "pids", pod.name).split():
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(pid), signal.SIGTERM)
    wait_until(lambda: not sockets(), "nothing is retransmitted: a reset has answered every FIN", 10)
    assert all(connection.is_reset() for connection in old)


def test_datagrams_move_at_the_deadline_and_not_before(node):
    channels = []
    for namespace, address in places(node):
        for _ in range(64):
            channel = socket_in(namespace.name, kind=socket.SOCK_DGRAM)
            channel.settimeout(3)
            channel.connect((address, 80))
            channel.send(b"x")
            if channel.recv(100).split()[0] == b"red/web-1":
                channels.append(channel)
                break
            channel.close()
    assert len(channels) == 2

    def answering(channel):
        channel.send(b"x")
        return channel.recv(100).split()[0].decode()

    node.ctl("pod", "drain", "red/web-1", "--grace", "2s", "--wait")
    assert [answering(channel) for channel in channels] == ["red/web-1"] * 2
    wait_until(lambda: state_of(node, "red/web-1")["state"] == "drained", "the deadline ends the drain", 5)
    assert [answering(channel) for channel in channels] == ["red/web-2"] * 2


def test_undrain_and_another_drain_replace_the_deadline(node):
    old = connections_to("red/web-1", node)
    node.ctl("pod", "drain", "red/web-1", "--grace", "1s", "--wait")
    node.ctl("pod", "undrain", "red/web-1", "--wait")
    time.sleep(1.5)
    assert all(connection.works() for connection in old), "the drain was called off"
    node.ctl("pod", "drain", "red/web-1", "--grace", "1s", "--wait")
    node.ctl("pod", "drain", "red/web-1", "--grace", "3s", "--wait")
    time.sleep(1.5)
    assert all(connection.works() for connection in old), "the later deadline counts"
    node.ctl("pod", "drain", "red/web-1", "--wait")
    time.sleep(2)
    assert all(connection.works() for connection in old), "no deadline"
    assert_new_ones_go_to("red/web-2", node)


def test_the_deadline_outlives_a_killed_daemon(node):
    old = connections_to("red/web-1", node)
    node.ctl("pod", "drain", "red/web-1", "--grace", "12s", "--wait")
    node.restart()
    assert all(connection.works() for connection in old)
    assert state_of(node, "red/web-1")["state"] == "draining"
    wait_until(lambda: state_of(node, "red/web-1")["state"] == "drained", "the deadline ends the drain", 15)
    assert all(connection.is_reset() for connection in old)


def test_a_deadline_that_passes_without_a_daemon_is_made_up_for_once(node):
    old = connections_to("red/web-1", node)
    node.ctl("pod", "drain", "red/web-1", "--grace", "1s", "--wait")
    node.kill()
    time.sleep(1.5)
    assert all(connection.works() for connection in old), "nobody was there to end them"
    node.start()
    wait_until(lambda: state_of(node, "red/web-1")["state"] == "drained", "the start makes up for it", 5)
    assert all(connection.is_reset() for connection in old)
    # What the pod opens itself afterwards is no business of the drain's, whatever becomes of the daemon.
    ours = Connection(node.pods["red/web-1"], VIP)
    node.restart()
    assert state_of(node, "red/web-1")["state"] == "drained"
    assert ours.works()


def test_detach_with_a_grace_ends_with_the_last_flow(node):
    old = connections_to("red/web-1", node)
    told = node.ctl("pod", "detach", "red/web-1", "--grace", "60s")
    assert "no flows left" in told
    assert state_of(node, "red/web-1")["state"] == "detaching"
    assert_new_ones_go_to("red/web-2", node)
    old[0].works()
    old[0].socket.close()
    time.sleep(0.7)
    assert old[1].works()
    assert state_of(node, "red/web-1")["attached"], "a flow is left"
    node.restart()
    assert state_of(node, "red/web-1")["state"] == "detaching"
    assert old[1].works()
    assert_new_ones_go_to("red/web-2", node)
    old[1].socket.close()
    wait_until(lambda: not state_of(node, "red/web-1")["attached"], "it is detached without waiting for the minute", 5)
    assert not node.pods["red/web-1"].run("ip", "link", "show", "eth0", check=False).stdout


def test_detach_with_a_grace_ends_at_the_deadline_at_the_latest(node):
    old = connections_to("red/web-1", node)
    node.ctl("pod", "detach", "red/web-1", "--grace", "12s")
    node.restart()
    assert all(connection.works() for connection in old)
    wait_until(lambda: not state_of(node, "red/web-1")["attached"], "it is detached", 15)
    assert all(connection.is_reset() for connection in old)
    node.ctl("pod", "attach", "red/web-1", "--netns", node.pods["red/web-1"].path)
    assert state_of(node, "red/web-1")["state"] == "running"


def test_an_attach_of_the_same_namespace_calls_the_detach_off(node):
    old = connections_to("red/web-1", node)
    node.ctl("pod", "detach", "red/web-1", "--grace", "1s")
    elsewhere = node.make_namespace("red/elsewhere")
    refused = node.ctl("pod", "attach", "red/web-1", "--netns", elsewhere.path, check=False)
    assert refused.returncode == 7 and "detach" in refused.stderr
    node.ctl("pod", "attach", "red/web-1", "--netns", node.pods["red/web-1"].path)
    assert state_of(node, "red/web-1")["state"] == "running"
    time.sleep(1.5)
    assert all(connection.works() for connection in old)
    connections_to("red/web-1", node)


def test_a_grace_that_makes_no_sense_is_refused_with_a_remedy(node):
    for command in ("drain", "detach"):
        for grace in ("-1", "0", "25h", "soon", "1.5s", "99999999999999999999"):
            refused = node.ctl("pod", command, "red/web-1", f"--grace={grace}", check=False)
            assert refused.returncode == 2, (command, grace, refused)
            assert "--grace" in refused.stderr and "24h" in refused.stderr, refused.stderr
    assert state_of(node, "red/web-1")["state"] == "running"
    unknown = node.ctl("pod", "detach", "red/nobody", "--grace", "1s", check=False)
    assert unknown.returncode == 1 and "not declared" in unknown.stderr
    # A pod that is not attached has no flows to wait for, and one that is deleted takes its drain with it.
    node.put(manifests.pod("red/idle", "web"))
    node.ctl("pod", "drain", "red/idle", "--grace", "1s", "--wait")
    assert node.ctl("pod", "detach", "red/idle", "--grace", "1h") == ""
    node.ctl("pod", "drain", "red/web-1", "--grace", "1s", "--wait")
    node.ctl("delete", "pod", "red/web-1", "red/idle")
    time.sleep(1.5)
    assert node.status()["synced"]
    assert_new_ones_go_to("red/web-2", node)
