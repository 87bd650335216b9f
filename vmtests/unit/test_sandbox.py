# SPDX-License-Identifier: Apache-2.0
"""The unit as systemd takes it: nothing is ignored, and each line keeps the daemon from what it says."""

import json
import os
import pathlib
import re
import shutil
import sys

import pytest
from installed import ANSWER, NAME, journal, settings, show
from sluice_e2e import ROOT, run

PROBE = pathlib.Path("/usr/local/lib/sluice-probe.py")  # the checkout may lie in a home, which the unit hides
CAPABILITIES = {"CAP_CHOWN": 0, "CAP_NET_ADMIN": 12, "CAP_SYS_PTRACE": 19, "CAP_SYS_ADMIN": 21, "CAP_PERFMON": 38,
                "CAP_BPF": 39}
# What `systemctl show` prints in the words of the file, or nearly so.
SHOWN = """NoNewPrivileges ProtectSystem ReadWritePaths ReadOnlyPaths ProtectHome PrivateTmp PrivateDevices
ProtectControlGroups ProtectKernelModules ProtectKernelLogs ProtectKernelTunables ProtectClock ProtectHostname
LockPersonality MemoryDenyWriteExecute RestrictRealtime RestrictSUIDSGID RestrictNamespaces KeyringMode Type NotifyAccess
Restart UMask LimitNOFILE RestartPreventExitStatus""".split()


def promised_capabilities():
    """Those of the table in docs/security.md."""
    return re.findall(r"^\| `(CAP_\w+)` \|", (ROOT / "docs" / "security.md").read_text(), re.M)


def process_facts(task):
    lines = pathlib.Path(f"/proc/{task}/status").read_text().splitlines()
    return dict(line.split(":\t", 1) for line in lines if ":\t" in line)


def probe_unit():
    """The shipped unit with the probe in place of the daemon: systemd makes the same sandbox for it."""
    ours = ("ExecStart", "ExecReload", "Type", "NotifyAccess", "Restart", "WatchdogSec")
    lines = [f"{key}={value}" for key, value in settings() if key not in ours]
    # Or the end of the probe would take the daemon's sockets along.
    lines += ["RuntimeDirectoryPreserve=yes", "Type=oneshot", f"ExecStart=/usr/bin/python3 {PROBE}",
              "StandardOutput=truncate:/run/sluice-probe.json"]
    return "\n".join(["[Service]", *lines, ""])


@pytest.fixture
def attempts(node):
    """(in the sandbox, outside): what became of each attempt of the probe."""
    shutil.copy(pathlib.Path(__file__).with_name("sandbox_probe.py"), PROBE)
    for path in ("/tmp/of-somebody-else", "/var/tmp/of-somebody-else"):
        pathlib.Path(path).touch()
    pathlib.Path("/run/of-nobody").touch(0o600)
    shutil.chown("/run/of-nobody", "nobody")
    pathlib.Path("/run/systemd/system/sluice-probe.service").write_text(probe_unit())
    run("systemctl", "daemon-reload")
    node.systemctl("start", "sluice-probe.service")
    outside = run(sys.executable, PROBE)
    return json.loads(pathlib.Path("/run/sluice-probe.json").read_text()), json.loads(outside)


