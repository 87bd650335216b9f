# SPDX-License-Identifier: Apache-2.0
"""Writes through the API: sets are whole, conflicts are told, and only who may write writes."""

import concurrent.futures
import os
import shutil
import socket as sockets
import stat

import client
import grpc
import manifests
import pytest
import traffic
from sluice_e2e import SLUICECTL, Node, run

VIP = "172.16.200.1"
NOBODY = 65534


def base():
    return manifests.join(
        manifests.network("red"), manifests.pod("red/client"), manifests.pod("red/web-1", "web"),
        manifests.service("red/web", "web", [manifests.port(80)], address4=VIP))


@pytest.fixture(scope="module")
def node():
    with Node() as made:
        made.config["audit_log"] = str(made.folder / "audit.log")
        made.start()
        made.put(base())
        traffic.serve(made, "red/web-1")
        made.attach("red/client")
        yield made


def everything(node):
    """What is declared, and what the maps hold."""
    return {kind: node.get(kind) for kind in ("networks", "pods", "services", "fip")} | node.tables(
        "ports", "endpoints", "frontends", "backends")


def pods(count, **labels):
    return [manifests.document("Pod", network="red", name=f"set-{index}", labels=labels) for index in range(count)]


def test_a_set_is_applied_whole_or_not_at_all(node):
    before = everything(node)
    bad = manifests.pod("red/twin", address4=node.address("red/web-1"))
    done = node.put(manifests.join(*pods(20, side="a"), bad, manifests.network("green")), check=False)
    assert done.returncode == 7, done
    assert "red/twin" in done.stderr and "red/web-1" in done.stderr and not done.stdout, done
    assert everything(node) == before
    assert "+  side: a" in node.put(manifests.join(*pods(3, side="a")), "--dry-run", check=False).stdout
    assert everything(node) == before, "a dry run changed something"
    out = node.put(manifests.join(*pods(20, side="a"), manifests.network("green")))
    assert out.count(" created") == 21, out
    assert node.put(manifests.join(*pods(20, side="a"))).count(" unchanged") == 20
    done = node.ctl("delete", "pod", "red/set-0", "red/set-1", "red/none-such", check=False)
    assert done.returncode == 1 and "none-such" in done.stderr, done
    assert len([pod for pod in node.get("pods") if pod["name"].startswith("set-")]) == 20, "half a set was deleted"
    node.ctl("delete", "pod", *(f"red/set-{index}" for index in range(20)), "--wait")
    node.ctl("delete", "network", "green", "--wait")
    after = everything(node)
    assert [pod["name"] for pod in after["pods"]] == [pod["name"] for pod in before["pods"]]
    assert after["endpoints"] == before["endpoints"] and after["backends"] == before["backends"]


def test_a_service_that_the_maps_have_no_room_for_is_refused_with_what_to_change():
    with Node(settings={"backend_arena": 128}) as node:
        node.start()
        many = [manifests.document("Pod", network="red", name=f"many-{n}", labels={"app": "many"}) for n in range(20)]
        node.put(manifests.join(manifests.network("red"), *many, manifests.service("red/one", "many", [manifests.port(80)])))
        before = everything(node)
        done = node.put(manifests.join(manifests.service("red/two", "many", [manifests.port(80)])), check=False)
        assert done.returncode == 7, done
        for word in ("service red/two", "80 backend elements", "160", "128", "backend_arena"):
            assert word in done.stderr, (word, done.stderr)
        with client.Client(node.config["socket"]) as caller, pytest.raises(grpc.RpcError) as refused:
            caller.apply(*[caller.pod(f"red/more-{n}", labels={"app": "many"}) for n in range(5)])
        assert refused.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED, refused.value
        assert everything(node) == before
        assert not node.status()["warnings"], "nothing was stored to be left out"
        node.ctl("delete", "pod", *(f"red/many-{n}" for n in range(10)), "--wait")
        node.put(manifests.join(manifests.service("red/two", "many", [manifests.port(80)])))


