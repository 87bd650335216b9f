// SPDX-License-Identifier: Apache-2.0
// The daemon from its parts.
#pragma once

#include <filesystem>
#include <string>

#include "base/result.hpp"
#include "daemon/config.hpp"

namespace sluice::daemon {

/// Runs until SIGTERM or SIGINT; the datapath stays in the kernel then. SIGHUP reads `file`, which `config` came from,
/// and the manifests again. The three signals must be blocked in the calling thread, before it has made any other.
Status run(const std::filesystem::path& file, Config config, const std::string& version);

/// Reads configuration and manifests as run() would, and changes nothing. Gives a line for the user.
Result<std::string> check(const Config& config);

/// Reserves the ports that pods' flows get of the node's own address, if they leave by it. A daemon that may not write
/// sysctls needs it done before (docs/living-with-the-host.md).
Status reserve_ports(const Config& config);

/// Removes what is in the kernel: pins, programs and the devices of pods; with `state` also the database with every
/// address that was assigned. kPrecondition while a daemon runs.
Status purge(const Config& config, bool state);

}  // namespace sluice::daemon
