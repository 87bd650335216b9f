# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# Sourced by get-kernels and get-packages: a private apt state, so that packages of other Debian releases can be
# downloaded without adding anything to this machine's own sources. The mirror, its proxy and the keys are the ones
# that this machine's apt is configured with.

readonly DEBIAN_KEYRING=/usr/share/keyrings/debian-archive-keyring.gpg

# archive_of SUITE: the URI that this machine's apt uses for that suite; empty if it has none.
# apt prints 'URI/dists/SUITE/InRelease' for each source, also when no list was ever downloaded.
archive_of() {
  apt-get --print-uris update | sed -nE "s#^'([^']+)/dists/$1/InRelease'.*#\1#p" | head -n 1
}

# private_apt DIRECTORY SUITE...: makes the state in DIRECTORY, downloads the lists and exports APT_CONFIG.
private_apt() {
  local state=$1 suite main security
  shift
  # shellcheck source=/dev/null
  main=$(archive_of "$(. /etc/os-release && echo "$VERSION_CODENAME")")
  # shellcheck source=/dev/null
  security=$(archive_of "$(. /etc/os-release && echo "$VERSION_CODENAME")-security")
  if [ -z "$main" ]; then
    echo "${0##*/}: this machine's apt has no source for its own Debian release; add one to /etc/apt" >&2
    return 1
  fi
  mkdir -p "$state"/lists/partial "$state"/archives/partial
  state=$(realpath "$state")
  for suite; do
    echo "deb [signed-by=$DEBIAN_KEYRING] $main $suite main"
    case $suite in
      sid | *-backports) ;; # no security archive of their own
      *) [ -z "$security" ] || echo "deb [signed-by=$DEBIAN_KEYRING] $security $suite-security main" ;;
    esac
  done | sort -u >"$state/sources.list"
  cat >"$state/apt.conf" <<CONF
Dir::Etc::sourcelist "$state/sources.list";
Dir::Etc::sourceparts "/dev/null";
Dir::Etc::preferences "/dev/null";
Dir::Etc::preferencesparts "/dev/null";
Dir::State::lists "$state/lists";
Dir::Cache "$state";
APT::Sandbox::User "root";
Acquire::Languages "none";
Acquire::Retries "3";
CONF
  export APT_CONFIG=$state/apt.conf
  apt-get -qq update
}
