// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <iosfwd>

#include "cases.hpp"
#include "environment.hpp"

namespace sluice::benchmark {

struct Run {
  Environment environment;
  unsigned rounds = 0;
  unsigned cpu = 0;
};

void print_table(std::ostream& out, const Run& run, const Suite& suite);
void print_json(std::ostream& out, const Run& run, const Suite& suite);

}  // namespace sluice::benchmark
