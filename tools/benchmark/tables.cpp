// SPDX-License-Identifier: Apache-2.0
#include "tables.hpp"

#include <vector>

#include "shipped_object.hpp"

namespace sluice::benchmark {

namespace {

// The arenas do not change a packet's cost; small ones leave memory for several loaded copies.
constexpr std::uint32_t kBackends = 65536;
constexpr std::uint32_t kRingBlocks = 32768;
constexpr std::uint32_t kOtherFamily = 16;  // pairs

bpf_object* open_object(const std::string& file) {
  if (!file.empty()) return bpf_object__open_file(file.c_str(), nullptr);
  std::size_t size = 0;
  const void* bytes = shipped_object(&size);
  LIBBPF_OPTS(bpf_object_open_opts, options);
  options.object_name = "sluice";
  return bpf_object__open_mem(bytes, size, &options);
}

}  // namespace

Result<Tables> Tables::load(const std::string& file, std::uint32_t max_pairs, Family family) {
  const std::string what = "object " + (file.empty() ? std::string("of this build") : file);
  Object object(open_object(file));
  if (!object) return fail_errno("open the " + what);
  const std::uint32_t pairs4 = family == Family::kIpv4 ? max_pairs : kOtherFamily;
  const std::uint32_t pairs6 = family == Family::kIpv6 ? max_pairs : kOtherFamily;
  const std::pair<const char*, std::uint32_t> sizes[] = {
      {"flows4", 2 * pairs4},    {"flows6", 2 * pairs6},  {"pair_keys6", pairs6}, {"pairs", max_pairs},
      {"pairs_free", max_pairs}, {"backends", kBackends}, {"rings", kRingBlocks}};
  for (const auto& [name, entries] : sizes) {
    bpf_map* map = bpf_object__find_map_by_name(object.get(), name);
    if (map == nullptr) return fail(ErrorCode::kNotFound, "the " + what + " has no map " + name);
    if (bpf_map__set_max_entries(map, entries) != 0) return fail_errno(std::string("size the map ") + name);
  }
  if (bpf_object__load(object.get()) != 0) return fail_errno("load the " + what + " (needs root)");
  return Tables(std::move(object), max_pairs);
}

Result<int> Tables::program(const std::string& name) const {
  const bpf_program* found = bpf_object__find_program_by_name(object_.get(), name.c_str());
  if (found == nullptr) return fail(ErrorCode::kNotFound, "the object has no program " + name);
  return bpf_program__fd(found);
}

int Tables::map(const std::string& name) const {
  return bpf_object__find_map_fd_by_name(object_.get(), name.c_str());
}

Result<Counts> Tables::counts(sluice_entry entry) const {
  const int cpus = libbpf_num_possible_cpus();
  if (cpus <= 0) return fail_errno("number of CPUs", -cpus);
  std::vector<sluice_counter> values(static_cast<std::size_t>(cpus));
  Counts sums{};
  for (std::uint32_t reason = 0; reason < sums.size(); ++reason) {
    const std::uint32_t index = entry * SLUICE_COUNTER_STRIDE + reason;
    if (bpf_map_lookup_elem(map("counters"), &index, values.data()) != 0) return fail_errno("read map counters");
    for (const sluice_counter& value : values) sums.at(reason) += value.packets;
  }
  return sums;
}

}  // namespace sluice::benchmark
