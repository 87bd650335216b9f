// SPDX-License-Identifier: Apache-2.0
// sluice_hash_table [--json]: the published table of the hashing (docs/hashing.md), measured on the code that the
// daemon runs and the reference of the choice that the BPF programs make. `tools/bench hash` calls it.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string_view>
#include <vector>

#include "compile/hashing.hpp"

namespace {

using sluice::compile::BackendSet;
using sluice::compile::RingMember;
using sluice::compile::Secret;

constexpr Secret kSecret = {0x0706050403020100, 0x0f0e0d0c0b0a0908};
constexpr std::uint32_t kSlotsPerBackend = 100;
constexpr std::size_t kKeys = 1000000;

/// One configured set as the maps hold it.
class Service {
 public:
  Service(std::vector<RingMember> members, std::uint32_t current_size) : members_(std::move(members)) {
    for (const RingMember& member : members_) {
      sluice_backend backend{};
      backend.identity = member.identity;
      backend.state = SLUICE_BACKEND_READY;
      backends_.push_back(backend);
    }
    ready_ = static_cast<std::uint32_t>(backends_.size());
    size_ = sluice::compile::ring_size(members_.size(), kSlotsPerBackend, current_size).value();
    if (size_ == 0) return;
    const auto begin = std::chrono::steady_clock::now();
    ring_ = sluice::compile::build_ring(members_, size_, kSecret);
    blocks_ = sluice::compile::pack_ring(ring_);
    build_ms_ = std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - begin).count();
  }

  void set_ready(std::size_t index, bool ready) {
    backends_.at(index).state = ready ? SLUICE_BACKEND_READY : SLUICE_BACKEND_DOWN;
    ready_ = static_cast<std::uint32_t>(std::ranges::count(backends_, SLUICE_BACKEND_READY, &sluice_backend::state));
  }

  /// The identities that the keys get; nothing where the choice is to refuse.
  [[nodiscard]] std::vector<std::optional<std::uint32_t>> choices(const std::vector<std::uint64_t>& keys) const {
    const BackendSet set{backends_, blocks_, size_, ready_};
    std::vector<std::optional<std::uint32_t>> list;
    list.reserve(keys.size());
    for (const std::uint64_t key : keys) {
      const auto index = sluice::compile::select(set, key);
      list.push_back(index ? std::optional(backends_[*index].identity) : std::nullopt);
    }
    return list;
  }

  /// How many units each backend has: slots of the ring (exact), or keys where there is none.
  [[nodiscard]] std::vector<std::size_t> shares(const std::vector<std::uint64_t>& keys) const {
    std::vector<std::size_t> list(backends_.size());
    if (size_ != 0) {
      for (const std::uint16_t index : ring_) list[index]++;
      return list;
    }
    const BackendSet set{backends_, blocks_, size_, ready_};
    for (const std::uint64_t key : keys) list[sluice::compile::select(set, key).value()]++;
    return list;
  }

  [[nodiscard]] std::uint32_t size() const { return size_; }
  [[nodiscard]] double build_ms() const { return build_ms_; }
  [[nodiscard]] std::size_t bytes() const {
    return backends_.size() * sizeof(sluice_backend) + blocks_.size() * sizeof(sluice_ring_block);
  }

 private:
  std::vector<RingMember> members_;
  std::vector<sluice_backend> backends_;
  std::vector<std::uint16_t> ring_;
  std::vector<sluice_ring_block> blocks_;
  std::uint32_t size_ = 0;
  std::uint32_t ready_ = 0;
  double build_ms_ = 0;
};

/// Distinct identities in order, as compile() has them; the first n of n + 1 are those of n plus one.
std::vector<RingMember> members(std::size_t count) {
  std::vector<RingMember> list;
  for (std::uint32_t i = 0; list.size() < count; i++) {
    const std::uint32_t identity = sluice::compile::backend_identity(1, "pod-" + std::to_string(i), 8080);
    const bool taken = std::ranges::find(list, identity, &RingMember::identity) != list.end();
    if (!taken) list.push_back({identity, 1});
  }
  std::ranges::sort(list, {}, &RingMember::identity);
  return list;
}

/// A change: the share of keys that moved, and of those that had to because their backend went or is new.
struct Change {
  double moved = 0;
  double needed = 0;
};

