# SPDX-License-Identifier: Apache-2.0
"""Live connections through everything that an operator does, and through a daemon that dies."""

import itertools
import json
import os
import random
import signal
import threading
import time

import manifests
import pytest
import traffic
from sluice_e2e import SLUICED, SLUICED_NEXT, Node, abi_folder, run, wait_until

VIP = "172.16.200.1"
FLOATING = "203.0.113.10"
CONNECTIONS = 200


def manifest(pods, draining=()):
    return manifests.join(
        manifests.network("red"),
        manifests.floating_ip("public", "203.0.113.10"),
        manifests.pod("red/client", address4="172.16.0.10"),
        *(manifests.pod(f"red/{name}", "web", state="draining" if name in draining else None) for name in pods),
        manifests.service("red/web", "web", [manifests.port(80)], address4=VIP, floating_ip="public"),
    )


@pytest.fixture
def node(request):
    """A test may give settings of the daemon as an indirect parameter."""
    with Node(manifest(["web-1", "web-2", "web-3", "web-4"]), getattr(request, "param", None)) as made:
        made.start()
        traffic.serve(made, *(f"red/web-{number}" for number in range(1, 5)))
        made.attach("red/client")
        yield made


@pytest.fixture
def live(node):
    """Half of the connections from a pod, half from the Internet."""
    inside = traffic.LiveConnections(node.pods["red/client"], VIP, 80, CONNECTIONS // 2).start()
    outside = traffic.LiveConnections(node.internet, FLOATING, 80, CONNECTIONS // 2).start()
    yield inside, outside
    inside.stop()
    outside.stop()


def assert_all_alive(live):
    for connections in live:
        assert connections.progressed(), "a connection stands still"
        assert not any(connections.failure), [text for text in connections.failure if text]


def test_backends_come_and_go_and_only_those_of_removed_pods_break(node, live):
    node.apply_and_wait(manifest(["web-1", "web-2", "web-3", "web-4", "web-5", "web-6"]))
    traffic.serve(node, "red/web-5", "red/web-6")
    assert_all_alive(live)
    names = {traffic.ask_tcp(node.pods["red/client"], VIP, 80)[0] for _ in range(120)}
    assert {"red/web-5", "red/web-6"} <= names, "new backends get new connections"

    node.apply_and_wait(manifest([f"web-{n}" for n in range(1, 7)], draining=["web-2"]))
    assert_all_alive(live)
    names = {traffic.ask_tcp(node.pods["red/client"], VIP, 80)[0] for _ in range(60)}
    assert "red/web-2" not in names, "a draining backend gets no new connections"

    node.apply_and_wait(manifest(["web-1", "web-2", "web-4", "web-5", "web-6"], draining=["web-2"]))
    for connections in live:
        connections.progressed(3)
        hit = {connections.backend[i] for i, failure in enumerate(connections.failure) if failure}
        assert hit <= {"red/web-3"}, [text for text in connections.failure if text]
        wait_until(lambda c=connections: all(c.failure[i] for i in range(len(c.backend)) if c.backend[i] == "red/web-3"),
                   "connections to a removed pod end", 30)
        survivors = [i for i in range(len(connections.backend)) if connections.backend[i] != "red/web-3"]
        assert survivors and connections.progressed()
        assert not any(connections.failure[i] for i in survivors)


def test_connections_survive_kills_of_the_daemon_at_any_moment(node, live):
    chance = random.Random(7)
    for turn in range(8):
        node.apply(manifest([f"web-{n}" for n in range(1, 5 + turn % 3)]))
        time.sleep(chance.uniform(0, 0.15))  # the moment is the point of the test, not a wait for an event
        node.kill()
        node.start(wait=turn % 2 == 0)
    node.wait_synced()
    assert_all_alive(live)


def attach_whatever_happens(node, name):
    """Asks again until the daemon, which is killed all the time, has answered."""
    namespace = node.make_namespace(name)
    wait_until(lambda: not node.ctl("pod", "attach", name, "--netns", namespace.path, check=False).returncode,
               f"{name} is attached", 60)
    traffic.start_server(namespace, name)


def remove(node, name, how):
    """Ends a pod in one of the three ways in which pods end, and waits until it is out of rotation."""
    base = manifest([f"web-{n}" for n in range(1, 5)])
    if how == "namespace":
        for pid in run("ip", "netns", "pids", node.pods[name].name).split():
            os.kill(int(pid), signal.SIGKILL)
        node.pods[name].delete()
    elif how == "detach":
        wait_until(lambda: not node.ctl("pod", "detach", name, check=False).returncode, f"{name} is detached", 60)
    else:
        node.apply(base)

    def gone():
        status = node.status(check=False)
        return status and status["synced"] and not any(
            pod["attached"] for pod in status["pods"] if f"red/{pod['name']}" == name)

    wait_until(gone, f"{name} is gone ({how})", 60)
    node.apply(base)


def test_kills_while_attached_backends_come_and_go_break_only_those_of_removed_pods(node, live):
    """A thread adds pods, sends connections to them and removes them; the daemon is killed meanwhile."""
    churned, problems, kills = [], [], 0

    def churn():
        try:
            for turn in itertools.takewhile(lambda turn: turn < 6 or kills < 6, itertools.count()):
                name = f"red/extra-{turn}"
                node.apply(manifest([*(f"web-{n}" for n in range(1, 5)), f"extra-{turn}"]))
                attach_whatever_happens(node, name)
                churned.append(traffic.LiveConnections(node.pods["red/client"], VIP, 80, 30, pause=0.02).start())
                assert churned[-1].progressed(20), "a connection to the present pods stands still"
                assert not any(churned[-1].failure), [text for text in churned[-1].failure if text]
                remove(node, name, ("namespace", "detach", "manifest")[turn % 3])
        except BaseException as error:  # told by the main thread
            problems.append(error)

    churning = threading.Thread(target=churn)
    churning.start()
    chance = random.Random(11)
    while churning.is_alive():
        if chance.random() < 0.7:  # the others hit a daemon that begins, however long that takes here
            wait_until(lambda: node.status(check=False) or not churning.is_alive(), "the daemon answers", 60)
        time.sleep(chance.uniform(0, 1.5))  # the moment is the point of the test, not a wait for an event
        node.kill()
        kills += 1
        node.start(wait=False)
    churning.join()
    if problems:
        raise problems[0]
    node.wait_synced()
    assert_all_alive(live)
    hit = 0
    for connections in churned:
        of_removed = [index for index, name in enumerate(connections.backend) if name.startswith("red/extra-")]
        hit += len(of_removed)
        broken = [text for index, text in enumerate(connections.failure) if text and index not in of_removed]
        assert not broken, broken
        assert any(name.startswith("red/web-") for name in connections.backend)
        connections.stop()
    assert hit > 9, "the pods that came and went had hardly a connection"


def test_a_restart_with_nothing_to_do_writes_nothing(node, live):
    node.kill()
    node.start()
    status = node.status()
    assert status["writes"] == 0, status
    assert_all_alive(live)


def running_tags(node):
    """{record: tag of the program} of what the kernel runs on every pod's device and on the uplink."""
    links = abi_folder(node.pin_root) / "links"
    names = {str(link["ifindex"]): link["ifname"] for link in json.loads(node.namespace.run("ip", "-j", "link"))}
    tags = {}
    for record in os.listdir(links):
        if record.startswith("clsact-"):
            device = names[record.rsplit("-", 1)[1]]
            filters = json.loads(node.namespace.run("tc", "-j", "filter", "show", "dev", device, "ingress"))
            (program,) = {one["options"]["prog"]["id"] for one in filters if "options" in one}
        else:
            program = json.loads(run("bpftool", "-j", "link", "show", "pinned", links / record))["prog_id"]
        tags[record] = json.loads(run("bpftool", "-j", "prog", "show", "id", program))["tag"]
    return tags


def settled(node):
    return not any(record.startswith("clsact-pod") for record in os.listdir(abi_folder(node.pin_root) / "links"))


@pytest.mark.parametrize("node", [{"force_clsact": "false"}, {"force_clsact": "true"}], indirect=True,
                         ids=["links", "filters"])
def test_another_build_takes_over_and_back_without_breaking_a_connection(node, live):
    if node.config["force_clsact"] == "false" and node.status()["tcx"]:
        wait_until(lambda: settled(node), "every pod has its link", 30)
    old = running_tags(node)
    assert len(old) == 6, old  # five pods and the uplink
    for build, how in ((SLUICED_NEXT, signal.SIGKILL), (SLUICED, signal.SIGTERM), (SLUICED_NEXT, signal.SIGTERM)):
        node.kill(how)
        node.sluiced = build
        node.start()
        assert node.status()["writes"] == 0
        tags = running_tags(node)
        assert set(tags) == set(old), "each device keeps its attachment"
        changed = {record for record in old if tags[record] != old[record]}
        assert changed == (set(old) if build == SLUICED_NEXT else set()), (old, tags)
        assert_all_alive(live)
        assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)
        assert traffic.ask_tcp(node.internet, FLOATING, 80)


def test_a_stop_leaves_the_datapath_running(node, live):
    assert node.stop() == 0
    assert_all_alive(live)
    assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)
    assert traffic.ask_tcp(node.internet, FLOATING, 80)


