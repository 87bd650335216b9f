// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <filesystem>
#include <iosfwd>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "environment.hpp"

namespace sluice::benchmark {

/// Times in milliseconds.
struct StoreFigures {
  Environment environment;
  std::string folder;
  unsigned objects = 0;
  unsigned set = 0;
  unsigned written_in_sets = 0;
  std::uint64_t file_bytes = 0;
  std::vector<double> sync_milliseconds;   ///< the disk's own: 4 KiB appended and synced
  std::vector<double> set_milliseconds;    ///< by set
  std::vector<double> write_milliseconds;  ///< by single write
  std::vector<double> check_milliseconds;  ///< opening: the part that reads and checks the file
  std::vector<double> load_milliseconds;   ///< opening, whole
};

/// What nobody gets around: how long the disk takes to sync.
Status measure_disk(const std::filesystem::path& folder, StoreFigures& figures);

void print_table(std::ostream& out, const StoreFigures& figures);
void print_json(std::ostream& out, const StoreFigures& figures);

}  // namespace sluice::benchmark
