# SPDX-License-Identifier: Apache-2.0
"""confined.py UNIT WRITABLE[:WRITABLE...] COMMAND...: runs the command as systemd would run it by that unit file.

It reads the unit's own lines, so that the tests run with what is shipped: CapabilityBoundingSet, NoNewPrivileges,
ProtectSystem=strict, ProtectHome, RestrictNamespaces, RestrictAddressFamilies, MemoryDenyWriteExecute and
SystemCallFilter. WRITABLE stands for the unit's own directories and ReadWritePaths, which tests have elsewhere. What only
systemd can do is tested under systemd: vmtests/unit.
WITHOUT=CAP_X in the environment takes one capability more.
"""

import ctypes
import os
import pathlib
import subprocess
import sys

CAPABILITIES = """CHOWN DAC_OVERRIDE DAC_READ_SEARCH FOWNER FSETID KILL SETGID SETUID SETPCAP LINUX_IMMUTABLE
NET_BIND_SERVICE NET_BROADCAST NET_ADMIN NET_RAW IPC_LOCK IPC_OWNER SYS_MODULE SYS_RAWIO SYS_CHROOT SYS_PTRACE SYS_PACCT
SYS_ADMIN SYS_BOOT SYS_NICE SYS_RESOURCE SYS_TIME SYS_TTY_CONFIG MKNOD LEASE AUDIT_WRITE AUDIT_CONTROL SETFCAP
MAC_OVERRIDE MAC_ADMIN SYSLOG WAKE_ALARM BLOCK_SUSPEND AUDIT_READ PERFMON BPF CHECKPOINT_RESTORE""".split()
FAMILIES = {"AF_UNIX": 1, "AF_INET": 2, "AF_INET6": 10, "AF_NETLINK": 16}
NAMESPACES = {"cgroup": 0x02000000, "ipc": 0x08000000, "net": 0x40000000, "mnt": 0x00020000, "pid": 0x20000000,
              "user": 0x10000000, "uts": 0x04000000}
PR_CAPBSET_DROP, PR_SET_NO_NEW_PRIVS = 24, 38
EPERM, ENOSYS, EAFNOSUPPORT = 1, 38, 97
ALLOW, LOG_ERRNO = 0x7FFF0000, 0x00050000
EQUAL, MASKED = 4, 7
WRITE, EXECUTE = 2, 4
CLONE_NEWNS, MS_REC, MS_SLAVE, MS_BIND, MS_RDONLY = 0x00020000, 0x4000, 1 << 19, 0x1000, 1
MOUNT_SETATTR, AT_RECURSIVE, MOUNT_ATTR_RDONLY = 442, 0x8000, 1

libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno() or -result, what)
    return result


def settings(unit):
    """{key: [values]} of [Service], as written."""
    found, section = {}, None
    for line in pathlib.Path(unit).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif section == "[Service]" and "=" in line and not line.startswith("#"):
            key, value = line.split("=", 1)
            found.setdefault(key, []).append(value)
    return found


def capabilities(unit):
    return settings(unit)["CapabilityBoundingSet"][0].split()


def syscalls(word):
    """The names behind @group or a name."""
    if not word.startswith("@"):
        return {word}
    lines = subprocess.run(["systemd-analyze", "syscall-filter", word], capture_output=True, text=True, check=True)
    names = set()
    for line in lines.stdout.splitlines()[1:]:
        name = line.strip()
        if name and not name.startswith("#"):
            names |= syscalls(name)
    return names


def allowed_syscalls(unit):
    names = set(syscalls("@default"))
    for line in settings(unit)["SystemCallFilter"]:
        words = set().union(*(syscalls(word) for word in line.lstrip("~").split()))
        names = names - words if line.startswith("~") else names | words
    return names


class Argument(ctypes.Structure):
    _fields_ = [("argument", ctypes.c_uint), ("compare", ctypes.c_int), ("first", ctypes.c_uint64),
                ("second", ctypes.c_uint64)]  # EQUAL: first; MASKED: argument & first == second


