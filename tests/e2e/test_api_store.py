# SPDX-License-Identifier: Apache-2.0
"""The store in trouble: the error says what and where, the datapath does not notice."""

import os
import shutil
import sqlite3

import manifests
import pytest
import traffic
from sluice_e2e import Namespace, Node, run, wait_until

VIP = "172.16.200.1"
FILES = ("store.db", "store.db-wal", "store.db-shm", "store.db-newest")


def base():
    return manifests.join(
        manifests.network("red"), manifests.pod("red/client"), manifests.pod("red/web-1", "web"),
        manifests.service("red/web", "web", [manifests.port(80)], address4=VIP))


def fill(node):
    node.start()
    node.put(base())
    traffic.serve(node, "red/web-1")
    node.attach("red/client")


@pytest.fixture
def node():
    with Node(uplink=False) as made:
        fill(made)
        yield made


@pytest.fixture
def live(node):
    connections = traffic.LiveConnections(node.pods["red/client"], VIP, 80, 20).start()
    yield connections
    connections.stop()


def tables(node):
    return node.tables("ports", "endpoints", "frontends", "backends")


def assert_traffic(node, live):
    assert live.progressed() and not any(live.failure), [text for text in live.failure if text]
    assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)[0] == "red/web-1"


def refused_start(node):
    """Starts a daemon that is expected to end by itself; its message."""
    done = node.namespace.run(node.sluiced, "--config", node.write_config(), check=False, timeout=60)
    assert done.returncode not in (0, -6, -11), done
    return done.stderr


def test_a_full_disk_refuses_writes_touches_no_packet_and_recovers_with_room():
    with Node(uplink=False) as node:
        state = node.folder / "state"
        state.mkdir(mode=0o700)
        run("mount", "-t", "tmpfs", "-o", "size=2m,mode=0700", "tmpfs", state)
        try:
            fill(node)
            live = traffic.LiveConnections(node.pods["red/client"], VIP, 80, 20).start()
            with open(state / "filler", "wb", buffering=0) as filler:
                with pytest.raises(OSError):
                    while True:
                        filler.write(b"x" * 4096)
            before = tables(node), node.get("all")
            padding = {f"padding-{n}": "x" * 60 for n in range(20)}
            big = manifests.join(*(manifests.document("Pod", network="red", name=f"p{n}", labels=padding)
                                   for n in range(200)))
            for _ in range(3):
                done = node.put(big, check=False)
                assert done.returncode == 7 and "full" in done.stderr, done
            namespace = Namespace(f"{node.unique}full")
            try:
                attached = node.ctl("pod", "attach", "red/web-1", "--netns", namespace.path, check=False)
                assert attached.returncode == 7 and "eth0" not in namespace.run("ip", "-o", "link")
            finally:
                namespace.delete()
            assert (tables(node), node.get("all")) == before
            assert_traffic(node, live)
            (state / "filler").unlink()
            node.put(big)
            assert len(node.get("pods")) == 202
            node.restart()
            assert len(node.get("pods")) == 202 and node.status()["writes"] == 0
            assert_traffic(node, live)
            live.stop()
        finally:
            if node.process and node.process.poll() is None:
                node.kill()
            run("umount", state)


def spoil(path):
    """Other bytes at the end of each page but the first, where its rows begin."""
    content = bytearray(path.read_bytes())
    for page in range(4096, len(content), 4096):
        content[page + 4046:page + 4096] = b"spoil" * 10
    path.write_bytes(content)


DAMAGES = {
    "not a database": lambda state: (state / "store.db").write_bytes(b"no database at all" * 1000),
    "spoilt pages": lambda state: spoil(state / "store.db"),
    "cut off": lambda state: os.truncate(state / "store.db", 4096),
    "empty": lambda state: os.truncate(state / "store.db", 0),
    "gone": lambda state: (state / "store.db").unlink(),
}


