// SPDX-License-Identifier: Apache-2.0
#include "node/reconciler.hpp"

#include <utility>

namespace sluice::node {

Status Reconciler::read_back() {
  known_ = false;
  auto tables = datapath_.read_tables();
  if (!tables) return fail_in("read the maps", tables);
  actual_ = std::move(*tables);
  known_ = true;
  return {};
}

Result<std::size_t> Reconciler::reconcile(const compile::Input& input, Input kind) {
  const auto begin = std::chrono::steady_clock::now();
  auto outcome = run(input, kind);
  ++counters_.reconciles;
  counters_.last_duration =
      std::chrono::duration_cast<std::chrono::microseconds>(std::chrono::steady_clock::now() - begin);
  return outcome;
}

Result<std::size_t> Reconciler::run(const compile::Input& input, Input kind) {
  if (!known_) {
    if (auto read = read_back(); !read) return std::unexpected(read.error());
  }
  if (kind == Input::kNew || !wanted_) {
    wanted_.reset();
    auto compiled = compile::compile(input, actual_);
    if (!compiled) return std::unexpected(compiled.error());
    wanted_ = std::move(*compiled);
  }
  const compile::Plan plan = compile::diff(actual_, *wanted_);
  last_plan_ = plan.size();
  if (plan.empty()) {
    wanted_.reset();
    return std::size_t{0};
  }
  if (auto applied = datapath_.apply(plan); !applied) {
    ++counters_.write_failures;
    known_ = false;
    return std::unexpected(applied.error());
  }
  wanted_.reset();
  compile::apply(plan, actual_);
  counters_.writes += plan.size();
  return plan.size();
}

Status Reconciler::check(const compile::Input& input) {
  if (!known_) {
    if (auto read = read_back(); !read) return read;
  }
  auto tables = compile::compile(input, actual_);
  if (!tables) return std::unexpected(tables.error());
  return {};
}

Result<std::size_t> Reconciler::verify(const compile::Input& input) {
  const bool was_known = known_;
  if (auto read = read_back(); !read) return std::unexpected(read.error());
  auto writes = reconcile(input);
  if (was_known && writes && *writes != 0) ++counters_.drifts;
  return writes;
}

}  // namespace sluice::node
