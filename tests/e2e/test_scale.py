# SPDX-License-Identifier: Apache-2.0
"""A node that is full: what is declared, what the maps hold and what packets do agree."""

import manifests
import pytest
import traffic
from sluice_e2e import Node

SERVICES, PODS_EACH, ATTACHED = 1000, 3, 300


def pod_name(index):
    return f"big/p{index}"


def manifest(services=SERVICES):
    documents = [manifests.network("big")]
    for number in range(services):
        documents.append(manifests.service(f"big/s{number}", f"a{number}", [manifests.port(80)]))
        documents += [manifests.pod(pod_name(number * PODS_EACH + k), f"a{number}") for k in range(PODS_EACH)]
    return manifests.join(*documents, manifests.pod("big/client"))


def snapshot(node):
    return node.tables("ports", "endpoints", "frontends", "backends", "rings")


def test_a_thousand_services_and_three_thousand_pods_with_three_hundred_attached():
    with Node(manifest(), {"max_flows": 65536}) as node:
        node.start(wait=False)
        node.wait_synced(120)
        status = node.status()
        assert len(status["pods"]) == SERVICES * PODS_EACH + 1 and len(status["services"]) == SERVICES
        addresses = [row["address"].split("/")[0] for row in status["pods"] + status["services"]]
        assert len(set(addresses)) == len(addresses), "an address was handed out twice"

        for index in range(ATTACHED):
            namespace = node.make_namespace(pod_name(index))
            node.ctl("pod", "attach", pod_name(index), "--netns", namespace.path)
        node.attach("big/client")
        status = node.wait_synced(60)
        endpoints = node.bpf("endpoints")
        by_address = {row["address"]: row for row in endpoints if row["network"] != 0}
        for row in status["pods"]:
            address = row["address"].split("/")[0]
            assert by_address[address]["kind"] == "pod_peer", by_address[address]
            assert bool(by_address[address]["ifindex"]) == row["attached"]
        frontends = [row for row in node.bpf("frontends") if row["port"] == 80]
        assert len(frontends) == 2 * SERVICES, "one of each family"
        ready = {row["address"]: row["ready_count"] for row in frontends}
        for row in status["services"]:
            number = int(row["name"][1:])
            expected = max(0, min(PODS_EACH, ATTACHED - number * PODS_EACH))
            assert ready[row["address"].split("/")[0]] == row["ready"] == expected

        client = node.pods["big/client"]
        service_address = {row["name"]: row["address"].split("/")[0] for row in status["services"]}
        for number in (0, 42, 99):
            names = [pod_name(number * PODS_EACH + k) for k in range(PODS_EACH)]
            traffic.serve(node, *names)
            got = {traffic.ask_tcp(client, service_address[f"s{number}"], 80)[0] for _ in range(40)}
            assert got == set(names)
        with pytest.raises(ConnectionRefusedError):
            traffic.ask_tcp(client, service_address["s500"], 80)

        before = snapshot(node)
        node.kill()
        node.start(wait=False)
        node.wait_synced(120)
        assert node.status()["writes"] == 0
        assert snapshot(node) == before

        node.stop()
        left = [line for line in node.namespace.run("ip", "-o", "link").splitlines() if "slc" in line]
        assert len(left) == ATTACHED + 1, "devices stay while the daemon is away"


def test_one_in_ten_map_writes_failing_still_reaches_the_declared_state():
    def services(count, backends):
        return manifests.join(
            manifests.network("big", families=["IPv4"]),  # half the writes: an attempt ends at its first failure
            *(manifests.service(f"big/s{n}", f"a{n % 5}", [manifests.port(80 + n)], address4=f"172.16.200.{n + 1}")
              for n in range(count)),
            *(manifests.pod(f"big/p{n}", f"a{n % 5}") for n in range(backends)),
            manifests.pod("big/client"))

    with Node(services(40, 60), {"fault_injection_percent": 10}) as node:
        node.start(wait=False)
        node.wait_synced(60)
        traffic.serve(node, "big/p0", "big/p1")
        node.attach("big/client")
        for count, backends in ((60, 80), (20, 100), (50, 30), (40, 60)):
            node.apply_and_wait(services(count, backends), timeout=90)
        status = node.wait_synced(60)
        assert status["write_failures"] > 0, "no fault was injected"
        assert traffic.ask_tcp(node.pods["big/client"], "172.16.200.1", 80)[0] == "big/p0"
        faulty = snapshot(node)
        node.stop()
        del node.config["fault_injection_percent"]
        node.start()
        assert node.status()["writes"] == 0, "what the maps held was not what they should"
        assert snapshot(node) == faulty
