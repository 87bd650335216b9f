# SPDX-License-Identifier: Apache-2.0
"""Pods' namespaces come and go, with the daemon alive and dead; addresses and MACs stay."""

import os
import signal

import manifests
import pytest
import traffic
from sluice_e2e import Namespace, Node, run, wait_until

VIP = "172.16.200.1"


@pytest.fixture
def node():
    with Node(uplink=False) as made:
        made.start()
        made.put(manifests.join(
            manifests.network("red"), manifests.pod("red/client"), manifests.pod("red/web-1", "web"),
            manifests.pod("red/web-2", "web"),
            manifests.service("red/web", "web", [manifests.port(80)], address4=VIP)))
        traffic.serve(made, "red/web-1", "red/web-2")
        made.attach("red/client")
        yield made


def vanish(node, name):
    """The namespace goes with all that is in it, as when a container runtime dies."""
    namespace = node.pods.pop(name)
    for pid in run("ip", "netns", "pids", namespace.name).split():
        os.kill(int(pid), signal.SIGKILL)
    namespace.delete()


def attached(node, name):
    return next(row["attached"] for row in node.status()["pods"] if f"{row['network']}/{row['name']}" == name)


def identity(namespace):
    """(address, MAC) of the pod's interface."""
    words = namespace.run("ip", "-o", "-4", "addr", "show", "eth0").split()
    link = namespace.run("ip", "-o", "link", "show", "eth0").split()
    return words[words.index("inet") + 1], link[link.index("link/ether") + 1]


def devices(node):
    return [line.split()[1] for line in node.namespace.run("ip", "-o", "link").splitlines() if "slc" in line]


def ask(node):
    return traffic.ask_tcp(node.pods["red/client"], VIP, 80)[0]


def test_attaching_again_gives_the_same_answer_and_changes_nothing(node):
    words = ["pod", "attach", "red/web-1", "--netns", node.pods["red/web-1"].path, "-o", "json"]
    first = node.ctl(*words)
    tables = node.tables("ports", "endpoints", "backends")
    live = traffic.LiveConnections(node.pods["red/client"], VIP, 80, 10).start()
    for how in (None, signal.SIGTERM, signal.SIGKILL):
        if how:
            node.kill(how)
            node.start()
        assert node.ctl(*words) == first
        assert node.tables(*tables) == tables
    assert live.progressed() and not any(live.failure), [text for text in live.failure if text]
    live.stop()
    assert len(devices(node)) == 3


@pytest.mark.parametrize("daemon", ["alive", "dead"])
def test_a_vanished_namespace_leaves_rotation_and_its_successor_gets_the_same_address_and_mac(node, daemon):
    before = identity(node.pods["red/web-1"])
    if daemon == "dead":
        node.kill()
    vanish(node, "red/web-1")
    if daemon == "dead":
        node.start()
    wait_until(lambda: not attached(node, "red/web-1"), "the attachment ends")
    assert {ask(node) for _ in range(20)} == {"red/web-2"}
    assert [line["ifindex"] for line in node.bpf("endpoints") if line["address"] == before[0].split("/")[0]] == [None]
    wait_until(lambda: len(devices(node)) == 2, "no device is left behind")
    traffic.serve(node, "red/web-1")
    assert identity(node.pods["red/web-1"]) == before
    assert {ask(node) for _ in range(40)} == {"red/web-1", "red/web-2"}


@pytest.mark.parametrize("daemon", ["alive", "dead"])
def test_a_new_namespace_is_refused_while_the_first_lives_and_taken_as_soon_as_it_has_gone(node, daemon):
    before = identity(node.pods["red/web-1"])
    second = Namespace(f"{node.unique}second")
    words = ["pod", "attach", "red/web-1", "--netns", second.path]
    try:
        done = node.ctl(*words, check=False)
        assert done.returncode == 7 and "red/web-1" in done.stderr, done
        assert "eth0" not in second.run("ip", "-o", "link")
        if daemon == "dead":
            node.kill()
            assert node.ctl(*words, check=False).returncode == 3
        vanish(node, "red/web-1")
        if daemon == "dead":
            node.start()
        # The kernel takes a namespace apart after its last name has gone, some time later: until then the pod lives.
        wait_until(lambda: node.ctl(*words, check=False).returncode == 0, "the new namespace is taken")
        assert identity(second) == before
        traffic.start_server(second, "red/web-1")
        assert {ask(node) for _ in range(40)} == {"red/web-1", "red/web-2"}
    finally:
        for pid in run("ip", "netns", "pids", second.name, check=False).stdout.split():
            os.kill(int(pid), signal.SIGKILL)
        second.delete()


