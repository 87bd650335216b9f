# SPDX-License-Identifier: Apache-2.0
"""Watches: nothing is missed over restarts and kills, and who does not read holds up nobody."""

import contextlib
import json
import signal
import subprocess

import manifests
import pytest
from sluice_e2e import SLUICECTL, Node, wait_until


@pytest.fixture
def node():
    with Node(uplink=False) as made:
        made.start()
        made.put(manifests.join(manifests.network("red")))
        yield made


class Watch:
    """`sluicectl watch -o json` with its output in a file."""

    count = 0

    def __init__(self, node, *words):
        Watch.count += 1
        self.path = node.folder / f"watch{Watch.count}"
        self.errors = node.folder / f"watch{Watch.count}.errors"
        self.file = open(self.path, "wb")
        self.process = subprocess.Popen([SLUICECTL, "--socket", node.config["socket"], "watch", "-o", "json",
                                         *map(str, words)],
                                        stdout=self.file, stderr=self.errors.open("wb"))

    def events(self):
        text = self.path.read_text()
        return [json.loads(line) for line in text[:text.rfind("\n") + 1].splitlines()]

    def saw(self, name):
        """Cheap: has the name been written?"""
        return f'"{name}"' in self.path.read_text()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.file.close()


@contextlib.contextmanager
def watching(node, *words, count=1):
    watches = [Watch(node, *words) for _ in range(count)]
    try:
        yield watches
    finally:
        for watch in watches:
            watch.close()


def one_pod(name, **labels):
    return manifests.join(manifests.document("Pod", network="red", name=name, labels=labels))


def test_a_watch_goes_on_without_a_gap_over_a_restart_and_a_kill(node):
    node.put(one_pod("marker"))
    revision = node.status()["store"]["revision"]
    with watching(node, "pods") as (watch,), watching(node, "--after", revision) as (late,):
        # What is made before the watch has begun is not news to it.
        wait_until(lambda: watch.saw("marker"), "the watch begins")
        node.put(one_pod("first"))
        wait_until(lambda: watch.saw("first") and late.saw("first"), "both watch")
        expected = [("CREATED", "first")]
        for turn, how in enumerate((signal.SIGTERM, signal.SIGKILL, signal.SIGKILL, signal.SIGTERM)):
            node.put(one_pod(f"before-{turn}"))
            node.kill(how)
            node.start()
            # These are stored before the watches are back, or after: both must come.
            node.put(one_pod(f"after-{turn}"))
            node.put(one_pod("first", turn=str(turn)))
            node.ctl("delete", "pod", f"red/before-{turn}")
            expected += [("CREATED", f"before-{turn}"), ("CREATED", f"after-{turn}"), ("CHANGED", "first"),
                         ("DELETED", f"before-{turn}")]
        for one in (watch, late):
            def news(one=one):
                return [event for event in one.events() if event["resource"]["name"] != "marker"]
            wait_until(lambda: len(news()) >= len(expected),
                       lambda one=one: f"every event comes: {one.errors.read_text()} {one.events()}", 20)
            events = news()
            assert [(event["type"], event["resource"]["name"]) for event in events] == expected
            revisions = [event["revision"] for event in events]
            assert revisions == list(range(revisions[0], revisions[0] + len(expected))), "a revision is missing"