def test_of_two_clients_that_change_the_same_one_wins_whole_and_the_other_learns_what_changed(node):
    """The set of the first is applied between the second's reading and its writing, by its own editor."""
    node.put(manifests.join(*pods(3, side="none")))
    script = node.folder / "editor"
    script.write_text(
        f"#!/bin/sh\nsed -i 's/side: none/side: late/' \"$1\"\n"
        f"exec {SLUICECTL} --socket {node.config['socket']} apply -f {node.folder / 'first.yaml'}\n")
    script.chmod(0o755)
    (node.folder / "first.yaml").write_text(manifests.join(*pods(3, side="first")))
    done = node.ctl("edit", "pod", "red/set-1", check=False, env={**os.environ, "EDITOR": str(script), "VISUAL": ""})
    assert done.returncode == 7, done
    assert "red/set-1" in done.stderr and "somebody else" in done.stderr and "first" in done.stderr, done.stderr
    sides = [pod["labels"].get("side") for pod in node.get("pods") if pod["name"].startswith("set-")]
    assert sides == ["first"] * 3, sides


def test_sets_that_race_never_mix(node):
    texts = {side: manifests.join(*pods(150, side=side)) for side in "abcd"}
    node.put(texts["a"])
    conflicts = 0
    with concurrent.futures.ThreadPoolExecutor(4) as threads:
        for turn in range(40):
            racing = {side: threads.submit(node.put, texts[side], check=False) for side in "abcd"}
            ended = {side: future.result() for side, future in racing.items()}
            won = {side for side, done in ended.items() if done.returncode == 0}
            lost = {side: done for side, done in ended.items() if done.returncode}
            assert won, ended
            for done in lost.values():
                assert done.returncode == 7 and "somebody else" in done.stderr and "red/set-" in done.stderr, done
                assert not done.stdout, done
            sides = {pod["labels"]["side"] for pod in node.get("pods") if pod["name"].startswith("set-")}
            assert len(sides) == 1 and sides <= won, (sides, won)
            conflicts += len(lost)
            if conflicts >= 3 and turn >= 4:
                break
    assert conflicts, "the sets never met: nothing was tested"


def test_the_read_only_socket_reads_and_refuses_writes_with_the_reason(node):
    before = everything(node)
    reading = node.config["socket"] + ".ro"
    assert stat.S_IMODE(os.stat(reading).st_mode) == 0o600
    assert run(SLUICECTL, "--socket", reading, "get", "pods", "-o", "json") == node.ctl("get", "pods", "-o", "json")
    for words in (["apply", "-f", "-"], ["delete", "pod", "red/web-1"], ["pod", "detach", "red/web-1"],
                  ["fip", "allocate", "x", "--address", "203.0.113.99"], ["log-level", "error"],
                  ["pod", "attach", "red/set-1", "--netns", node.pods["red/client"].path]):
        done = run(SLUICECTL, "--socket", reading, *words, check=False, input=manifests.join(*pods(1, side="z")))
        assert done.returncode == 4 and "reading" in done.stderr, (words, done)
    assert everything(node) == before


def test_other_users_are_kept_out_by_the_sockets_mode_and_the_audit_log_names_who_wrote():
    with Node() as node:
        node.folder.chmod(0o711)
        tool = node.folder / "sluicectl"
        shutil.copy(SLUICECTL, tool)
        audit_log = node.folder / "audit.log"
        node.config["audit_log"] = str(audit_log)

        def as_nobody(*words):
            return run("setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups", tool, "--socket",
                       node.config["socket"], *words, check=False, input=manifests.join(manifests.network("theirs")))

        node.start()
        done = as_nobody("apply", "-f", "-")
        assert done.returncode == 4 and node.config["socket"] in done.stderr, done
        assert not node.get("networks")
        node.stop()
        node.config |= {"socket_group": str(NOBODY), "socket_mode": "0660"}
        node.start()
        assert stat.S_IMODE(os.stat(node.config["socket"]).st_mode) == 0o660
        assert as_nobody("apply", "-f", "-").returncode == 0
        node.put(manifests.join(manifests.network("ours")))
        assert node.put(manifests.join(manifests.pod("nowhere/x")), check=False).returncode
        assert stat.S_IMODE(audit_log.stat().st_mode) == 0o600
        lines = [line for line in audit_log.read_text().splitlines() if "call=Apply" in line]
        assert any(f"uid={NOBODY} gid={NOBODY}" in line and "network theirs" in line and "outcome=OK" in line
                   for line in lines), lines
        assert any("uid=0 gid=0" in line and "network ours" in line and "revision" in line for line in lines), lines
        assert any("uid=0" in line and "nowhere" in line and "outcome=OK" not in line for line in lines), lines