def test_a_detached_pod_keeps_its_address_and_mac_for_the_next_namespace(node):
    before = identity(node.pods["red/web-1"])
    for _ in range(2):  # detaching what is not attached is no error
        node.ctl("pod", "detach", "red/web-1")
    assert "eth0" not in node.pods["red/web-1"].run("ip", "-o", "link")
    assert {ask(node) for _ in range(20)} == {"red/web-2"}
    node.put(manifests.join(*(manifests.pod(f"red/other-{n}") for n in range(20))))
    assert before[0].split("/")[0] not in [node.address(f"red/other-{n}") for n in range(20)]
    node.restart()
    vanish(node, "red/web-1")
    traffic.serve(node, "red/web-1")
    assert identity(node.pods["red/web-1"]) == before
    assert {ask(node) for _ in range(40)} == {"red/web-1", "red/web-2"}


def usable_flows(node):
    """Pairs that packets can still use."""
    return [pair for pair in node.bpf("flows") if not pair["forward"]["ended"] and not pair["reverse"]["ended"]]


def test_a_running_namespace_joins_leaves_and_moves_to_another_network(node):
    node.put(manifests.join(
        manifests.network("blue"), manifests.pod("blue/client"), manifests.pod("blue/web-1", "web"),
        manifests.service("blue/web", "web", [manifests.port(80)], address4=VIP)))
    traffic.serve(node, "blue/web-1")
    moving = node.pods["red/client"]
    old = traffic.LiveConnections(moving, VIP, 80, 5).start()
    assert old.progressed() and len(usable_flows(node)) == 5
    node.ctl("pod", "detach", "red/client")
    assert usable_flows(node) == [], "they end with the attachment, not with the sweep"
    node.ctl("pod", "attach", "blue/client", "--netns", moving.path)
    assert {traffic.ask_tcp(moving, VIP, 80)[0] for _ in range(10)} == {"blue/web-1"}
    wait_until(lambda: not old.alive(), "in the new network nobody knows them: they are refused", 30)
    assert all("reset" in failure.lower() for failure in old.failure), old.failure
    old.stop()
    node.ctl("pod", "detach", "blue/client")
    assert "eth0" not in moving.run("ip", "-o", "link")
    node.ctl("pod", "attach", "red/client", "--netns", moving.path)
    assert ask(node).startswith("red/")


def test_after_a_reboot_the_store_is_there_and_pods_get_their_addresses_again(node):
    """What a reboot leaves: the state folder. Pins, namespaces and devices are gone."""
    before = {name: identity(node.pods[name]) for name in ("red/web-1", "red/web-2", "red/client")}
    declared = node.get("all")
    node.kill()
    for name in before:
        vanish(node, name)
    wait_until(lambda: not devices(node), "the devices go with their namespaces")
    run("rm", "-rf", node.pin_root)
    node.start()
    assert node.get("all") == declared and not any(attached(node, name) for name in before)
    traffic.serve(node, "red/web-1", "red/web-2")
    node.attach("red/client")
    assert {name: identity(node.pods[name]) for name in before} == before
    assert {ask(node) for _ in range(40)} == {"red/web-1", "red/web-2"}


def test_a_deleted_pod_loses_its_interface_and_a_new_one_of_the_name_begins_anew(node):
    live = traffic.LiveConnections(node.pods["red/client"], VIP, 80, 20, pause=0.02).start()
    node.ctl("delete", "pod", "red/web-1", "--wait")
    wait_until(lambda: "eth0" not in node.pods["red/web-1"].run("ip", "-o", "link"), "the interface goes")
    assert {ask(node) for _ in range(20)} == {"red/web-2"}
    wait_until(lambda: all(live.failure[i] for i, name in enumerate(live.backend) if name == "red/web-1"),
               "its connections end", 30)
    assert not any(live.failure[i] for i, name in enumerate(live.backend) if name == "red/web-2")
    live.stop()
    done = node.ctl("pod", "attach", "red/web-1", "--netns", node.pods["red/web-1"].path, check=False)
    assert done.returncode == 1 and "red/web-1" in done.stderr, done
    node.put(manifests.join(manifests.pod("red/web-1", "web")))
    node.ctl("pod", "attach", "red/web-1", "--netns", node.pods["red/web-1"].path)
    assert {ask(node) for _ in range(40)} == {"red/web-1", "red/web-2"}
