// SPDX-License-Identifier: Apache-2.0
#include "node_fixture.hpp"

#include <bpf/bpf.h>
#include <linux/bpf.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <functional>
#include <utility>

#include "datapath/addresses.hpp"
#include "datapath/links.hpp"
#include "store/manifest_store.hpp"
#include "store/repository.hpp"
#include "store/sqlite_key_values.hpp"

namespace sluice::node::testing {
namespace {

using datapath::testing::text;

template <typename T>
T required(Result<T> result) {
  if (result) return std::move(*result);
  ADD_FAILURE() << text(result);
  std::abort();  // nothing after this means anything
}

/// Calls `visit` with each key and value of a pinned map.
void each(const std::filesystem::path& pin,
          const std::function<bool(int, const std::vector<char>&, const std::vector<char>&)>& visit) {
  const UniqueFd map(bpf_obj_get(pin.c_str()));
  ASSERT_TRUE(map.valid()) << pin << ": " << std::strerror(errno);
  bpf_map_info info{};
  __u32 size = sizeof(info);
  ASSERT_EQ(bpf_obj_get_info_by_fd(map.get(), &info, &size), 0);
  std::vector<std::vector<char>> keys;
  std::vector<char> key(info.key_size);
  for (const void* last = nullptr; bpf_map_get_next_key(map.get(), last, key.data()) == 0; last = keys.back().data()) {
    keys.push_back(key);
  }
  std::vector<char> value(info.value_size);
  for (const auto& one : keys) {
    if (bpf_map_lookup_elem(map.get(), one.data(), value.data()) == 0 && !visit(map.get(), one, value)) return;
  }
}

template <typename Key, typename Value>
std::optional<Value> find(const std::filesystem::path& pin, const std::function<bool(const Key&)>& matches,
                          bool remove = false) {
  std::optional<Value> found;
  each(pin, [&](int map, const std::vector<char>& key_bytes, const std::vector<char>& value_bytes) {
    Key key{};
    std::memcpy(&key, key_bytes.data(), sizeof(key));
    if (!matches(key)) return true;
    found.emplace();
    std::memcpy(&*found, value_bytes.data(), sizeof(Value));
    if (remove) {
      EXPECT_EQ(bpf_map_delete_elem(map, key_bytes.data()), 0);
    }
    return false;
  });
  return found;
}

std::uint32_t wire(const std::string& address) {
  return Ipv4::parse(address).value().wire();
}

}  // namespace

Running::Running(std::unique_ptr<EventLoop> loop, std::unique_ptr<Node> node)
    : loop_(std::move(loop)), node_(std::move(node)), thread_([this] { EXPECT_TRUE(loop_->run()); }) {}

Running::~Running() {
  loop_->stop();
  thread_.join();
}

NodeStatus Running::status() const {
  return required(node_->status());
}

NodeTest::NodeTest() {
  std::string name = (std::filesystem::temp_directory_path() / "sluice-node-XXXXXX").string();
  folder_ = ::mkdtemp(name.data());
  std::filesystem::create_directory(folder_ / "manifests");
  write_manifests(two_networks());
}

NodeTest::~NodeTest() {
  std::filesystem::remove_all(folder_);
}

void NodeTest::write_manifests(const std::string& yaml) const {
  const auto draft = folder_ / "draft";
  std::ofstream(draft) << yaml;
  std::filesystem::rename(draft, folder_ / "manifests" / "all.yaml");
}

datapath::Options NodeTest::datapath_options() const {
  datapath::Options options = this->options();
  options.max_pairs = 4096;  // three networks of 1,024 guaranteed pairs fit
  return options;
}

Options NodeTest::node_options() const {
  Options options;
  options.device_prefix = "slt";
  options.limits.max_pairs = datapath_options().max_pairs;
  options.limits.backend_arena = datapath_options().backend_arena;
  options.limits.ring_arena = datapath_options().ring_arena;
  sluice_settings& settings = options.settings;
  for (__u64* duration : {&settings.tcp_half_open, &settings.tcp_established, &settings.tcp_closing,
                          &settings.tcp_closed, &settings.tcp_reset, &settings.udp_new, &settings.udp_stream,
                          &settings.icmp, &settings.sweep_interval, &settings.delete_grace}) {
    *duration = 1'000'000'000;
  }
  settings.sweep_pairs = 64;
  settings.refusals_per_second = 100;
  return options;
}

std::unique_ptr<Running> NodeTest::start(const Options& options, const datapath::Options& datapath_options) {
  auto loop = required(EventLoop::open());
  Parts parts;
  parts.records = required(store::NodeRecords::open(state_folder()));
  parts.manifests = required(store::ManifestStore::open(folder_ / "manifests"));
  parts.repository = required(store::Repository::open(required(store::SqliteKeyValues::open(state_folder())),
                                                      {.flow_pairs = options.limits.max_pairs}));
  datapath::Options with_uuid = datapath_options;
  with_uuid.owner_uuid = parts.records->uuid();
  parts.datapath = load(with_uuid);
  parts.devices = required(datapath::PodDevices::open(
      *parts.datapath, {options.device_prefix, datapath::device_group(parts.records->uuid())}));
  parts.links = required(datapath::LinkWatch::open());
  parts.addresses = required(datapath::AddressWatch::open());
  if (adjust_parts_) adjust_parts_(parts);
  auto node = std::make_unique<Node>(*loop, std::move(parts), options);
  const Status started = node->start();
  EXPECT_TRUE(started) << text(started);
  return std::make_unique<Running>(std::move(loop), std::move(node));
}

std::optional<sluice_endpoint4> NodeTest::endpoint(const std::string& address) const {
  return find<sluice_endpoint4_key, sluice_endpoint4>(
      pins() / "maps/endpoints4", [&](const sluice_endpoint4_key& key) { return key.address == wire(address); });
}

std::optional<sluice_port> NodeTest::port(std::uint32_t ifindex) const {
  return find<std::uint32_t, sluice_port>(pins() / "maps/ports",
                                          [&](const std::uint32_t& key) { return key == ifindex; });
}

std::optional<sluice_frontend4> NodeTest::frontend(const std::string& address) const {
  return find<sluice_frontend4_key, sluice_frontend4>(pins() / "maps/frontends4", [&](const sluice_frontend4_key& key) {
    return key.address == wire(address) && key.protocol == 6;
  });
}

bool NodeTest::remove_frontend(const std::string& address) const {
  return find<sluice_frontend4_key, sluice_frontend4>(
             pins() / "maps/frontends4",
             [&](const sluice_frontend4_key& key) { return key.address == wire(address) && key.protocol == 6; }, true)
      .has_value();
}

std::vector<std::string> NodeTest::everything() const {
  std::vector<std::string> records;
  for (const char* map : {"settings", "network_limits", "ports", "endpoints4", "frontends4", "backends", "rings",
                          "endpoint_generations", "frontend_generations", "frontend_filter"}) {
    each(pins() / "maps" / map, [&](int, const std::vector<char>& key, const std::vector<char>& value) {
      if (std::string(value.size(), '\0') == std::string(value.begin(), value.end())) return true;
      records.push_back(map + std::string(key.begin(), key.end()) + std::string(value.begin(), value.end()));
      return true;
    });
  }
  std::ranges::sort(records);
  return records;
}

std::string two_networks() {
  return R"(
kind: Network
name: one
---
kind: Network
name: two
---
kind: Pod
network: one
name: web-1
address4: 172.16.1.1
labels: {app: web}
---
kind: Pod
network: one
name: web-2
address4: 172.16.1.2
labels: {app: web}
---
kind: Pod
network: two
name: other
address4: 172.16.2.1
---
kind: Service
network: one
name: web
address4: 172.16.9.9
selector: {app: web}
ports: [{port: 80, target_port: 8080}]
)";
}

}  // namespace sluice::node::testing
