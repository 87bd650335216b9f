// SPDX-License-Identifier: Apache-2.0
#include "statistics.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

namespace sluice::benchmark {

namespace {

// The smallest rank k (from 1) with P(the k-th smallest of n values >= median) >= 0.95, that is
// P(Binomial(n, 1/2) < k) >= 0.95; n + 1 if there is none.
std::size_t upper_rank(std::size_t n) {
  double term = std::pow(0.5, static_cast<double>(n));
  double below = 0;
  for (std::size_t k = 1; k <= n; ++k) {
    below += term;
    if (below >= 0.95) return k;
    term *= static_cast<double>(n - k + 1) / static_cast<double>(k);
  }
  return n + 1;
}

}  // namespace

Summary summarize(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t n = values.size();
  const std::size_t rank = upper_rank(n);
  Summary summary;
  summary.median = n % 2 == 1 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
  summary.min = values.front();
  summary.max = values.back();
  summary.upper = rank <= n ? values[rank - 1] : std::numeric_limits<double>::infinity();
  return summary;
}

double percentile(std::vector<double> values, double percent) {
  std::ranges::sort(values);
  const auto rank = static_cast<std::size_t>(std::ceil(percent / 100 * static_cast<double>(values.size())));
  return values.at(std::max<std::size_t>(rank, 1) - 1);
}

}  // namespace sluice::benchmark
