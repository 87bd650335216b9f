// SPDX-License-Identifier: Apache-2.0
#include "daemon/run.hpp"

#include <spdlog/spdlog.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <optional>
#include <random>
#include <set>
#include <utility>

#include "api/server.hpp"
#include "api/socket_path.hpp"
#include "base/fd.hpp"
#include "compile/compile.hpp"
#include "daemon/claim.hpp"
#include "daemon/descriptors.hpp"
#include "daemon/reload.hpp"
#include "daemon/supervision.hpp"
#include "datapath/addresses.hpp"
#include "datapath/datapath.hpp"
#include "datapath/links.hpp"
#include "datapath/pins.hpp"
#include "datapath/pod_devices.hpp"
#include "model/world.hpp"
#include "node/egress.hpp"
#include "node/event_loop.hpp"
#include "node/host_ports.hpp"
#include "node/log.hpp"
#include "node/node.hpp"
#include "store/manifest.hpp"
#include "store/manifest_store.hpp"
#include "store/node_records.hpp"
#include "store/repository.hpp"
#include "store/sqlite_key_values.hpp"
#include "store/state_folder.hpp"

namespace sluice::daemon {
namespace {

std::function<Status(const compile::Write&)> faults(std::uint32_t percent) {
  if (percent == 0) return {};
  spdlog::warn("event=fault_injection percent={}", percent);
  return [percent, random = std::mt19937(std::random_device{}())](const compile::Write&) mutable -> Status {
    if (std::uniform_int_distribution<std::uint32_t>(0, 99)(random) >= percent) return {};
    return fail(ErrorCode::kSystem, "failed on purpose (fault_injection_percent)");
  };
}

datapath::Options datapath_options(const Config& config, const store::NodeRecords& records) {
  datapath::Options options;
  options.pin_root = config.pin_root;
  options.max_pairs = config.node.limits.max_pairs;
  options.backend_arena = config.node.limits.backend_arena;
  options.ring_arena = config.node.limits.ring_arena;
  options.owner_uuid = records.uuid();
  options.force_clsact = config.force_clsact;
  options.inject_fault = faults(config.fault_injection_percent);
  return options;
}

model::Capacity capacity(const Config& config) {
  return {.flow_pairs = config.node.limits.max_pairs,
          .pools = config.floating_ip_pools,
          .tables = compile::table_sizes(config.node.limits),
          .ula_seed = model::UlaSeed{}};
}

struct Claimed {
  UniqueFd prefix;
  node::Parts parts;
};

/// All that only one daemon may have is claimed first: state folder, API socket, device prefix. Whoever is refused one
/// of them has changed no pin, device or program, which may be those of the daemon that has it.
Result<Claimed> make_parts(const Config& config) {
  if (auto kernel = datapath::Datapath::check_kernel(); !kernel) return std::unexpected(kernel.error());
  node::Parts parts;
  auto records = store::NodeRecords::open(config.state_dir);
  if (!records) return std::unexpected(records.error());
  parts.records = std::move(*records);
  if (auto free = api::clear_socket_path(config.api.socket.path); !free) return std::unexpected(free.error());
  auto prefix = claim_prefix(config.node.device_prefix);
  if (!prefix) return std::unexpected(prefix.error());
  if (!config.manifests.empty()) {
    auto manifests = store::ManifestStore::open(config.manifests, capacity(config));
    if (!manifests) return std::unexpected(manifests.error());
    parts.manifests = std::move(*manifests);
  }
  auto key_values = store::SqliteKeyValues::open(config.state_dir);
  if (!key_values) return std::unexpected(key_values.error());
  auto repository = store::Repository::open(std::move(*key_values), capacity(config));
  if (!repository) return std::unexpected(repository.error());
  parts.repository = std::move(*repository);
  auto datapath = datapath::Datapath::load(datapath_options(config, *parts.records));
  if (!datapath) return std::unexpected(datapath.error());
  parts.datapath = std::move(*datapath);
  auto devices = datapath::PodDevices::open(*parts.datapath,
                                            {config.node.device_prefix, datapath::device_group(parts.records->uuid())});
  if (!devices) return std::unexpected(devices.error());
  parts.devices = std::move(*devices);
  auto links = datapath::LinkWatch::open();
  if (!links) return std::unexpected(links.error());
  parts.links = std::move(*links);
  auto addresses = datapath::AddressWatch::open();
  if (!addresses) return std::unexpected(addresses.error());
  parts.addresses = std::move(*addresses);
  return Claimed{std::move(*prefix), std::move(parts)};
}

/// Refuses while a process holds pins below `pin_root`.
Status check_pins_unused(const std::filesystem::path& pin_root) {
  auto folders = datapath::abi_folders(pin_root);
  if (!folders) return std::unexpected(folders.error());
  for (const auto& folder : *folders) {
    if (auto pins = datapath::PinFolders::open(folder); !pins) return std::unexpected(pins.error());
  }
  return {};
}

/// Gives out addresses in a world that is thrown away, and compiles: what does not fit, the daemon would refuse. The
/// real store is not asked, because a daemon that runs has it.
Status check_sizes(const Config& config, const model::State& state) {
  model::World world(capacity(config));
  std::vector<model::Edit> edits;
  const auto put_all = [&edits](const auto& resources) {
    for (const auto& [name, resource] : resources) {
      model::Resource value(resource);
      const model::Key key = model::key_of(value);
      edits.push_back({key, std::move(value)});
    }
  };
  put_all(state.networks);
  put_all(state.floating_ips);
  put_all(state.pods);
  put_all(state.services);
  auto made = world.edit(std::move(edits));
  if (!made) return std::unexpected(store::summarize(made.error()));
  sluice_settings settings = config.node.settings;
  settings.max_pairs = config.node.limits.max_pairs;
  auto tables = compile::compile({world.state(), world.assignments(), {}, {}, settings, config.node.limits}, {});
  if (!tables) return std::unexpected(tables.error());
  return {};
}

/// The lock of the state folder, with the database if it can be read.
struct StateLock {
  std::optional<store::StateFolder> folder;
  std::unique_ptr<store::NodeRecords> records;
};

/// A database that is damaged must not stand in the way of purge(): the pins say whose devices to remove as well.
Result<StateLock> lock_state(const Config& config) {
  StateLock lock;
  if (!std::filesystem::exists(config.state_dir)) return lock;
  auto records = store::NodeRecords::open(config.state_dir);
  if (records) {
    lock.records = std::move(*records);
    return lock;
  }
  auto folder = store::StateFolder::open(config.state_dir);
  if (!folder) return std::unexpected(folder.error());
  spdlog::warn("event=state_unreadable error={}", node::quote(records.error().message));
  lock.folder = std::move(*folder);
  return lock;
}

/// Only what the daemon has made: the folder may be shared by mistake, and this cannot be undone.
Status remove_state(const std::filesystem::path& folder) {
  std::error_code failure;
  if (!std::filesystem::exists(folder, failure)) return {};
  for (const auto& entry : std::filesystem::directory_iterator(folder, failure)) {
    const std::string name = entry.path().filename().string();
    if (name.starts_with("state.db") || name.starts_with("store.db") || name == "lock")
      std::filesystem::remove(entry.path(), failure);
    if (failure) return fail_errno("remove " + entry.path().string(), failure.value());
  }
  std::filesystem::remove(folder, failure);
  if (failure) return fail_errno("remove " + folder.string(), failure.value());
  return {};
}

class Signals {
 public:
  static Result<Signals> open() {
    sigset_t set;
    sigemptyset(&set);
    for (const int number : {SIGTERM, SIGINT, SIGHUP}) sigaddset(&set, number);
    UniqueFd fd(::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
    if (!fd.valid()) return fail_errno("signalfd");
    return Signals(std::move(fd));
  }

  Status watch(node::EventLoop& loop, std::function<void()> reload) {
    return loop.watch(fd_.get(), [this, &loop, reload = std::move(reload)] {
      signalfd_siginfo info{};
      if (::read(fd_.get(), &info, sizeof(info)) != sizeof(info)) return;
      spdlog::info("event=signal number={}", info.ssi_signo);
      if (info.ssi_signo == SIGHUP) {
        reload();
      } else {
        loop.stop();
      }
    });
  }

 private:
  explicit Signals(UniqueFd fd) : fd_(std::move(fd)) {}
  UniqueFd fd_;
};

std::string joined(const std::vector<std::string_view>& keys) {
  std::string text;
  for (const std::string_view key : keys) text += (text.empty() ? "" : ",") + std::string(key);
  return text.empty() ? "none" : text;
}

/// Reads the file again. What may change takes effect; `running` keeps the values that are in force.
void reload(const std::filesystem::path& file, Config& running, node::Node& node) {
  const auto read = load_config(file);
  if (!read) {
    spdlog::error("event=reload_refused file={} error={}", node::quote(file.string()),
                  node::quote(read.error().message));
    return;
  }
  const Differences found = differences(running, *read);
  // Whatever `sluicectl log-level` said: the file is what the operator wants from now on.
  running.log_level = read->log_level;
  spdlog::set_level(spdlog::level::from_str(running.log_level));
  running.floating_ip_pools = read->floating_ip_pools;
  node.change_pools(running.floating_ip_pools);
  running.node.settings = read->node.settings;
  // Everything is compiled anew for them.
  if (found.has_live("timeouts") || found.has_live("sweep") || found.has_live("refusals_per_second")) {
    node.change_settings(running.node.settings);
  }
  if (found.has_live("pod_mtu") || found.has_live("mtu_reserve")) {
    running.node.mtu = read->node.mtu;
    node.change_mtu(running.node.mtu);
  }
  if (found.has_live("egress")) {
    running.node.egress = read->node.egress;
    node.change_egress(running.node.egress);
  }
  node.reload();
  spdlog::info("event=reloaded changed={}", joined(found.live));
  if (!found.needs_restart.empty()) {
    spdlog::warn("event=reload_incomplete keys={} remedy=\"these keys need a restart of sluiced\"",
                 joined(found.needs_restart));
  }
}

std::string state_line(const store::Repository& repository) {
  const std::string refusal = repository.refuses_writes();
  return "revision " + std::to_string(repository.revision()) + (refusal.empty() ? "" : "; writes refused: " + refusal);
}

}  // namespace

Status run(const std::filesystem::path& file, Config config, const std::string& version) {
  if (auto provided = provide_descriptors(api::descriptors_of(config.api.limits)); !provided) return provided;
  auto loop = node::EventLoop::open();
  if (!loop) return std::unexpected(loop.error());
  auto claimed = make_parts(config);
  if (!claimed) return std::unexpected(claimed.error());
  node::Node node(**loop, std::move(claimed->parts), config.node);
  if (auto started = node.start(); !started) return started;
  auto signals = Signals::open();
  if (!signals) return std::unexpected(signals.error());
  Supervision supervision(**loop, [&node] { return state_line(node.repository()); });
  auto watched = signals->watch(**loop, [&] {
    supervision.reloading();
    reload(file, config, node);
    supervision.reloaded();
  });
  if (!watched) return watched;
  api::ServerOptions api = config.api;
  api.version = version;
  auto server = api::Server::start(node, node.repository(), api);
  if (!server) return std::unexpected(server.error());
  supervision.ready();
  spdlog::info("event=ready version={} socket={}", version, config.api.socket.path.string());
  const Status outcome = (*loop)->run();
  node.end_waits();
  supervision.stopping();
  (*server)->stop();
  spdlog::info("event=stopped datapath=running");
  return outcome;
}

Result<std::string> check(const Config& config) {
  if (config.manifests.empty()) return "the configuration is valid; the state comes by the API";
  auto manifests = store::ManifestStore::open(config.manifests, capacity(config));
  if (!manifests) return std::unexpected(manifests.error());
  auto snapshot = (*manifests)->read();
  if (!snapshot) return std::unexpected(snapshot.error());
  const model::State& state = *snapshot->state;
  if (auto fits = check_sizes(config, state); !fits) return std::unexpected(fits.error());
  return "configuration and manifests are valid: " + std::to_string(state.networks.size()) + " networks, " +
         std::to_string(state.pods.size()) + " pods, " + std::to_string(state.services.size()) + " services, " +
         std::to_string(state.floating_ips.size()) + " floating IPs";
}

Status reserve_ports(const Config& config) {
  const auto& egress = config.node.egress;
  if (!egress || !node::wants_shared_ports(*egress)) return {};
  return node::reserve_ports(egress->ports);
}

Status purge(const Config& config, bool state) {
  auto lock = lock_state(config);
  if (!lock) return std::unexpected(lock.error());
  const auto prefix = claim_prefix(config.node.device_prefix);
  if (!prefix) return std::unexpected(prefix.error());
  if (auto unused = check_pins_unused(config.pin_root); !unused) return unused;
  // Devices first: a pod whose device has gone sends nothing past the programs that go next.
  std::set<std::array<std::uint8_t, 16>> stores;
  if (lock->records) stores.insert(lock->records->uuid());
  if (const auto pinned = datapath::Datapath::pinned_owner(config.pin_root)) stores.insert(*pinned);
  for (const auto& uuid : stores) {
    auto removed = datapath::remove_leftover_devices({config.node.device_prefix, datapath::device_group(uuid)}, {});
    if (!removed) return std::unexpected(removed.error());
    for (const std::string& device : *removed) spdlog::info("event=device_removed device={}", device);
  }
  if (auto purged = datapath::Datapath::purge(config.pin_root); !purged) return purged;
  return state ? remove_state(config.state_dir) : Status{};
}

}  // namespace sluice::daemon
