# SPDX-License-Identifier: Apache-2.0
"""Tries what the unit forbids and what the daemon needs; prints {attempt: "allowed" or the error's name} as JSON.

Run by systemd with the unit's settings, and once without them, which shows that each refusal is the unit's.
"""

import ctypes
import errno
import json
import mmap
import os
import socket
import time

libc = ctypes.CDLL(None, use_errno=True)
KEYCTL, FINIT_MODULE = 250, 313  # x86_64
CLONE_NEWNS, CLONE_NEWUSER, CLONE_NEWPID = 0x00020000, 0x10000000, 0x20000000
PER_LINUX32 = 8


def called(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "")


def write(path):
    with open(path, "w"):
        pass
    os.unlink(path)


def write_only(path):
    os.close(os.open(path, os.O_WRONLY))


def make_folder(path):
    os.mkdir(path)
    os.rmdir(path)


def make_node(path):
    os.mknod(path, 0o020600, os.makedev(1, 3))
    os.unlink(path)


def set_id_bit(path):
    with open(path, "w"):
        pass
    try:
        os.chmod(path, 0o4755)
    finally:
        os.unlink(path)


def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.sendto(b"probe", (address, 9))


def mount(path):
    called(libc.mount(b"none", path.encode(), b"tmpfs", 0, None))
    called(libc.umount2(path.encode(), 0))


def keep_name():
    name = socket.gethostname().encode()
    called(libc.sethostname(name, len(name)))


FORBIDDEN = {
    "ProtectSystem: write to /etc": lambda: write("/etc/probe"),
    "ProtectSystem: write to /usr": lambda: write("/usr/probe"),
    "ProtectSystem: write to /var/lib": lambda: write("/var/lib/probe"),
    "ReadOnlyPaths: write to /run": lambda: write("/run/probe"),
    "ReadOnlyPaths: add a unit": lambda: write("/run/systemd/system/probe"),
    "ReadOnlyPaths: change the configuration": lambda: write("/etc/sluice/probe"),
    "ProtectHome: look into /root": lambda: os.listdir("/root"),
    "ProtectHome: look into /home": lambda: os.listdir("/home"),
    "PrivateTmp: see a file in /tmp": lambda: os.stat("/tmp/of-somebody-else"),
    "PrivateTmp: see a file in /var/tmp": lambda: os.stat("/var/tmp/of-somebody-else"),
    "PrivateDevices: see the console": lambda: os.stat("/dev/ttyS0"),
    "PrivateDevices: see the memory": lambda: os.stat("/dev/mem"),
    "PrivateDevices: make a device": lambda: make_node("/var/lib/sluice/probe"),
    "ProtectControlGroups: make a cgroup": lambda: make_folder("/sys/fs/cgroup/probe"),
    "ProtectKernelTunables: pins of others": lambda: make_folder("/sys/fs/bpf/probe"),
    "ProtectKernelModules: see the modules": lambda: os.listdir("/usr/lib/modules"),
    "ProtectKernelModules: load one": lambda: called(libc.syscall(FINIT_MODULE, -1, b"", 0)),
    "ProtectKernelLogs: read the log": lambda: called(libc.klogctl(3, ctypes.create_string_buffer(64), 64)),
    "ProtectKernelLogs: see its device": lambda: os.stat("/dev/kmsg"),
    "ProtectKernelTunables: change a sysctl": lambda: write_only("/proc/sys/net/ipv4/ip_forward"),
    "ProtectKernelTunables: write to /sys": lambda: write_only("/sys/kernel/mm/transparent_hugepage/enabled"),
    "ProtectKernelTunables: read addresses of symbols": lambda: open("/proc/kallsyms").close(),
    "ProtectClock: set the clock": lambda: time.clock_settime(time.CLOCK_REALTIME, time.time()),
    "ProtectHostname: set the name": keep_name,
    "LockPersonality: change it": lambda: called(libc.personality(PER_LINUX32)),
    "MemoryDenyWriteExecute: new code": lambda: mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC),
    "RestrictRealtime: a realtime class": lambda: os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1)),
    "RestrictSUIDSGID: a set-id bit": lambda: set_id_bit("/var/lib/sluice/probe"),
    "RestrictNamespaces: mounts": lambda: called(libc.unshare(CLONE_NEWNS)),
    "RestrictNamespaces: processes": lambda: called(libc.unshare(CLONE_NEWPID)),
    "RestrictNamespaces: users": lambda: called(libc.unshare(CLONE_NEWUSER)),
    "RestrictAddressFamilies: raw packets": lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close(),
    "CapabilityBoundingSet: raw IP": lambda: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1).close(),
    "CapabilityBoundingSet: a file of another user": lambda: open("/run/of-nobody").close(),
    "IPAddressDeny: a packet to loopback": lambda: send("127.0.0.1"),
    "IPAddressDeny: a packet to the uplink's net": lambda: send("198.51.100.1"),
    "SystemCallFilter: mount": lambda: mount("/mnt"),
    "SystemCallFilter: keyctl": lambda: called(libc.syscall(KEYCTL, 0, -3, 0)),
    "SystemCallFilter: setuid": lambda: os.setuid(0),
    "SystemCallFilter: mlock": lambda: called(libc.munlockall()),
}
NEEDED = {
    "write to the state folder": lambda: write("/var/lib/sluice/probe"),
    "write to the log folder": lambda: write("/var/log/sluice/probe"),
    "write to the runtime folder": lambda: write("/run/sluice/probe"),
    "make a folder for pins": lambda: make_folder("/sys/fs/bpf/sluice/probe"),
    "read the configuration": lambda: open("/etc/sluice/sluiced.yaml").close(),
    "make an IPv4 socket": lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close(),
    "make a netlink socket": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0).close(),
    "use /dev/null": lambda: open("/dev/null", "w").close(),
}


def attempt(what):
    """In a process of its own, because some change the one that they succeed in."""
    child = os.fork()
    if child == 0:
        code = 255
        try:
            what()
            code = 0
        except OSError as error:
            code = error.errno
        finally:
            os._exit(code)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return errno.errorcode.get(code, str(code)) if code else "allowed"


if __name__ == "__main__":
    print(json.dumps({kind: {name: attempt(what) for name, what in attempts.items()}
                      for kind, attempts in (("forbidden", FORBIDDEN), ("needed", NEEDED))}))
