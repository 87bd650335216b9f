# SPDX-License-Identifier: Apache-2.0
"""The daemon's whole job and its whole life, under the unit as it is shipped."""

import json
import os
import pathlib
import signal
import stat

import manifests
from installed import AUDIT_LOG, CONFIG, NAME, PATIENCE, drop_in, said, show
from sluice_e2e import run, wait_until

PINS = pathlib.Path("/sys/fs/bpf/sluice")


def rights(path):
    """(owner, group, mode)"""
    facts = pathlib.Path(path).stat()
    return facts.st_uid, facts.st_gid, oct(stat.S_IMODE(facts.st_mode))


def attached(node, name):
    return next(row["attached"] for row in node.status()["pods"] if f"{row['network']}/{row['name']}" == name)


# ---- the job ------------------------------------------------------------------------------------------------------


def test_services_and_floating_ips_answer(node):
    assert {node.ask() for _ in range(20)} == {"red/web-1", "red/web-2"}
    assert node.ask_from_outside() in ("red/web-1", "red/web-2")


def test_everything_lies_where_the_unit_says_with_the_rights_that_the_documents_say(node):
    nobody, nogroup = 65534, 65534
    assert rights("/run/sluice") == (0, 0, "0o755")
    assert rights("/run/sluice/sluice.sock") == (nobody, nogroup, "0o660")
    assert rights("/run/sluice/sluice.sock.ro") == (nobody, nogroup, "0o660")
    assert rights("/var/lib/sluice") == rights("/var/log/sluice") == (0, 0, "0o700")
    assert rights("/var/lib/sluice/store.db")[2] == rights("/var/lib/sluice/state.db")[2] == "0o600"
    assert rights(AUDIT_LOG) == (0, 0, "0o600")
    assert rights(PINS)[2] == "0o700"
    assert rights(CONFIG.parent) == (0, 0, "0o755")


def test_every_call_that_changes_something_is_in_the_audit_log(node):
    node.put(manifests.network("audited"))
    node.ctl("delete", "network", "audited")
    lines = AUDIT_LOG.read_text().splitlines()[-2:]
    for line, call in zip(lines, ("Apply", "Delete"), strict=True):
        assert f"event=audit uid=0 gid=0 call={call} outcome=OK" in line and "network audited" in line


def test_a_namespace_is_attached_by_a_process_of_another_user_and_detached(node):
    done = node.attach_by_process("blue/web-2", user=65534)
    assert done.returncode == 0, done.stderr
    assert "eth0" in node.pods["blue/web-2"].run("ip", "-o", "link")
    node.ctl("pod", "detach", "blue/web-2")
    assert "eth0" not in node.pods["blue/web-2"].run("ip", "-o", "link")


# ---- the life -----------------------------------------------------------------------------------------------------


def test_a_reload_changes_what_can_change(node):
    assert node.status()["log_level"] == "info"
    node.write_config(log_level="debug")
    node.systemctl("reload", NAME)
    wait_until(lambda: node.status()["log_level"] == "debug", "the new log level", PATIENCE)
    CONFIG.write_text("log_levle: info\n")
    node.systemctl("reload", NAME)
    wait_until(lambda: said("event=reload_refused", f"--unit={NAME}"), "the refusal", PATIENCE)
    assert node.status()["log_level"] == "debug"
    node.write_config()
    node.systemctl("reload", NAME)
    wait_until(lambda: node.status()["log_level"] == "info", "the old log level", PATIENCE)
    assert show("ActiveState", "NRestarts") == {"ActiveState": "active", "NRestarts": "0"}


def test_namespaces_that_were_made_after_the_start_are_attached_and_let_go_without_ptrace_too(node):
    """The daemon sees /run/netns by mounts that come to it from the machine's own, and go."""
    devices = node.devices()
    node.attach("blue/client")
    with drop_in("CapabilityBoundingSet=~CAP_SYS_PTRACE"):
        node.restart()  # from here on it has the namespace of blue/client from its first moment
    node.attach("blue/web-1")
    refused = node.attach_by_process("blue/web-2", user=65534)
    assert refused.returncode == 4 and "Permission denied" in refused.stderr
    assert attached(node, "blue/client") and attached(node, "blue/web-1")
    assert len(node.devices()) == len(devices) + 2
    for pod in ("blue/client", "blue/web-1"):
        node.pods.pop(pod).delete()
        wait_until(lambda pod=pod: not attached(node, pod), "the attachment ends with its namespace", PATIENCE)
    wait_until(lambda: node.devices() == devices, "the devices went with them", PATIENCE)


