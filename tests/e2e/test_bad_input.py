# SPDX-License-Identifier: Apache-2.0
"""Wrong input, wrong machine, wrong moment: a clear error, nothing half applied, the last good state stays."""

import json
import os
import pathlib
import subprocess

import manifests
import pytest
import traffic
from sluice_e2e import SLUICECTL, SLUICED, Namespace, Node, abi_folder, run, wait_until

VIP = "172.16.200.1"


@pytest.fixture(scope="module")
def node():
    with Node(manifests.two_tenants()) as made:
        made.start()
        traffic.serve(made, "red/web-1")
        made.attach("red/client")
        yield made


def tables(node):
    return node.tables("ports", "endpoints", "frontends", "backends")


GOOD = manifests.two_tenants()


def with_document(text):
    return manifests.join(GOOD.rstrip("\n"), text)


BAD = {
    "malformed YAML": ("kind: [", ["yaml"]),
    "unknown field": ('{"kind": "Pod", "network": "red", "name": "x", "colour": "red"}', ["pod red/x", "colour"]),
    "wrong type": ('{"kind": "Service", "network": "red", "name": "x", "selector": {"a": "b"}, "ports": 80}',
                   ["service red/x", "ports"]),
    "port out of range": (manifests.service("red/x", "web", [manifests.port(70000)]), ["service red/x", "70000"]),
    "host bits": (manifests.network("green", cidr4="10.0.0.1/8"), ["network green", "10.0.0.1/8", "10.0.0.0/8"]),
    "not a DNS label": (manifests.network("Green_Net"), ["Green_Net"]),
    "duplicate address": (manifests.pod("red/twin", address4="172.16.0.11"), ["red/twin", "172.16.0.11", "red/web-1"]),
    "reserved address": (manifests.pod("red/router", address4="172.16.0.1"), ["red/router", "172.16.0.1"]),
    "outside the CIDR": (manifests.pod("red/far", address4="10.9.9.9"), ["red/far", "10.9.9.9"]),
    "port clash on a floating IP": (
        manifests.service("blue/thief", "web", [manifests.port(80)], floating_ip="public"),
        ["service blue/thief", "80/TCP", "203.0.113.10", "service red/public"]),
    "unknown floating IP": (
        manifests.service("blue/x", "web", [manifests.port(80)], floating_ip="nowhere"), ["blue/x", "nowhere"]),
    "unknown network": (manifests.pod("green/x"), ["green"]),
    "unknown kind": ('{"kind": "Deployment", "name": "x"}', ["Deployment"]),
}


@pytest.mark.parametrize("case", BAD, ids=[name.replace(" ", "-") for name in BAD])
def test_a_bad_manifest_is_refused_whole_and_the_last_good_state_stays(node, case):
    document, words = BAD[case]
    before = tables(node)
    node.apply(with_document(document))
    error = wait_until(lambda: node.status()["last_error"], "the error is reported")
    for word in words:
        assert word.lower() in error.lower(), (word, error)
    assert tables(node) == before
    assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)[0] == "red/web-1"
    node.apply(GOOD)
    wait_until(lambda: not node.status()["last_error"], "the good manifest is applied again")
    assert tables(node) == before


def test_missing_manifests_change_nothing(node):
    before = tables(node)
    os.rename(node.manifests, node.folder / "away")
    wait_until(lambda: node.status()["last_error"], "the missing folder is reported")
    assert tables(node) == before
    os.rename(node.folder / "away", node.manifests)
    wait_until(lambda: not node.status()["last_error"], "the folder is read again")
    assert tables(node) == before


def test_a_selector_that_matches_nothing_is_legal_and_shown(node):
    node.apply_and_wait(with_document(manifests.service("red/empty", "nobody", [manifests.port(80)],
                                                        address4="172.16.200.9")))
    row = next(row for row in node.status()["services"] if row["name"] == "empty")
    assert row["backends"] == 0 and row["ready"] == 0
    with pytest.raises(ConnectionRefusedError):
        traffic.ask_tcp(node.pods["red/client"], "172.16.200.9", 80)
    node.apply_and_wait(GOOD)


@pytest.mark.parametrize("words, expected", [
    (["red/web-2", "--netns", "/run/netns/there-is-none"], "/run/netns/there-is-none"),
    (["red/web-2", "--netns", "/etc/passwd"], "/etc/passwd"),
    (["red/nobody", "--netns", "/proc/self/ns/net"], "red/nobody"),
    (["red/web-2", "--netns", "relative/path"], "relative/path"),
])
def test_a_wrong_attach_names_what_is_wrong(node, words, expected):
    links = node.namespace.run("ip", "-o", "link")
    done = node.ctl("pod", "attach", *words, check=False)
    assert done.returncode != 0 and expected in done.stderr, done.stderr
    assert node.namespace.run("ip", "-o", "link") == links, "something was left behind"