def test_a_deleted_pods_address_serves_a_new_pod_and_old_packets_never_reach_it(node):
    """The same address is given to a new pod while a client still sends into its old connection."""
    first = manifests.join(manifest([]), manifests.pod("red/old", "web", address4="172.16.0.50"))
    second = manifests.join(manifest([]), manifests.pod("red/new", "web", address4="172.16.0.50"))
    node.apply_and_wait(first)
    traffic.serve(node, "red/old")
    old = traffic.LiveConnections(node.pods["red/client"], VIP, 80, 20, pause=0.01).start()
    assert set(old.backend) == {"red/old"}
    secret = b"meant for the old pod only " + traffic.unique_payload()
    channel = node.pods["red/client"].socket()
    channel.connect((VIP, 80))
    channel.recv(100)
    stop = threading.Event()

    def pour():
        while not stop.is_set():
            try:
                channel.send(secret)
            except OSError:
                return

    sender = threading.Thread(target=pour)
    sender.start()
    node.apply_and_wait(second)
    namespace = node.make_namespace("red/new")
    capture = namespace.popen("/usr/bin/python3", "-c",
        "import socket, sys\n"
        "s = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)); s.settimeout(4)\n"
        "print('up', flush=True)\n"
        "try:\n"
        "  while True: sys.stdout.buffer.write(s.recv(65536)); sys.stdout.flush()\n"
        "except TimeoutError: pass", stdout=-1)
    assert capture.stdout.readline() == b"up\n"
    node.ctl("pod", "attach", "red/new", "--netns", namespace.path)
    traffic.start_server(namespace, "red/new")
    assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)[0] == "red/new"
    wait_until(lambda: all(old.failure), "connections to the old pod end", 30)
    stop.set()
    channel.close()
    sender.join()
    old.stop()
    seen = capture.communicate(timeout=30)[0]
    assert b"question" in seen, "the capture saw nothing"
    assert secret not in seen