def test_a_daemon_that_is_killed_or_hangs_is_started_again_and_no_connection_notices(node):
    with drop_in("WatchdogSec=20s"), node.converse() as talk:
        talk.exchange()
        first, restarts = node.pid, int(show("NRestarts")["NRestarts"])
        os.kill(first, signal.SIGKILL)
        talk.exchange()
        node.wait_for_restart(first)  # with the new limit
        assert int(show("NRestarts")["NRestarts"]) > restarts
        talk.exchange()
        alarms = said("Watchdog timeout", f"--unit={NAME}")
        second = node.pid
        os.kill(second, signal.SIGSTOP)
        talk.exchange()
        node.wait_for_restart(second)
        assert len(said("Watchdog timeout", f"--unit={NAME}")) > len(alarms)
        talk.exchange()
        assert node.ask().startswith("red/web-")


def test_a_stopped_service_leaves_the_datapath_at_work(node):
    with node.converse() as talk:
        talk.exchange()
        node.systemctl("stop", NAME)
        assert show("ActiveState", "Result", "ExecMainStatus") == {
            "ActiveState": "inactive", "Result": "success", "ExecMainStatus": "0"}
        assert not os.path.exists("/run/sluice") and PINS.exists()
        talk.exchange()
        assert node.ask().startswith("red/web-")
        assert node.ask_from_outside().startswith("red/web-")
        node.systemctl("start", NAME)
        node.wait_synced()
        talk.exchange()


def test_a_wrong_configuration_is_not_tried_again(node):
    CONFIG.write_text("log_levle: info\n")
    assert node.systemctl("restart", NAME, check=False).returncode != 0
    # "failed" is the end: what will be started again is "activating (auto-restart)".
    assert show("ActiveState", "SubState", "ExecMainStatus", "NRestarts") == {
        "ActiveState": "failed", "SubState": "failed", "ExecMainStatus": "2", "NRestarts": "0"}
    assert said("log_level", f"--unit={NAME}"), "the message names the key that was meant"
    assert node.ask().startswith("red/web-")


def test_a_start_that_a_privilege_is_missing_for_names_it_and_is_tried_again(machine):
    machine.write_config()
    with drop_in("CapabilityBoundingSet=~CAP_SYS_ADMIN"):
        assert machine.systemctl("start", NAME, check=False).returncode != 0
        assert said("CAP_SYS_ADMIN is missing", f"--unit={NAME}")
        wait_until(lambda: int(show("NRestarts")["NRestarts"]) > 1, "it is tried again and again", PATIENCE)
        machine.systemctl("stop", NAME)
    # What it is for, on every kernel: no privilege over networks alone leads into a namespace.
    entered = run("setpriv", "--bounding-set=-sys_admin", "nsenter", f"--net={machine.internet.path}", "true", check=False)
    assert "Operation not permitted" in entered.stderr


def test_purge_removes_everything_and_a_start_makes_it_anew(machine):
    assert show("ActiveState")["ActiveState"] == "inactive"
    run("/usr/sbin/sluiced", "--purge")
    assert not PINS.exists()
    assert machine.devices() == []
    assert "eth0" not in machine.pods["red/client"].run("ip", "-o", "link")
    programs = {row.get("name") for row in json.loads(run("bpftool", "--json", "prog", "show"))}
    assert not {"from_pod", "from_uplink"} & programs
    machine.systemctl("start", NAME)
    machine.wait_synced()
    assert machine.get("pods") and not attached(machine, "red/client"), "a purge leaves the store"
    refused = run("/usr/sbin/sluiced", "--purge-state", check=False)
    assert refused.returncode == 1 and PINS.exists(), refused.stderr
    machine.systemctl("stop", NAME)
    run("/usr/sbin/sluiced", "--purge-state")
    assert not os.path.exists("/var/lib/sluice") and not PINS.exists()
