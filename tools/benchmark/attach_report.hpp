// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>
#include <vector>

#include "environment.hpp"

namespace sluice::benchmark {

/// All in milliseconds.
struct AttachFigures {
  Environment environment;
  unsigned services = 0;
  unsigned pods = 0;         ///< declared
  std::vector<double> byte;  ///< from the call to the first byte
  std::vector<double> byte_of_pod;
  std::vector<double> byte_of_service;
  std::vector<double> call;       ///< the call alone
  std::vector<double> reconcile;  ///< in the call: tables and map writes, as the daemon says
  std::vector<double> cold;       ///< as `byte`, the first call after a start
  std::vector<double> floor;      ///< a plain veth pair
};

void print_table(std::ostream& out, const AttachFigures& figures);
void print_json(std::ostream& out, const AttachFigures& figures);

}  // namespace sluice::benchmark