def load_filter(unit):
    lines = settings(unit)
    seccomp = ctypes.CDLL("libseccomp.so.2", use_errno=True)
    seccomp.seccomp_init.restype = ctypes.c_void_p
    context = ctypes.c_void_p(seccomp.seccomp_init(LOG_ERRNO | EPERM))
    names = allowed_syscalls(unit)

    def add(name, *arguments, action=ALLOW):
        number = seccomp.seccomp_syscall_resolve_name(name.encode())
        if number < 0:
            return  # of another architecture
        array = (Argument * max(len(arguments), 1))(*arguments)
        checked(seccomp.seccomp_rule_add_array(context, action, number, len(arguments), array), name)

    def only(name, *choices):
        names.discard(name)
        for choice in choices:
            add(name, choice)

    only("socket", *(Argument(0, EQUAL, FAMILIES[family], 0) for family in lines["RestrictAddressFamilies"][0].split()))
    everything = sum(NAMESPACES.values())
    permitted = sum(NAMESPACES[kind] for kind in lines["RestrictNamespaces"][0].split())
    only("setns", *(Argument(1, EQUAL, NAMESPACES[kind], 0) for kind in lines["RestrictNamespaces"][0].split()))
    only("unshare", Argument(0, MASKED, everything & ~permitted, 0))
    only("clone", Argument(0, MASKED, everything & ~permitted, 0))
    only("clone3")
    add("clone3", action=LOG_ERRNO | ENOSYS)  # its flags are in memory; libc then falls back to clone
    assert lines["MemoryDenyWriteExecute"] == ["yes"]
    only("mmap", Argument(2, MASKED, EXECUTE, 0), Argument(2, MASKED, WRITE | EXECUTE, EXECUTE))
    only("mprotect", Argument(2, MASKED, EXECUTE, 0))
    only("pkey_mprotect", Argument(2, MASKED, EXECUTE, 0))
    for name in sorted(names):
        add(name)
    checked(seccomp.seccomp_load(context), "seccomp_load")


class MountAttributes(ctypes.Structure):
    _fields_ = [("set", ctypes.c_uint64), ("clear", ctypes.c_uint64), ("propagation", ctypes.c_uint64),
                ("userns", ctypes.c_uint64)]


def set_read_only(path, read_only):
    attributes = MountAttributes(MOUNT_ATTR_RDONLY if read_only else 0, 0 if read_only else MOUNT_ATTR_RDONLY, 0, 0)
    checked(libc.syscall(MOUNT_SETATTR, -100, str(path).encode(), AT_RECURSIVE, ctypes.byref(attributes),
                         ctypes.sizeof(attributes)), f"mount_setattr {path}")


def protect_files(unit, writable):
    lines = settings(unit)
    assert lines["ProtectSystem"] == ["strict"] and lines["ProtectHome"] == ["yes"]
    checked(libc.unshare(CLONE_NEWNS), "unshare")
    checked(libc.mount(None, b"/", None, MS_REC | MS_SLAVE, None), "make / a slave")
    for path in writable:
        checked(libc.mount(path.encode(), path.encode(), None, MS_BIND | MS_REC, None), f"bind {path}")
    set_read_only("/", True)
    for path in writable:
        set_read_only(path, False)
    for home in ("/home", "/root"):
        checked(libc.mount(b"tmpfs", home.encode(), b"tmpfs", MS_RDONLY, None), f"hide {home}")


def drop_capabilities(keep):
    """Root's execve gives what the bounding set has."""
    for number, name in enumerate(CAPABILITIES):
        held = libc.prctl(23, number, 0, 0, 0)  # PR_CAPBSET_READ
        if f"CAP_{name}" not in keep and held == 1:
            checked(libc.prctl(PR_CAPBSET_DROP, number, 0, 0, 0), f"drop CAP_{name}")


def main():
    unit, writable, command = sys.argv[1], sys.argv[2].split(":"), sys.argv[3:]
    lines = settings(unit)
    protect_files(unit, writable)
    os.umask(int(lines["UMask"][0], 8))
    os.chdir("/")
    drop_capabilities([name for name in capabilities(unit) if name != os.environ.get("WITHOUT")])
    assert lines["NoNewPrivileges"] == ["yes"]
    checked(libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
    load_filter(unit)
    os.execv(command[0], command)


if __name__ == "__main__":
    main()