@pytest.mark.parametrize("how", DAMAGES, ids=[name.replace(" ", "-") for name in DAMAGES])
def test_a_damaged_store_is_named_at_the_start_and_the_maps_stay(node, live, how):
    state = node.folder / "state"
    assert node.stop() == 0
    before = tables(node)
    shutil.copytree(state, node.folder / "good")
    DAMAGES[how](state)
    message = refused_start(node)
    assert str(state / "store.db") in message and "restore" in message, message
    assert tables(node) == before
    assert_traffic(node, live)
    shutil.rmtree(state)
    shutil.copytree(node.folder / "good", state)
    node.start()
    assert node.status()["writes"] == 0
    assert_traffic(node, live)


def test_a_store_of_a_newer_version_is_refused_and_not_touched(node, live):
    state = node.folder / "state"
    assert node.stop() == 0
    before = tables(node)
    with sqlite3.connect(state / "store.db") as database:
        database.execute("PRAGMA user_version = 4711")
    database.close()
    content = (state / "store.db").read_bytes()
    message = refused_start(node)
    assert "4711" in message and str(state / "store.db") in message and "newer" in message, message
    assert (state / "store.db").read_bytes() == content
    assert tables(node) == before
    assert_traffic(node, live)


def held(node):
    """The daemon runs with a store that may be wrong: it says so, and nothing changes."""
    status = node.status()
    assert not status["synced"] and "store adopt" in status["last_error"], status["last_error"]
    assert "store adopt" in status["store"]["refuses_writes"]
    done = node.put(manifests.join(manifests.pod("red/new")), check=False)
    assert done.returncode == 7 and "store adopt" in done.stderr, done
    namespace = Namespace(f"{node.unique}held")
    try:
        done = node.ctl("pod", "attach", "red/client", "--netns", namespace.path, check=False)
        assert done.returncode == 7, done
    finally:
        namespace.delete()


def test_with_a_store_that_is_behind_the_maps_nothing_is_written_until_it_is_adopted(node, live):
    """All of an older state folder is put back: the pods since then would lose their traffic."""
    state = node.folder / "state"
    assert node.stop() == 0
    shutil.copytree(state, node.folder / "old", ignore=shutil.ignore_patterns("state.db*", "lock"))
    node.start()
    node.put(manifests.join(manifests.pod("red/web-2", "web")))
    traffic.serve(node, "red/web-2")
    assert node.stop() == 0
    before = tables(node)
    for name in FILES:
        (state / name).unlink(missing_ok=True)
        if (node.folder / "old" / name).exists():
            shutil.copy(node.folder / "old" / name, state / name)
    node.start(wait=False)
    wait_until(lambda: node.status(check=False), "the daemon answers")
    held(node)
    assert tables(node) == before
    assert_traffic_of(node, {"red/web-1", "red/web-2"})
    node.ctl("store", "adopt")
    node.wait_synced()
    assert not node.status()["store"]["refuses_writes"]
    assert_traffic_of(node, {"red/web-1"})
    assert_traffic(node, live)
    node.put(manifests.join(manifests.pod("red/web-3", "web")))


def test_a_restored_backup_is_held_until_it_is_adopted_also_over_a_restart(node, live):
    backup = node.folder / "backup.db"
    node.ctl("store", "backup", backup, "--state-dir", node.folder / "state")
    node.put(manifests.join(manifests.pod("red/web-2", "web")))
    traffic.serve(node, "red/web-2")
    before = tables(node)
    assert node.stop() == 0
    node.ctl("store", "restore", backup, "--state-dir", node.folder / "state", "--yes")
    for _ in range(2):
        node.start(wait=False)
        wait_until(lambda: node.status(check=False), "the daemon answers")
        held(node)
        assert tables(node) == before
        assert_traffic_of(node, {"red/web-1", "red/web-2"})
        node.kill()
    node.start(wait=False)
    wait_until(lambda: node.status(check=False), "the daemon answers")
    node.ctl("store", "adopt")
    node.wait_synced()
    assert {pod["name"] for pod in node.get("pods")} == {"client", "web-1"}
    assert_traffic_of(node, {"red/web-1"})
    assert_traffic(node, live)
    node.restart()
    assert not node.status()["store"]["refuses_writes"]


def assert_traffic_of(node, pods):
    got = {traffic.ask_tcp(node.pods["red/client"], VIP, 80)[0] for _ in range(40)}
    assert got == pods, got