def test_without_the_daemon_churn_goes_on_past_every_timeout():
    """Three times the longest timeout with the daemon dead: no new connection is refused, old ones live."""
    longest = 4
    timeouts = {name: f"{longest}s" for name in
                ("tcp_half_open", "tcp_established", "tcp_closing", "udp_stream", "udp_new", "icmp")}
    timeouts["tcp_closed"] = timeouts["tcp_reset"] = "1s"
    with Node(manifest(["web-1", "web-2"]), {"timeouts": timeouts, "max_flows": 2048,
                                             "sweep": {"interval": "20ms", "pairs": 2048, "delete_grace": "200ms"}}) as node:
        node.start()
        traffic.serve(node, "red/web-1", "red/web-2")
        node.attach("red/client")
        live = traffic.LiveConnections(node.pods["red/client"], VIP, 80, 20, pause=0.5).start()
        node.kill()
        made = 0
        end = time.monotonic() + 3 * longest + 1
        while time.monotonic() < end:
            traffic.ask_tcp(node.pods["red/client"], VIP, 80, b"x")
            made += 1
            time.sleep(0.002)
        assert made > 1000, made
        assert not any(live.failure) and live.progressed()
        live.stop()
        wait_until(lambda: not node.bpf("flows"), "all flows expire without the daemon", 6 * longest)