def test_systemd_takes_the_unit_without_a_complaint(node):
    done = run("systemd-analyze", "verify", "--man=no", NAME, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    warnings = [entry["MESSAGE"] for entry in journal("--priority=warning")
                if "sluiced" in str(entry) and entry.get("_EXE") != "/usr/sbin/sluiced"]
    assert warnings == []


def test_the_service_is_active_when_the_daemon_says_so_and_the_api_answers(node):
    facts = show("Type", "ActiveState", "SubState", "StatusText", "NRestarts", "UnitFileState")
    assert facts.pop("StatusText").startswith("revision ")
    assert facts == {"Type": "notify", "ActiveState": "active", "SubState": "running", "NRestarts": "0",
                     "UnitFileState": "enabled"}
    assert "synced:          yes" in ANSWER.read_text()


def test_every_setting_is_in_force(node):
    wanted = {key: value for key, value in settings() if key in SHOWN}
    assert len(wanted) >= 20
    shown = show(*wanted)
    print(shown)
    for key, value in wanted.items():
        assert shown[key].split(":")[0] == value.split(":")[0], key


def test_the_daemon_has_the_capabilities_that_the_document_promises_and_no_other(node):
    promised = promised_capabilities()
    assert sorted(promised) == sorted(CAPABILITIES) == sorted(dict(settings())["CapabilityBoundingSet"].split())
    mask = sum(1 << CAPABILITIES[name] for name in promised)
    tasks = os.listdir(f"/proc/{node.pid}/task")
    assert len(tasks) > 1
    for task in tasks:
        facts = process_facts(f"{node.pid}/task/{task}")
        assert {name: int(facts[name], 16) for name in ("CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb")} == {
            "CapEff": mask, "CapPrm": mask, "CapBnd": mask, "CapInh": 0, "CapAmb": 0}
        assert (facts["NoNewPrivs"], facts["Seccomp"], facts["Umask"]) == ("1", "2", "0077")


def test_what_the_unit_forbids_is_refused_and_what_the_daemon_needs_is_not(attempts):
    inside, outside = attempts
    print(json.dumps(inside, indent=1))
    refused = {name for name, result in inside["forbidden"].items() if result == "allowed"}
    assert refused == set(), "allowed in the sandbox"
    same = {name for name, result in outside["forbidden"].items() if result == inside["forbidden"][name]}
    assert same == set(), "refused without the sandbox as well: proves nothing"
    assert set(inside["needed"].values()) == {"allowed"}
    named = {name.split(":")[0] for name in inside["forbidden"]}
    assert [key for key, _ in settings() if re.match("Private|Protect|ReadOnly|Restrict[A-Z]|Lock|Memory|IPAddress|SystemCallF", key)
            and key not in named] == []


def test_the_daemon_itself_lives_among_these_mounts(node):
    """By the eyes of root, who has every capability, in the daemon's mount namespace."""
    for path in ("/tmp/of-somebody-else", "/var/tmp/of-somebody-else"):
        pathlib.Path(path).touch()
    closed = ("/etc", "/etc/sluice", "/usr", "/var/lib", "/run", "/sys/fs/cgroup", "/sys/fs/bpf")
    own = ("/var/lib/sluice", "/var/log/sluice", "/run/sluice", "/sys/fs/bpf/sluice")
    script = "\n".join([
        *(f"mkdir {folder}/probe && rmdir {folder}/probe && echo may write to {folder}" for folder in closed + own),
        "(echo 1 >/proc/sys/net/ipv4/ip_forward) && echo may write sysctls",
        *(f"ls -A {folder} | sed 's#^#sees {folder}/#'" for folder in ("/root", "/home", "/tmp", "/var/tmp", "/dev"))])
    lines = run("nsenter", f"--target={node.pid}", "--mount", "sh", "-c", script, check=False).stdout.splitlines()
    print(lines)
    assert [line for line in lines if line.startswith("may")] == [f"may write to {folder}" for folder in own]
    seen = {line.removeprefix("sees ") for line in lines if line.startswith("sees")}
    assert "/dev/null" in seen and {path for path in seen if not path.startswith("/dev/")} == set()
    assert not {"/dev/ttyS0", "/dev/mem", "/dev/kmsg", "/dev/port"} & seen


def test_nothing_else_is_mounted_writable_for_the_daemon(node):
    fields = [line.split() for line in pathlib.Path(f"/proc/{node.pid}/mountinfo").read_text().splitlines()]
    writable = {field[4] for field in fields if "rw" in field[5].split(",")}
    later = {path for path in writable if path.startswith("/run/netns")}  # mounted by `ip netns` after the start
    assert writable - later == {
        "/var/lib/sluice", "/var/log/sluice", "/run/sluice", "/sys/fs/bpf/sluice", "/tmp", "/var/tmp", "/proc", "/dev/pts",
        "/dev/shm"}


def test_no_ip_packet_goes_out_of_the_daemons_cgroup(node):
    group = f"/sys/fs/cgroup{show('ControlGroup')['ControlGroup']}"
    kinds = {row["attach_type"] for row in json.loads(run("bpftool", "--json", "cgroup", "show", group))}
    assert {"cgroup_inet_ingress", "cgroup_inet_egress", "cgroup_device"} <= kinds
    say = "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))"
    assert run(sys.executable, "-c", say) == ""
    inside = run("sh", "-c", 'echo $$ >"$0/cgroup.procs"; exec "$@"', group, sys.executable, "-c", say, check=False)
    assert "Operation not permitted" in inside.stderr
