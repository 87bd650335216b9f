// SPDX-License-Identifier: Apache-2.0
#include "harness/counters.hpp"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <gtest/gtest.h>

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

namespace bpftest {

CounterReader::CounterReader(int map) : map_(map), cpus_(static_cast<std::size_t>(libbpf_num_possible_cpus())) {}

/// One call of the kernel's, whatever `count`.
void CounterReader::read(unsigned first, unsigned count, Counters& into) const {
  std::vector<sluice_counter> values(count * cpus_);
  std::vector<std::uint32_t> keys(count);
  std::uint32_t before = first - 1;  // a batch begins behind the key that it is given
  std::uint32_t position = 0;
  std::uint32_t got = count;
  const int error =
      bpf_map_lookup_batch(map_, first == 0 ? nullptr : &before, &position, keys.data(), values.data(), &got, nullptr);
  if (error != 0 && errno != ENOENT) throw std::runtime_error(std::string("read counters: ") + std::strerror(errno));
  for (std::size_t i = 0; i < got; ++i) {
    sluice_counter sum{};
    for (std::size_t cpu = 0; cpu < cpus_; ++cpu) {
      sum.packets += values[i * cpus_ + cpu].packets;
      sum.bytes += values[i * cpus_ + cpu].bytes;
    }
    into.at(keys[i]) = sum;
  }
}

Counters CounterReader::all() const {
  Counters counters{};
  read(0, counters.size(), counters);
  return counters;
}

void CounterReader::prepare() {
  if (known_) return;
  last_ = all();
  known_ = true;
}

Counted CounterReader::take(sluice_entry entry) {
  const unsigned first = static_cast<unsigned>(entry) * SLUICE_COUNTER_STRIDE;
  const Counters before = last_;
  read(first, SLUICE_REASON_COUNT, last_);
  Counted counted;
  for (unsigned reason = 0; reason < SLUICE_REASON_COUNT; ++reason) {
    const sluice_counter &now = last_[first + reason], &then = before[first + reason];
    if (now.packets == then.packets && now.bytes == then.bytes) continue;
    counted.packets += now.packets - then.packets;
    counted.bytes += now.bytes - then.bytes;
    counted.reason = static_cast<sluice_reason>(reason);
  }
  return counted;
}

void CounterReader::expect_all_seen() const {
  if (!known_) return;
  const Counters now = all();
  for (unsigned index = 0; index < now.size(); ++index) {
    EXPECT_EQ(now[index].packets, last_[index].packets)
        << "entry " << index / SLUICE_COUNTER_STRIDE << " counted reason " << index % SLUICE_COUNTER_STRIDE
        << " in another entry's run";
  }
}

}  // namespace bpftest
