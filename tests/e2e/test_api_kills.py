# SPDX-License-Identifier: Apache-2.0
"""kill -9 at random points of a stream of writes. SLUICE_E2E_KILLS sets how many (default 40)."""

import json
import os
import random
import threading
import time

import manifests
import traffic
from sluice_e2e import Node, wait_until
from test_api_watch import watching

VIP = "172.16.200.1"
KILLS = int(os.environ.get("SLUICE_E2E_KILLS", "40"))
SET = 3  # pods in one transaction


class Writer(threading.Thread):
    """Makes sets of pods, changes and deletes them, each as one transaction, and remembers what was acknowledged."""

    def __init__(self, node, name):
        super().__init__(daemon=True)
        self.node, self.prefix = node, name
        self.chance = random.Random(name)
        self.state = {}      # set -> label of its pods, or None: deleted; as acknowledged
        self.doubtful = {}   # set -> (before, after): the answer did not come
        self.acknowledged = 0
        self.made = 0
        self.problem = None
        self.stopping = threading.Event()

    def run(self):
        try:
            while not self.stopping.is_set():
                self.write()
        except BaseException as error:  # told by the main thread
            self.problem = error

    def write(self):
        there = [name for name, label in self.state.items() if label is not None and name not in self.doubtful]
        if len(there) < 8 or self.chance.random() < 0.5:
            self.made += 1
            self.attempt(f"{self.prefix}-{self.made}", "0")
        elif self.chance.random() < 0.5:
            name = self.chance.choice(there)
            self.attempt(name, str(int(self.state[name]) + 1))
        else:
            self.attempt(self.chance.choice(there), None)

    def attempt(self, name, label):
        before = self.state.get(name)
        pods = [f"{name}-{index}" for index in range(SET)]
        if label is None:
            done = self.node.ctl("delete", "pod", "-n", "red", *pods, check=False)
        else:
            done = self.node.put(manifests.join(*(
                manifests.document("Pod", network="red", name=pod, labels={"turn": label}) for pod in pods)), check=False)
        if done.returncode == 0:
            self.state[name] = label
            self.acknowledged += 1
        else:
            assert done.returncode in (3, 6), done  # unreachable, or gone in the middle
            self.doubtful[name] = (before, label)
            wait_until(lambda: self.stopping.is_set() or self.node.status(check=False), "the daemon answers", 60)

    def check(self, pods):
        """Against {pod: label} of this writer."""
        sets = {}
        for pod, label in pods.items():
            sets.setdefault(pod.rpartition("-")[0], []).append(label)
        for name in set(self.state) | set(self.doubtful) | set(sets):
            labels = sets.get(name, [])
            assert len(labels) in (0, SET) and len(set(labels)) <= 1, f"half of {name} was applied: {labels}"
            present = labels[0] if labels else None
            allowed = self.doubtful.get(name, (self.state.get(name),))
            assert present in allowed, f"{name}: {present} is there, acknowledged or tried was {allowed}"


def pods_of(node, prefix):
    return {pod["name"]: pod for pod in node.get("pods", "-n", "red") if pod["name"].startswith(f"{prefix}-")}


def kill_at_random_points(node, writers, live):
    chance = random.Random(3)
    addresses = {}  # pod -> address: for life
    for _ in range(KILLS):
        # Two of three hit a daemon that takes writes, the others one that begins.
        if chance.random() < 0.66:
            before = sum(writer.acknowledged for writer in writers)
            wait_until(lambda: sum(writer.acknowledged for writer in writers) > before or
                       any(writer.problem for writer in writers), "a write is acknowledged", 60)
        time.sleep(chance.uniform(0, 0.25))  # the moment is the point of the test, not a wait for an event
        node.kill()
        node.start(wait=False)
        for writer in writers:
            if writer.problem:
                raise writer.problem
        if chance.random() < 0.2:
            status = node.wait_synced(60)
            rows = {row["name"]: row["address"] for row in status["pods"]}
            assert len(set(rows.values())) == len(rows), "an address was handed out twice"
            moved = [name for name in rows.keys() & addresses.keys() if rows[name] != addresses[name]]
            assert not moved, "a pod's address has changed"
            addresses |= rows
            assert not any(live.failure), [text for text in live.failure if text]


def test_every_acknowledged_write_is_there_and_no_set_is_half_applied():
    with Node(uplink=False) as node:
        node.start()
        node.put(manifests.join(
            manifests.network("red"), manifests.pod("red/client"),
            manifests.pod("red/web-1", "web"), manifests.pod("red/web-2", "web"),
            manifests.service("red/web", "web", [manifests.port(80)], address4=VIP)))
        traffic.serve(node, "red/web-1", "red/web-2")
        node.attach("red/client")
        live = traffic.LiveConnections(node.pods["red/client"], VIP, 80, 40).start()
        writers = [Writer(node, name) for name in ("w", "v")]
        with watching(node, "pods") as (watch,):
            wait_until(lambda: watch.saw("web-2"), "the watch has begun")
            for writer in writers:
                writer.start()
            kill_at_random_points(node, writers, live)
            node.wait_synced(60)
            for writer in writers:
                writer.stopping.set()
                writer.join(120)
                assert not writer.is_alive() and writer.problem is None, writer.problem
            node.put(manifests.join(manifests.pod("red/end")))
            wait_until(lambda: watch.saw("end"), "the watch goes on", 30)
            events = watch.events()

        for writer in writers:
            pods = pods_of(node, writer.prefix)
            writer.check({name: pod["labels"]["turn"] for name, pod in pods.items()})
        acknowledged = sum(writer.acknowledged for writer in writers)
        assert acknowledged >= KILLS // 2, acknowledged
        folded = {}
        for event in events:
            name, pod = event["resource"]["name"], event["resource"]
            folded[name] = None if event["type"] == "DELETED" else pod["labels"] if "labels" in pod else {}
        present = {pod["name"]: pod.get("labels", {}) for pod in node.get("pods", "-n", "red")}
        assert {name: labels for name, labels in folded.items() if labels is not None} == present, "the watch has a gap"

        status = node.wait_synced()
        addresses = [row[family] for row in status["pods"] for family in ("address", "address6")]
        assert len(set(addresses)) == len(addresses), "an address was handed out twice"
        in_maps = {row["address"] for row in node.bpf("endpoints") if row["kind"].startswith("pod")}
        assert in_maps == set(addresses), "maps and store differ"
        assert live.progressed() and not any(live.failure), [text for text in live.failure if text]
        live.stop()
        node.restart()
        assert node.status()["writes"] == 0
        print(json.dumps({"kills": KILLS, "acknowledged": acknowledged,
                          "doubtful": sum(len(writer.doubtful) for writer in writers)}))