Change compare(const std::vector<std::optional<std::uint32_t>>& before,
               const std::vector<std::optional<std::uint32_t>>& after, std::optional<std::uint32_t> subject) {
  std::size_t moved = 0;
  std::size_t needed = 0;
  for (std::size_t i = 0; i < before.size(); i++) {
    if (before[i] == after[i]) continue;
    moved++;
    if (before[i] == subject || after[i] == subject) needed++;
  }
  const auto keys = static_cast<double>(before.size());
  return {static_cast<double>(moved) / keys, static_cast<double>(needed) / keys};
}

nlohmann::json to_json(const Change& change) {
  return {{"moved", change.moved}, {"needed", change.needed}};
}

nlohmann::json measure(std::size_t n, const std::vector<std::uint64_t>& keys) {
  const std::vector<RingMember> list = members(n);
  Service service(list, 0);
  const auto before = service.choices(keys);
  const std::size_t subject = n / 2;
  const std::uint32_t identity = list[subject].identity;

  const std::vector<std::size_t> shares = service.shares(keys);
  double mean = 0;
  for (const std::size_t share : shares) mean += static_cast<double>(share) / static_cast<double>(n);
  double variance = 0;
  for (const std::size_t share : shares)
    variance += std::pow(static_cast<double>(share) - mean, 2) / static_cast<double>(n);

  nlohmann::json row = {{"backends", n},
                        {"algorithm", n == 1                ? "direct"
                                      : service.size() == 0 ? "rendezvous"
                                                            : "maglev"},
                        {"slots", service.size()},
                        {"bytes", service.bytes()},
                        {"build_ms", service.build_ms()},
                        {"max_over_mean", static_cast<double>(std::ranges::max(shares)) / mean},
                        {"variation", std::sqrt(variance) / mean}};

  service.set_ready(subject, false);
  const auto down = service.choices(keys);
  service.set_ready(subject, true);
  row["down"] = to_json(compare(before, down, identity));
  row["up"] = to_json(compare(down, service.choices(keys), identity));

  std::vector<RingMember> fewer = list;
  fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(subject));
  row["remove"] = to_json(compare(before, Service(fewer, service.size()).choices(keys), identity));

  const std::vector<RingMember> more = members(n + 1);
  const auto added = std::ranges::find_if(more, [&list](const RingMember& member) {
    return !std::ranges::binary_search(list, member.identity, {}, &RingMember::identity);
  });
  row["add"] = to_json(compare(before, Service(more, service.size()).choices(keys), added->identity));
  return row;
}

void print_markdown(const nlohmann::json& rows) {
  std::printf(
      "| backends | choice | slots | bytes | build, ms | max / mean | variation | one down | one up | remove one | add "
      "one "
      "|\n|---:|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n");
  for (const nlohmann::json& row : rows) {
    std::printf("| %zu | %s | %u | %zu | %.1f | %.3f | %.4f |", row["backends"].get<std::size_t>(),
                row["algorithm"].get<std::string>().c_str(), row["slots"].get<unsigned>(),
                row["bytes"].get<std::size_t>(), row["build_ms"].get<double>(), row["max_over_mean"].get<double>(),
                row["variation"].get<double>());
    for (const char* change : {"down", "up", "remove", "add"}) {
      std::printf(" %.3f %% (%.3f) |", 100 * row[change]["moved"].get<double>(),
                  100 * row[change]["needed"].get<double>());
    }
    std::printf("\n");
  }
}

/// The promise of docs/hashing.md: a backend that goes down or comes back moves its own keys and no other.
bool keeps_promise(const nlohmann::json& row) {
  return row["down"]["moved"] == row["down"]["needed"] && row["up"]["moved"] == row["up"]["needed"];
}

}  // namespace

int main(int argc, char** argv) {
  const bool json = argc == 2 && std::string_view(argv[1]) == "--json";
  if (argc > 2 || (argc == 2 && !json)) {
    std::fprintf(stderr, "usage: sluice_hash_table [--json]\n");
    return 2;
  }
  std::mt19937_64 random(1);
  std::vector<std::uint64_t> keys(kKeys);
  for (std::uint64_t& key : keys) key = random();
  nlohmann::json rows = nlohmann::json::array();
  for (const std::size_t n : {1, 2, 5, 8, 9, 10, 50, 1000, 10000}) rows.push_back(measure(n, keys));
  if (json) {
    std::cout << nlohmann::json{{"keys", kKeys}, {"slots_per_backend", kSlotsPerBackend}, {"rows", rows}}.dump(2)
              << "\n";
  } else {
    print_markdown(rows);
  }
  if (std::ranges::all_of(rows, keeps_promise)) return 0;
  std::fprintf(stderr, "a backend that went down or came back moved keys of others\n");
  return 1;
}
