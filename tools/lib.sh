# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by the scripts of this folder.

# The root of the checkout, whatever the working directory and however the script was called.
SLUICE_ROOT=$(dirname "$(dirname "$(realpath "${BASH_SOURCE[0]}")")")
export SLUICE_ROOT

say() { echo "== $*"; }

# fail MESSAGE...: ends the script.
fail() {
  echo "${0##*/}: $*" >&2
  exit 1
}

require_root() {
  [ "$(id -u)" = 0 ] || fail "needs root: it installs packages, loads BPF programs and makes network namespaces. " \
    "Run: sudo $0 $*"
}

# mount_bpffs: fine if there is one. By itself the kernel lets every user write into it.
mount_bpffs() {
  mountpoint -q /sys/fs/bpf || mount -t bpf -o mode=0700 bpf /sys/fs/bpf
}

# wait_until SECONDS DESCRIPTION command...: tries until the command succeeds, fails the script after that time.
wait_until() {
  local deadline=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$deadline" ] || fail "waited in vain for: $what"
    sleep 0.05
  done
}
