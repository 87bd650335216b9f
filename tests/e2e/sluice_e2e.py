# SPDX-License-Identifier: Apache-2.0
"""A node in a namespace of its own: the real daemon, real pods, real sockets.

Every Node has a network namespace, a bpffs folder, a state folder and a socket with a unique prefix, so that tests
never meet each other or the machine. Everything is removed at the end, and leftovers of crashed runs at the start.
"""

import contextlib
import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("SLUICE_BUILD", ROOT / "build" / "release"))
SLUICED = BUILD / "userspace" / "daemon" / "sluiced"
SLUICED_NEXT = BUILD / "tests" / "e2e" / "sluiced_next"  # the same daemon with another BPF object
SLUICECTL = BUILD / "userspace" / "cli" / "sluicectl"
BPFFS = pathlib.Path("/sys/fs/bpf")
PREFIX = os.environ.get("SLUICE_E2E_PREFIX", "sle2e")  # another one for each run beside others
CLONE_NEWNET = 0x40000000

_libc = ctypes.CDLL(None, use_errno=True)


def abi_folder(pin_root):
    """Where the pins of this build's ABI lie."""
    text = (ROOT / "include/sluice/abi.h").read_text()
    return pathlib.Path(pin_root) / f"abi-{re.search('SLUICE_ABI_VERSION ([0-9]+)', text)[1]}"


