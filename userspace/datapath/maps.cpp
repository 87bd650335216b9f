// SPDX-License-Identifier: Apache-2.0
#include "datapath/maps.hpp"

#include <bpf/bpf.h>
#include <fmt/format.h>
#include <linux/bpf.h>

#include <cerrno>
#include <utility>

#include "base/random.hpp"
#include "datapath/map_io.hpp"
#include "datapath/port_slots.hpp"

namespace sluice::datapath {

using compile::Table;
using compile::Tables;
using compile::Write;

std::string MapShape::text() const {
  return fmt::format("type {}, key {} bytes, value {} bytes, {} entries, flags {:#x}", type, key_size, value_size,
                     max_entries, flags);
}

Result<MapShape> map_shape(int fd) {
  bpf_map_info info{};
  std::uint32_t size = sizeof(info);
  if (bpf_obj_get_info_by_fd(fd, &info, &size) != 0) return fail_errno("read what a map is");
  return MapShape{info.type, info.key_size, info.value_size, info.max_entries, info.map_flags};
}

const char* map_name(Table table) {
  switch (table) {
    case Table::kSettings:
      return "settings";
    case Table::kNetworkLimits:
      return "network_limits";
    case Table::kPorts:
      return "ports";
    case Table::kEndpoints4:
      return "endpoints4";
    case Table::kFrontends4:
      return "frontends4";
    case Table::kEndpoints6:
      return "endpoints6";
    case Table::kFrontends6:
      return "frontends6";
    case Table::kBackends:
      return "backends";
    case Table::kRings:
      return "rings";
    case Table::kEndpointGenerations:
      return "endpoint_generations";
    case Table::kFrontendGenerations:
      return "frontend_generations";
    case Table::kFrontendFilter:
      return "frontend_filter";
    case Table::kEgress:
      return "egress";
    case Table::kDenied4:
      return "egress_denied4";
    case Table::kDenied6:
      return "egress_denied6";
  }
  return "unknown";
}

Status Maps::add(const std::string& name, UniqueFd fd) {
  auto shape = map_shape(fd.get());
  if (!shape) return fail_in("map " + name, shape);
  if (name == "port_slots") {
    auto slots = PortSlots::open(fd.get());
    if (!slots) return std::unexpected(slots.error());
    port_slots_ = std::move(*slots);
  }
  maps_[name] = Entry{std::move(fd), *shape};
  return {};
}

const Maps::Entry* Maps::find(const std::string& name) const {
  const auto found = maps_.find(name);
  return found == maps_.end() ? nullptr : &found->second;
}

Result<int> Maps::fd(const std::string& name) const {
  const Entry* entry = find(name);
  if (entry == nullptr) return fail(ErrorCode::kNotFound, "there is no map " + name);
  return entry->fd.get();
}

Result<Tables> Maps::read() const {
  Tables tables;
  Status status;
  // Reads one map unless an earlier one failed.
  const auto read_one = [&](Table table, auto& into) {
    if (!status) return;
    const Entry* entry = find(map_name(table));
    if (entry == nullptr) {
      status = fail(ErrorCode::kNotFound, std::string("there is no map ") + map_name(table));
      return;
    }
    status = read_table(entry->fd.get(), entry->shape, into);
    if (!status) status = fail_in(std::string("read map ") + map_name(table), status);
  };
  compile::ArrayTable<sluice_settings> settings;
  read_one(Table::kSettings, settings);
  if (!settings.empty()) tables.settings = settings.begin()->second;
  read_one(Table::kNetworkLimits, tables.network_limits);
  read_one(Table::kPorts, tables.ports);
  read_one(Table::kEndpoints4, tables.endpoints4);
  read_one(Table::kFrontends4, tables.frontends4);
  read_one(Table::kEndpoints6, tables.endpoints6);
  read_one(Table::kFrontends6, tables.frontends6);
  read_one(Table::kBackends, tables.backends);
  read_one(Table::kRings, tables.rings);
  read_one(Table::kEndpointGenerations, tables.endpoint_generations);
  read_one(Table::kFrontendGenerations, tables.frontend_generations);
  read_one(Table::kFrontendFilter, tables.frontend_filter);
  read_one(Table::kEgress, tables.egress);
  read_one(Table::kDenied4, tables.denied4);
  read_one(Table::kDenied6, tables.denied6);
  if (!status) return std::unexpected(status.error());
  if (port_slots_) port_slots_->restore(tables.ports);
  return tables;
}

Status Maps::check(const Write& write) const {
  const char* name = map_name(write.table);
  const Entry* entry = find(name);
  if (entry == nullptr) return fail(ErrorCode::kNotFound, std::string("there is no map ") + name);
  const bool deletes = write.value.empty();
  if (deletes && entry->shape.type != BPF_MAP_TYPE_HASH && entry->shape.type != BPF_MAP_TYPE_LPM_TRIE) {
    return fail(ErrorCode::kInvalid, fmt::format("map {}: an array's elements cannot be deleted", name));
  }
  if (write.key.size() != entry->shape.key_size || (!deletes && write.value.size() != entry->shape.value_size)) {
    return fail(ErrorCode::kInvalid, fmt::format("map {}: a write of {} key and {} value bytes does not fit {}", name,
                                                 write.key.size(), write.value.size(), entry->shape.text()));
  }
  return {};
}

Status Maps::apply(const compile::Plan& plan, const InjectFault& inject_fault) const {
  for (const auto& step : plan.steps) {
    // The order inside a step is free, so the writes are sorted by table and kind to make long batches.
    std::map<std::pair<Table, bool>, std::vector<const Write*>> groups;
    for (const Write& write : step) {
      if (auto sound = check(write); !sound) return sound;
      groups[{write.table, write.value.empty()}].push_back(&write);
    }
    for (auto& [kind, writes] : groups) {
      Status injected;
      for (std::size_t i = 0; inject_fault && i < writes.size() && injected; i++) {
        injected = inject_fault(*writes[i]);
        if (!injected) writes.resize(i);  // those before it are still written, as when the kernel fails midway
      }
      const Entry* entry = find(map_name(kind.first));
      const bool ports = kind.first == Table::kPorts && port_slots_;
      if (ports) port_slots_->clear(writes);
      const Status written = write_all(entry->fd.get(), entry->shape, writes);
      if (!written) return fail_in(std::string("write map ") + map_name(kind.first), written);
      if (ports) port_slots_->fill(writes);
      if (!injected) return fail_in(std::string("write map ") + map_name(kind.first), injected);
    }
  }
  return {};
}

Result<sluice_meta> Maps::meta() const {
  auto map = fd("meta");
  if (!map) return std::unexpected(map.error());
  const std::uint32_t zero = 0;
  sluice_meta meta{};
  if (bpf_map_lookup_elem(*map, &zero, &meta) != 0) return fail_errno("read map meta");
  return meta;
}

Result<std::uint64_t> Maps::pairs_of(std::uint32_t network_slot) const {
  auto map = fd("network_usage");
  if (!map) return std::unexpected(map.error());
  sluice_network_usage usage{};
  if (bpf_map_lookup_elem(*map, &network_slot, &usage) != 0) return fail_errno("read map network_usage");
  return usage.pairs;
}

Status Maps::put_only(const std::string& name, const void* value) const {
  auto map = fd(name);
  if (!map) return std::unexpected(map.error());
  const std::uint32_t zero = 0;
  if (bpf_map_update_elem(*map, &zero, value, BPF_ANY) != 0) return fail_errno("write map " + name);
  return {};
}

Status Maps::put_meta(const sluice_meta& meta) const {
  return put_only("meta", &meta);
}

Status Maps::make_digest_key() const {
  const auto random = random_bytes<sizeof(sluice_digest_key)>();
  return random ? put_only("digest_key", random->data()) : std::unexpected(random.error());
}

}  // namespace sluice::datapath
