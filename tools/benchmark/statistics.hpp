// SPDX-License-Identifier: Apache-2.0
// Medians and what can be claimed about them.
#pragma once

#include <vector>

namespace sluice::benchmark {

struct Summary {
  double median = 0;
  double min = 0;
  double max = 0;
  /// Upper end of a one-sided 95 % confidence interval of the median (an order statistic, no assumption about the
  /// distribution). With fewer than 5 values there is none, and this is infinite.
  double upper = 0;
};

/// `values` must not be empty.
Summary summarize(std::vector<double> values);

/// Nearest rank: a value that was measured. `values` must not be empty.
double percentile(std::vector<double> values, double percent);

}  // namespace sluice::benchmark