def run(*command, check=True, **options):
    """Runs a command, gives its standard output; the error message of a failure holds both streams."""
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **options)
    if check and done.returncode:
        raise RuntimeError(f"{' '.join(map(str, command))}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout if check else done


def wait_until(condition, what, timeout=15.0):
    """Polls until condition() is true and gives its value; fails with `what` after `timeout` seconds."""
    end = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {timeout} s: {what() if callable(what) else what}")
        time.sleep(0.02)


def setns(path):
    """Enters the network namespace only: `ip netns exec` would remount /sys and hide the pins."""
    with open(path) as handle:
        if _libc.setns(handle.fileno(), CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"setns {path}")


@contextlib.contextmanager
def in_namespace(name):
    """Runs the block inside a named network namespace (sockets made there stay there)."""
    own = f"/proc/self/task/{_gettid()}/ns/net"
    with open(own) as here:
        setns(f"/run/netns/{name}")
        try:
            yield
        finally:
            if _libc.setns(here.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns back")


def _gettid():
    import threading

    return threading.get_native_id()


def socket_in(name, family=socket.AF_INET, kind=socket.SOCK_STREAM):
    """A socket that lives in the named namespace."""
    with in_namespace(name):
        made = socket.socket(family, kind)
    made.settimeout(5)
    return made


def clean_leftovers():
    """Removes what crashed runs left: namespaces, bpffs folders, processes."""
    for name in os.listdir("/run/netns") if os.path.isdir("/run/netns") else []:
        if name.startswith(PREFIX):
            for pid in run("ip", "netns", "pids", name, check=False).stdout.split():
                with contextlib.suppress(ProcessLookupError):
                    os.kill(int(pid), signal.SIGKILL)
            run("ip", "netns", "del", name, check=False)
    if not os.path.ismount(BPFFS):
        run("mount", "-t", "bpf", "-o", "mode=0700", "bpf", BPFFS)
    for folder in BPFFS.glob(f"{PREFIX}*"):
        shutil.rmtree(folder, ignore_errors=True)


class Namespace:
    """A named network namespace that is removed with its processes."""

    def __init__(self, name):
        self.name = name
        self.path = f"/run/netns/{name}"
        run("ip", "netns", "add", name)
        run("ip", "-n", name, "link", "set", "lo", "up")

    def run(self, *command, check=True, **options):
        return run("nsenter", f"--net={self.path}", *command, check=check, **options)

    def popen(self, *command, **options):
        return subprocess.Popen(["nsenter", f"--net={self.path}", *map(str, command)], **options)

    def socket(self, kind=socket.SOCK_STREAM):
        return socket_in(self.name, kind=kind)

    def delete(self):
        run("ip", "netns", "del", self.name, check=False)


class Node:
    """A daemon with its own namespace; `internet` is the namespace at the other end of its uplink.

    With manifests the daemon follows a folder that holds them; without, the state comes by the API: put().
    """

    INTERNET = "198.51.100.1"
    ADDRESS = "198.51.100.2"

    def __init__(self, manifests=None, settings=None, uplink=True, sluiced=SLUICED):
        self.unique = f"{PREFIX}{os.getpid()}x{Node._next()}"
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix=self.unique))
        self.pin_root = BPFFS / self.unique
        self.namespace = Namespace(f"{self.unique}n")
        self.internet = None
        self.pods = {}
        self._namespaces = 0
        self.process = None
        self.sluiced = sluiced
        self.log = self.folder / "sluiced.log"
        self.manifests = self.folder / "manifests"
        if manifests is not None:
            self.manifests.mkdir()
            self.apply(manifests)
        if uplink:
            self._make_uplink()
        self.config = {
            "state_dir": str(self.folder / "state"),
            "socket": str(self.folder / "sluice.sock"),
            "pin_root": str(self.pin_root),
            "uplinks": [{"device": "uplink0", "xdp": "off"}] if uplink else [],
            "max_flows": 16384,
            "backend_arena": 65536,
            "ring_arena": 16384,
            "log_level": "debug",
        }
        if manifests is not None:
            self.config["manifests"] = str(self.manifests)
        self.config.update(settings or {})

    _count = 0

    @classmethod
    def _next(cls):
        cls._count += 1
        return cls._count

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _make_uplink(self):
        self.internet = Namespace(f"{self.unique}i")
        self.namespace.run("ip", "link", "add", "uplink0", "type", "veth", "peer", "name", "wan0", "netns",
                           self.internet.name)
        self.namespace.run("ip", "addr", "add", f"{self.ADDRESS}/24", "dev", "uplink0")
        self.namespace.run("ip", "link", "set", "uplink0", "up")
        self.internet.run("ip", "addr", "add", f"{self.INTERNET}/24", "dev", "wan0")
        self.internet.run("ip", "link", "set", "wan0", "up")
        self.internet.run("ip", "route", "add", "203.0.113.0/24", "dev", "wan0")

    # ---- the daemon -------------------------------------------------------------------------------------------

    def write_config(self):
        path = self.folder / "sluiced.yaml"
        path.write_text(json.dumps(self.config))  # JSON is YAML
        return path

    def start(self, wait=True):
        path = self.write_config()
        with open(self.log, "a") as log:
            self.process = self.namespace.popen(self.sluiced, "--config", path, stdout=log, stderr=log)
        if wait:
            self.wait_synced()
        return self

    def wait_synced(self, timeout=30.0):
        def synced():
            if self.process.poll() is not None:
                raise AssertionError(f"sluiced exited with {self.process.returncode}\n{self.log.read_text()[-3000:]}")
            status = self.status(check=False)
            return status if status and status["synced"] else None

        return wait_until(synced, "sluiced synced", timeout)

    def kill(self, how=signal.SIGKILL):
        self.process.send_signal(how)
        self.process.wait(timeout=20)

    def stop(self):
        self.kill(signal.SIGTERM)
        return self.process.returncode

    def status(self, check=True):
        done = self.ctl("status", "-o", "json", check=False)
        if done.returncode:
            if check:
                raise RuntimeError(done.stderr)
            return None
        return json.loads(done.stdout)

    def ctl(self, *words, check=True, **options):
        return run(SLUICECTL, "--socket", self.config["socket"], *words, check=check, **options)

    def put(self, text, *words, check=True):
        """Applies manifests through the API; with check, returns when the maps hold them."""
        return self.ctl("apply", "-f", "-", *(["--wait"] if check else []), *words, check=check, input=text)

    def get(self, kind, *words):
        """The resources of a kind."""
        return json.loads(self.ctl("get", kind, *words, "-o", "json"))["resources"]

    def restart(self):
        self.kill()
        return self.start()

    def bpf(self, what, *words):
        return json.loads(run(SLUICECTL, "bpf", what, "--pin-root", self.pin_root, "-o", "json", *words))[what]

    def tables(self, *names):
        """What the daemon has written into these tables, without what the programs count there."""
        rows = {name: self.bpf(name) for name in names}
        return {name: [{key: row[key] for key in row if key != "live"} for row in rows[name]] for name in names}

    def uplink_ports(self):
        return [row for row in self.bpf("ports") if row["kind"] == "uplink"]

    def counters(self, entry="from_pod"):
        """{reason: packets} of one entry point."""
        return {row["reason"]: row["packets"] for row in self.bpf("counters") if row["entry"] == entry}

    def counted(self, reason, entry="from_pod"):
        return self.counters(entry).get(reason, 0)

    # ---- manifests and pods -------------------------------------------------------------------------------------

    def apply(self, text, name="main.yaml"):
        """Puts a manifest in place atomically."""
        temporary = self.folder / "next"
        temporary.write_text(text)
        os.replace(temporary, self.manifests / name)

    def apply_and_wait(self, text, name="main.yaml", timeout=15.0):
        before = self.status()["revision"]
        self.apply(text, name)
        return wait_until(lambda: self._newer(before), "the new manifests are applied", timeout)

    def _newer(self, revision):
        status = self.status()
        return status if status["synced"] and status["revision"] > revision else None

    def make_namespace(self, name):
        self._namespaces += 1
        self.pods[name] = Namespace(f"{self.unique}p{self._namespaces}")
        return self.pods[name]

    def attach(self, *names):
        """Makes a namespace for each pod "network/name" and attaches it."""
        for name in names:
            namespace = self.make_namespace(name)
            self.ctl("pod", "attach", name, "--netns", namespace.path)
        return [self.pods[name] for name in names]

    def address(self, name):
        network, pod = name.split("/")
        for row in self.status()["pods"]:
            if (row["network"], row["name"]) == (network, pod):
                return row["address"].split("/")[0]
        raise KeyError(name)

    # ---- the end ------------------------------------------------------------------------------------------------

    def close(self):
        if self.process and self.process.poll() is None:
            self.kill()
        for namespace in [*self.pods.values(), self.internet, self.namespace]:
            if namespace:
                for pid in run("ip", "netns", "pids", namespace.name, check=False).stdout.split():
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(int(pid), signal.SIGKILL)
                namespace.delete()
        shutil.rmtree(self.pin_root, ignore_errors=True)
        if "KEEP" not in os.environ:
            shutil.rmtree(self.folder, ignore_errors=True)
