# SPDX-License-Identifier: Apache-2.0
"""Sluice on this machine as an administrator would have it: files at the unit's paths, started by systemd.

Only for a virtual machine that is thrown away: it writes to /usr, /etc and /var.
"""

import contextlib
import json
import os
import pathlib
import shutil
import subprocess

import manifests
import traffic
from sluice_e2e import BUILD, ROOT, SLUICECTL, SLUICED, Node, run, socket_in, wait_until

UNIT = ROOT / "userspace" / "daemon" / "systemd" / "sluiced.service"
NAME = "sluiced.service"
CONFIG = pathlib.Path("/etc/sluice/sluiced.yaml")
AUDIT_LOG = pathlib.Path("/var/log/sluice/audit.log")
DROP_INS = pathlib.Path(f"/run/systemd/system/{NAME}.d")
ANSWER = pathlib.Path("/run/answer")  # what the API said at the moment when systemd took the service for started
VIP = "172.16.200.1"
FLOATING_IP = "203.0.113.10"
# Seconds of the guest's clock, which under emulation may run several times faster than the host's.
PATIENCE = 600.0
LIMITS = f"[Service]\nTimeoutStartSec={PATIENCE:.0f}\nTimeoutStopSec={PATIENCE:.0f}\nWatchdogSec={PATIENCE:.0f}\n"


def show(*names, unit=NAME):
    """{property: value} as systemd has it in force."""
    lines = run("systemctl", "show", unit, *(f"--property={name}" for name in names)).splitlines()
    return dict(line.split("=", 1) for line in lines)


def journal(*words):
    """What this boot's journal has, as dictionaries."""
    run("journalctl", "--sync")
    lines = run("journalctl", "--boot", "--output=json", "--no-pager", *words).splitlines()
    return [json.loads(line) for line in lines]


def said(text, *words):
    return [entry["MESSAGE"] for entry in journal(*words) if text in str(entry["MESSAGE"])]


def settings(path=UNIT):
    """[(key, value)] of [Service], as written."""
    section, found = None, []
    for line in path.read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            found.append(tuple(line.split("=", 1)))
    return found


@contextlib.contextmanager
def drop_in(*lines):
    """Adds lines to the unit's [Service] for the block; who needs them in force restarts the unit."""
    DROP_INS.mkdir(exist_ok=True)
    (DROP_INS / "test.conf").write_text("\n".join(("[Service]", *lines, "")))
    run("systemctl", "daemon-reload")
    try:
        yield
    finally:
        shutil.rmtree(DROP_INS)
        run("systemctl", "daemon-reload")


class Here:
    """The machine's own network namespace, in the manner of sluice_e2e.Namespace."""

    def run(self, *command, **options):
        return run(*command, **options)


class Conversation:
    """One connection to a service that is kept open; each exchange verifies the bytes that come back."""

    def __init__(self, namespace, address, port):
        self.socket = socket_in(namespace.name)
        self.socket.settimeout(PATIENCE)
        self.socket.connect((address, port))
        self.stream = self.socket.makefile("rwb")
        self.server = self.stream.readline().decode().split()[0]

    def exchange(self):
        block = os.urandom(20000)
        self.stream.write(block)
        self.stream.flush()
        assert self.stream.read(len(block)) == block, "other bytes came back"

    def close(self):
        self.stream.close()
        self.socket.close()