def test_attach_is_idempotent_and_refuses_a_second_namespace(node):
    first = node.pods["red/web-1"]
    before = tables(node)
    node.ctl("pod", "attach", "red/web-1", "--netns", first.path)
    assert tables(node) == before
    other = Namespace(f"{node.unique}other")
    try:
        done = node.ctl("pod", "attach", "red/web-1", "--netns", other.path, check=False)
        assert done.returncode != 0 and "red/web-1" in done.stderr
        done = node.ctl("pod", "attach", "red/web-2", "--netns", first.path, check=False)
        assert done.returncode != 0 and "eth0" in done.stderr
        assert tables(node) == before
    finally:
        other.delete()


def start_another(node, **settings):
    config = {**node.config, **settings}
    path = node.folder / "another.yaml"
    import json

    path.write_text(json.dumps(config))
    return node.namespace.run(SLUICED, "--config", path, check=False, timeout=30)


def test_a_second_daemon_on_the_same_state_is_refused(node):
    done = start_another(node, socket=str(node.folder / "other.sock"))
    assert done.returncode != 0 and str(node.folder / "state") in done.stderr, done.stderr
    assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)


@pytest.mark.parametrize("settings, named", [
    ({}, "sluice.sock"),
    ({"socket": "other.sock"}, "slc"),
])
def test_a_second_daemon_beside_the_first_touches_nothing(node, settings, named):
    """Another state folder and other pins, but the same socket, or the same device prefix."""
    before = tables(node)
    links = node.namespace.run("ip", "-o", "link")
    settings = {name: str(node.folder / value) for name, value in settings.items()}
    done = start_another(node, state_dir=str(node.folder / "state4"), pin_root=f"{node.pin_root}b", **settings)
    assert done.returncode != 0 and named in done.stderr, done.stderr
    assert not abi_folder(f"{node.pin_root}b").exists(), "it made pins"
    assert node.namespace.run("ip", "-o", "link") == links and tables(node) == before
    assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)


def test_a_pin_folder_that_is_not_on_bpffs_is_refused(node):
    done = start_another(node, state_dir=str(node.folder / "state2"), pin_root=str(node.folder / "pins"),
                         socket=str(node.folder / "other.sock"), device_prefix="slx")
    assert done.returncode != 0 and "bpf" in done.stderr and str(node.folder / "pins") in done.stderr, done.stderr


def test_pins_in_use_and_pins_of_another_store_are_refused(node):
    settings = {"state_dir": str(node.folder / "state3"), "socket": str(node.folder / "other.sock"),
                "device_prefix": "slx"}
    done = start_another(node, **settings)
    assert done.returncode != 0 and "in use" in done.stderr and str(node.pin_root) in done.stderr, done.stderr
    node.kill()
    before = {name: node.bpf(name) for name in ("ports", "endpoints", "frontends")}
    done = start_another(node, **settings)
    assert done.returncode != 0 and "another state folder" in done.stderr, done.stderr
    assert {name: node.bpf(name) for name in before} == before
    node.start()
    assert traffic.ask_tcp(node.pods["red/client"], VIP, 80)


def test_without_privilege_the_missing_capability_is_named(node):
    done = subprocess.run(["setpriv", "--bounding-set=-all", "--inh-caps=-all", str(SLUICED), "--config",
                           str(node.folder / "sluiced.yaml")], capture_output=True, text=True, timeout=30)
    assert done.returncode != 0 and "CAP_" in done.stderr, done.stderr


def test_an_unknown_key_in_the_configuration_is_refused_with_a_suggestion(node):
    done = start_another(node, statedir="/tmp")
    assert done.returncode != 0 and "statedir" in done.stderr and "state_dir" in done.stderr, done.stderr


def test_a_foreign_xdp_program_on_the_uplink_is_kept_and_reported():
    source = "int f(void *c) __attribute__((section(\"xdp\"), used)); int f(void *c) { return 2; }\n" \
             "char l[] __attribute__((section(\"license\"), used)) = \"GPL\";"
    with Node(manifests.two_tenants()) as node:
        program = node.folder / "foreign.c"
        program.write_text(source)
        run("clang-19", "-target", "bpf", "-O2", "-c", program, "-o", node.folder / "foreign.o")
        node.namespace.run("ip", "link", "set", "uplink0", "xdpgeneric", "obj", node.folder / "foreign.o", "sec", "xdp")
        node.config["uplinks"][0]["xdp"] = "generic"
        node.write_config()
        node.start(wait=False)
        wait_until(lambda: "XDP" in node.log.read_text(), "the foreign program is reported")
        assert "xdpgeneric" in node.namespace.run("ip", "link", "show", "uplink0"), "the foreign program was removed"