ALIASES = "\n".join(["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"] +
                    [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)] + ["kind: Pod", "name: x"])

HOSTILE = {
    "ten megabytes in one document": (manifests.pod("red/x", "a" * 10_000_000), ["10000069", "262144"]),
    "ten megabytes of pods": ("\n---\n".join(manifests.pod(f"red/{'p' * 40}-{n}") for n in range(105_000)), ["105000"]),
    "a hundred thousand levels": ("kind: Pod\nname: x\nlabels: " + "[" * 100_000 + "]" * 100_000, ["16"]),
    "aliases of aliases": (ALIASES, ["alias"]),
    "duplicate keys": ("kind: Pod\nnetwork: red\nname: x\nname: y\n", ["name"]),
    "the same resource twice": (manifests.join(manifests.pod("red/x"), manifests.pod("red/x", "web")), ["red/x"]),
    "a NUL": ("kind: Pod\nnetwork: red\nname: x\0y\n", ["input:3", "control character 0"]),
    "control characters": ("kind: Pod\nnetwork: red\nname: x\x1b[31m\n", ["input:3", "control character 27"]),
    "broken UTF-8": ("kind: Pod\nnetwork: red\nname: \udcff\n", ["UTF-8"]),
    "nothing": ("", ["declare nothing"]),
}


@pytest.mark.parametrize("case", HOSTILE, ids=[name.replace(" ", "-") for name in HOSTILE])
def test_a_hostile_manifest_is_refused_with_a_clear_error_and_changes_nothing(node, case):
    text, words = HOSTILE[case]
    before = everything(node)
    done = node.ctl("apply", "-f", "-", check=False, input=text, errors="surrogateescape", timeout=60)
    assert done.returncode in (2, 7) and len(done.stderr) < 20_000, (done.returncode, done.stderr[:2000])
    for word in words:
        assert word in done.stderr, (word, done.stderr[:2000])
    assert not any(ord(character) < 0x20 and character != "\n" for character in done.stderr), repr(done.stderr[:2000])
    assert everything(node) == before
    assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)[0] == "red/web-1"


def test_hostile_messages_are_refused_and_the_daemon_goes_on(node):
    """What sluicectl would never send."""
    api = client.messages()
    before = everything(node)
    with client.Client(node.config["socket"]) as caller:
        for resource in (caller.pod("red/x\x1b[2J"), caller.pod("red/" + "x" * 100_000), caller.pod("red/ü"),
                         caller.pod("red/x", labels={"a\n": "b"}), caller.pod("red/x", weight=100_000), api.Resource(),
                         caller.pod("red/x", address4="172.16.0.9\0"), caller.pod("red/x", state=77)):
            with pytest.raises(grpc.RpcError) as refused:
                caller.apply(resource)
            assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, refused.value
        with pytest.raises(grpc.RpcError) as refused:
            caller.apply(*[caller.pod(f"red/many-{n}") for n in range(100_001)])
        assert refused.value.code() in (grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.RESOURCE_EXHAUSTED)
    with sockets.socket(sockets.AF_UNIX) as raw:
        raw.connect(node.config["socket"])
        raw.sendall(os.urandom(100_000)[:50_000])
    assert node.process.poll() is None
    assert everything(node) == before


def test_while_a_folder_says_what_there_is_the_api_refuses_writes_and_names_it():
    with Node(base()) as node:
        node.start()
        reason = str(node.manifests)
        for words in (["apply", "-f", "-"], ["delete", "pod", "red/web-1"], ["pod", "drain", "red/web-1"],
                      ["fip", "allocate", "x", "--address", "203.0.113.99"]):
            done = node.ctl(*words, check=False, input=manifests.join(manifests.network("green")))
            assert done.returncode == 7 and reason in done.stderr, (words, done)
        assert reason in node.status()["store"]["refuses_writes"]
        assert not node.status()["last_error"]
        node.apply_and_wait(manifests.join(base().rstrip("\n"), manifests.network("blue")))
        assert {network["name"] for network in node.get("networks")} == {"red", "blue"}
        (netns,) = node.attach("red/client")
        assert "eth0" in netns.run("ip", "-o", "link")
