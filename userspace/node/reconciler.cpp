// SPDX-License-Identifier: Apache-2.0
#include "node/reconciler.hpp"

#include <utility>

namespace sluice::node {
namespace {

/// compile() says "service NETWORK/NAME: ..." of the one that found no place; names are DNS labels.
std::optional<model::Name> service_without_room(const Error& error) {
  constexpr std::string_view kPrefix = "service ";
  const std::string_view message = error.message;
  if (error.code != ErrorCode::kExhausted || !message.starts_with(kPrefix)) return std::nullopt;
  const std::string_view name = message.substr(kPrefix.size(), message.find(':') - kPrefix.size());
  const std::size_t slash = name.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  return model::Name{std::string(name.substr(0, slash)), std::string(name.substr(slash + 1))};
}

}  // namespace

Status Reconciler::read_back() {
  known_ = false;
  space_.reset();
  auto tables = datapath_.read_tables();
  if (!tables) return fail_in("read the maps", tables);
  actual_ = std::move(*tables);
  known_ = true;
  return {};
}

Result<std::size_t> Reconciler::reconcile(const compile::Input& input, Input kind) {
  return timed([&] { return run(input, kind); });
}

Result<std::size_t> Reconciler::follow(const compile::Input& input, const model::Change& change) {
  return timed([&] { return run_follow(input, change); });
}

Result<std::size_t> Reconciler::timed(const std::function<Result<std::size_t>()>& run) {
  const auto begin = std::chrono::steady_clock::now();
  auto outcome = run();
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
    index_.reset();
    model::Index index(input.state);
    auto compiled = compile_what_fits(input, index);
    if (!compiled) return std::unexpected(compiled.error());
    // With a service left out the tables are not those of the state, and follow() must not go on from them.
    if (left_out_.empty()) index_ = std::move(index);
    wanted_ = std::move(*compiled);
  }
  return write(compile::diff(actual_, *wanted_));
}

Result<compile::Tables> Reconciler::compile_what_fits(const compile::Input& input, const model::Index& index) {
  constexpr std::size_t kMostLeftOut = 64;
  left_out_.clear();
  auto compiled = compile::compile(input, actual_, index, space(input.limits));
  if (compiled) return compiled;
  model::State reduced;
  while (!compiled && left_out_.size() < kMostLeftOut) {
    const auto culprit = service_without_room(compiled.error());
    if (!culprit) break;
    if (left_out_.empty()) reduced = input.state;
    if (reduced.services.erase(*culprit) == 0) break;
    left_out_.emplace(*culprit, compiled.error().message);
    compiled = compile::compile(
        {reduced, input.assignments, input.attachments, input.uplinks, input.settings, input.limits, input.egress},
        actual_);
  }
  if (!compiled) left_out_.clear();
  return compiled;
}

Result<std::size_t> Reconciler::run_follow(const compile::Input& input, const model::Change& change) {
  if (!known_ || wanted_ || !index_) return run(input, Input::kNew);
  index_->update(input.state, change);
  const auto plan = compile::follow(input, actual_, change, *index_, space(input.limits));
  return plan ? write(*plan) : run(input, Input::kNew);
}

compile::Space& Reconciler::space(const compile::Limits& limits) {
  if (!space_ || !space_->usable(limits)) space_.emplace(limits, actual_);
  return *space_;
}

Result<std::size_t> Reconciler::write(const compile::Plan& plan) {
  last_plan_ = plan.size();
  if (plan.empty()) {
    wanted_.reset();
    return std::size_t{0};
  }
  if (auto applied = datapath_.apply(plan); !applied) {
    if (!wanted_) {  // follow() has no tables; a retry needs them
      wanted_ = actual_;
      compile::apply(plan, *wanted_);
    }
    ++counters_.write_failures;
    known_ = false;
    return std::unexpected(applied.error());
  }
  wanted_.reset();
  if (space_) {
    compile::apply(plan, actual_, *space_);
  } else {
    compile::apply(plan, actual_);
  }
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