def test_daemons_whose_prefixes_begin_alike_leave_each_others_devices_alone():
    """slc + a1 and slca + 1 are one name: only the group of its store says whose a device is."""
    with Node(GOOD, {"device_prefix": "slca"}) as first:
        first.start()
        traffic.serve(first, "red/web-1")
        (client,) = first.attach("red/client")
        config = {**first.config, "device_prefix": "slc", "uplinks": [], "state_dir": str(first.folder / "state2"),
                  "pin_root": f"{first.pin_root}second", "socket": str(first.folder / "second.sock")}
        path = first.folder / "second.yaml"
        path.write_text(json.dumps(config))
        second = first.namespace.popen(SLUICED, "--config", path, stderr=subprocess.DEVNULL)
        pod = Namespace(f"{first.unique}second")
        try:
            def attached():
                return not run(SLUICECTL, "--socket", config["socket"], "pod", "attach", "red/web-1", "--netns", pod.path,
                               check=False).returncode

            wait_until(attached, "the second daemon attaches a pod")
            assert traffic.ask_tcp(client, VIP, 80)[0] == "red/web-1", "the first daemon's pod was disturbed"
            second.terminate()
            assert second.wait(20) == 0
            first.namespace.run(SLUICED, "--config", path, "--purge-state")
        finally:
            second.kill()
            pod.delete()
        assert not os.path.exists(config["pin_root"]) and not os.path.exists(config["state_dir"])
        names = [link["ifname"] for link in json.loads(first.namespace.run("ip", "-j", "link"))]
        assert sorted(name for name in names if name.startswith("slc")) == ["slca1", "slca2"]
        first.kill()
        first.start()
        assert traffic.ask_tcp(client, VIP, 80)[0] == "red/web-1"


def test_a_purge_needs_no_readable_database():
    with Node(GOOD) as node:
        node.start()
        node.attach("red/client")
        node.stop()
        database = node.folder / "state" / "state.db"
        for side in ("-wal", "-shm"):
            pathlib.Path(f"{database}{side}").unlink(missing_ok=True)
        database.write_bytes(b"no database at all" * 1000)
        done = node.namespace.run(SLUICED, "--config", node.write_config(), "--purge-state", check=False)
        assert done.returncode == 0, done.stderr
        assert not node.pin_root.exists() and not database.parent.exists()
        assert "slc" not in node.namespace.run("ip", "-o", "link")


def test_check_refuses_what_the_daemon_would_refuse(node):
    config = {**node.config, "max_flows": 1024}
    path = node.folder / "check.yaml"
    path.write_text(json.dumps(config))
    good = run(SLUICED, "--config", node.write_config(), "--check")
    assert "valid" in good, "also while a daemon runs"
    bad = run(SLUICED, "--config", path, "--check", check=False)
    assert bad.returncode != 0 and "guaranteed_flows" in bad.stderr, bad.stderr
    assert not bad.stdout


def preflight(node, uplink, pin_root=None):
    done = node.namespace.run(SLUICECTL, "status", "--preflight", "-o", "json", "--uplink", uplink, "--pin-root",
                              str(pin_root or node.pin_root), "--max-flows", "16384", check=False)
    return done.returncode, {check["name"]: check for check in json.loads(done.stdout)["checks"]}


def test_preflight_says_what_is_wrong_with_the_machine(node):
    status, checks = preflight(node, "uplink0")
    assert status == 0 and {check["state"] for check in checks.values()} == {"ok"}, checks
    status, checks = preflight(node, "nonesuch", "/tmp")
    assert status == 1 and checks["bpffs"]["state"] == "failed" and "mount -t bpf" in checks["bpffs"]["message"]
    assert checks["uplink nonesuch"]["state"] == "warning"


@pytest.mark.parametrize("clsact", ["false", "true"])
def test_preflight_knows_what_is_others_on_an_uplink_of_a_running_daemon(clsact):
    with Node(GOOD, {"force_clsact": clsact}) as node:
        node.start()
        assert preflight(node, "uplink0")[1]["uplink uplink0: tc"]["state"] == "ok"
        if clsact == "false":
            node.namespace.run("tc", "qdisc", "add", "dev", "uplink0", "clsact")
        node.namespace.run("tc", "filter", "add", "dev", "uplink0", "ingress", "prio", "77", "protocol", "all",
                           "u32", "match", "u32", "0", "0", "flowid", "1:1")
        node.namespace.run("nft", "table netdev t { chain c { type filter hook ingress device uplink0 priority 5; "
                                  "policy drop; }; }")
        status, checks = preflight(node, "uplink0")
    assert status == 0
    tc = checks["uplink uplink0: tc"]
    assert tc["state"] == "warning" and "u32 filter, priority 77" in tc["message"] and tc["remedy"], tc
    firewall = checks["uplink uplink0: firewall"]
    assert "netdev t/c (hook ingress, priority 5, policy drop)" in firewall["message"] and firewall["remedy"], firewall