def test_a_watch_notices_a_restored_backup_though_the_store_has_passed_its_revision_again(node):
    state, backup = node.folder / "state", node.folder / "backup.db"
    node.put(one_pod("kept"))
    node.ctl("store", "backup", backup, "--state-dir", state)
    node.put(one_pod("lost"))
    with watching(node, "pods") as (watch,):
        wait_until(lambda: watch.saw("lost"), "the watch has seen everything")
        seen = node.status()["store"]["revision"]
        watch.process.send_signal(signal.SIGSTOP)  # so that it comes back late
        assert node.stop() == 0
        node.ctl("store", "restore", backup, "--state-dir", state, "--yes")
        node.start(wait=False)
        wait_until(lambda: node.status(check=False), "the daemon answers")
        node.ctl("store", "adopt")
        for number in range(3):
            node.put(one_pod(f"new-{number}"))
        assert node.status()["store"]["revision"] > seen, "nothing is tested: the number alone would tell"
        watch.process.send_signal(signal.SIGCONT)
        expected = [("PRESENT", "kept"), ("PRESENT", "lost"), ("CREATED", "new-0"), ("CREATED", "new-1"),
                    ("CREATED", "new-2"), ("DELETED", "lost")]
        wait_until(lambda: len(watch.events()) >= len(expected),
                   lambda: f"it lists again: {watch.errors.read_text()} {watch.events()}")
        events = [(event["type"], event["resource"]["name"]) for event in watch.events()]
        assert sorted(events) == sorted(expected)
        assert "restored" in watch.errors.read_text()
        node.put(one_pod("next"))
        wait_until(lambda: watch.saw("next"), "and it goes on")


def test_a_new_watch_begins_with_what_there_is_and_filters(node):
    node.put(manifests.join(manifests.network("blue"), manifests.pod("blue/b"), manifests.pod("red/a")))
    with watching(node, "-n", "red") as (red,), watching(node, "networks") as (networks,), watching(node) as (all_,):
        wait_until(lambda: [len(one.events()) for one in (red, networks, all_)] == [2, 2, 4], "all there is")
        node.put(manifests.join(manifests.pod("blue/c"), manifests.pod("red/c"), manifests.network("green")))
        wait_until(lambda: len(all_.events()) == 7, "all that follows")
        wait_until(lambda: red.saw("c") and networks.saw("green"), "the others have theirs")
        seen = [(event["type"], event["resource"]["name"]) for event in red.events()]
        assert sorted(seen[:2]) == [("PRESENT", "a"), ("PRESENT", "red")] and seen[2:] == [("CREATED", "c")]
        seen = [(event["type"], event["resource"]["name"]) for event in networks.events()]
        assert sorted(seen[:2]) == [("PRESENT", "blue"), ("PRESENT", "red")] and seen[2:] == [("CREATED", "green")]


def test_ten_watchers_that_do_not_read_hold_up_none_of_the_other_ninety(node):
    sets, size = 10, 100
    padding = {f"padding-{n}": "x" * 60 for n in range(6)}  # more than sockets and windows hold, many times
    with watching(node, "pods", count=100) as watches:
        node.put(one_pod("begin"))
        wait_until(lambda: all(watch.saw("begin") for watch in watches), lambda: "all of them watch: " + str(
            [(watch.process.poll(), watch.errors.read_text()) for watch in watches if not watch.saw("begin")]), 60)
        stopped, reading = watches[:10], watches[10:]
        for watch in stopped:
            watch.process.send_signal(signal.SIGSTOP)
        for number in range(sets):
            node.put(manifests.join(*(manifests.document("Pod", network="red", name=f"p{number}-{index}", labels=padding)
                                      for index in range(size))))
        node.put(one_pod("last"))
        wait_until(lambda: all(watch.saw("last") for watch in reading), "who reads has everything", 60)
        node.put(one_pod("prompt"))
        wait_until(lambda: all(watch.saw("prompt") for watch in reading), "a single event comes at once", 10)
        assert not any(watch.saw("last") for watch in stopped), "a stopped one has read: nothing was tested"
        for watch in stopped:
            watch.process.send_signal(signal.SIGCONT)
        wait_until(lambda: all(watch.saw("prompt") for watch in stopped), "the stopped ones catch up", 60)
        names = ["begin", *(f"p{number}-{index}" for number in range(sets) for index in range(size)), "last", "prompt"]
        for watch in watches:
            events = watch.events()
            assert sorted(event["resource"]["name"] for event in events) == sorted(names)
            revisions = [event["revision"] for event in events]
            assert revisions == sorted(revisions)