class Installed(Node):
    """A node whose daemon is the service of the machine itself."""

    def __init__(self):
        self.unique = "unit"
        self.namespace = Here()
        self.internet = None
        self.pods = {}
        self._namespaces = 0
        self.pin_root = pathlib.Path("/sys/fs/bpf/sluice")
        self.config = {
            "socket_owner": "nobody",
            "socket_group": "nogroup",
            "audit_log": str(AUDIT_LOG),
            "uplinks": [{"device": "uplink0", "xdp": "off"}],
            # Small, because each start under emulation clears the memory of the maps.
            "max_flows": 16384,
            "backend_arena": 65536,
            "ring_arena": 16384,
        }

    def __enter__(self):
        for folder in ("/etc/sluice", "/var/lib/sluice", "/var/log/sluice"):  # of a Sluice that the host has
            shutil.rmtree(folder, ignore_errors=True)
        for source, target in ((SLUICED, "/usr/sbin/sluiced"), (SLUICECTL, "/usr/bin/sluicectl")):
            pathlib.Path(target).touch()
            run("mount", "--bind", source, target)  # with symbols they are too large for the layer in memory
        shutil.copy(UNIT, f"/usr/lib/systemd/system/{NAME}")
        limits = pathlib.Path(f"/etc/systemd/system/{NAME}.d/limits.conf")  # all else is as it is shipped
        limits.parent.mkdir()
        limits.write_text(LIMITS)
        CONFIG.parent.mkdir()
        self.write_config()
        assert not os.path.exists("/run/netns"), "the first named namespace is to come after the daemon's start"
        with drop_in(f"ExecStartPost=+/bin/sh -c 'sluicectl status >{ANSWER}'"):
            self.systemctl("enable", "--now", NAME)
        self._make_uplink()
        self.put(manifests.two_tenants())
        traffic.serve(self, "red/web-1", "red/web-2")
        self.attach("red/client")
        return self

    def close(self):
        """The machine is thrown away."""

    def write_config(self, **other):
        CONFIG.write_text(json.dumps(self.config | other))  # JSON is YAML

    def settle(self):
        if show("ActiveState")["ActiveState"] != "active":
            self.write_config()
            self.systemctl("start", NAME)
        self.wait_synced()

    # ---- the daemon -------------------------------------------------------------------------------------------

    @staticmethod
    def systemctl(*words, check=True):
        done = run("systemctl", *words, check=False)
        if check and done.returncode:
            log = run("journalctl", "--boot", "--no-pager", "--lines=30", check=False).stdout
            raise AssertionError(f"systemctl {' '.join(words)}: exit {done.returncode}\n{done.stderr}{log}")
        return done

    @property
    def pid(self):
        return int(show("MainPID")["MainPID"])

    def restart(self):
        self.systemctl("restart", NAME)
        self.wait_synced()

    def wait_synced(self, timeout=PATIENCE):
        def synced():
            status = self.status(check=False)
            return status if status and status["synced"] else None

        return wait_until(synced, "sluiced synced", timeout)

    def wait_for_restart(self, pid):
        """Returns when the service runs in another process than `pid`."""
        def replaced():
            now = show("ActiveState", "MainPID")
            return now["ActiveState"] == "active" and int(now["MainPID"]) not in (0, pid)

        wait_until(replaced, "systemd has started the daemon again", PATIENCE)
        self.wait_synced()

    def ctl(self, *words, check=True, **options):
        """sluicectl as it is installed, with its own idea of where the socket is."""
        return run("/usr/bin/sluicectl", *words, check=check, **options)

    # ---- traffic ----------------------------------------------------------------------------------------------

    def ask(self, pod="red/client"):
        """A new connection to the service: the name of the pod that answers."""
        return traffic.ask_tcp(self.pods[pod], VIP, 80, timeout=PATIENCE)[0]

    def ask_from_outside(self):
        return traffic.ask_tcp(self.internet, FLOATING_IP, 80, timeout=PATIENCE)[0]

    def converse(self):
        return contextlib.closing(Conversation(self.pods["red/client"], VIP, 80))

    def devices(self):
        return [name for name in os.listdir("/sys/class/net") if name.startswith("slc")]

    def attach_by_process(self, pod, user):
        """Names the namespace by a process of that user in it, as container runtimes do."""
        words = ["setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups"]
        process = self.make_namespace(pod).popen(*words, "sh", "-c", "echo ready; exec sleep 100000",
                                                 stdout=subprocess.PIPE)
        assert process.stdout.readline() == b"ready\n"
        return self.ctl("pod", "attach", pod, "--netns", f"/proc/{process.pid}/ns/net", check=False)
