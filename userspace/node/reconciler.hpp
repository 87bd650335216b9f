// SPDX-License-Identifier: Apache-2.0
// compile -> diff -> apply against one datapath, following what its maps hold.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>

#include "base/result.hpp"
#include "compile/compile.hpp"
#include "datapath/datapath.hpp"

namespace sluice::node {

/// Plain counters since the start.
struct ReconcileCounters {
  std::uint64_t reconciles = 0;      ///< runs, successful or not
  std::uint64_t writes = 0;          ///< map writes of plans that were applied in full
  std::uint64_t write_failures = 0;  ///< plans that the kernel (or a test) stopped
  std::uint64_t drifts = 0;          ///< verifications that found the maps changed by somebody else
  std::chrono::microseconds last_duration{0};
};

class Reconciler {
 public:
  /// The datapath must outlive it. Nothing is read before the first use.
  explicit Reconciler(datapath::Datapath& datapath) : datapath_(datapath) {}

  /// Makes the maps hold what `input` asks for and gives the number of writes that it took. A failure of compile
  /// (kExhausted, kInvalid) has written nothing. After a failed write the maps are read again before the next run,
  /// because nobody knows how far the plan came.
  ///
  /// Retries of an unchanged input must say so: they go on with the tables of the failed run, because slots and
  /// generations that were written but are not named by a record yet would otherwise be chosen anew each time, and a
  /// large change would never come through where a few writes fail.
  enum class Input { kNew, kSame };
  Result<std::size_t> reconcile(const compile::Input& input, Input kind = Input::kNew);

  /// As reconcile(), for an input that differs from the one of the last successful run by `change` alone: what nothing
  /// has changed is not compiled again.
  Result<std::size_t> follow(const compile::Input& input, const model::Change& change);

  /// The input is another one than that of the failed run, whatever the next one is called with.
  void forget_wanted() { wanted_.reset(); }

  /// Services that the tables have no room for, with the reason: they are left out, so that the others (of other
  /// tenants too) do not wait for somebody to make room. The World refuses what can be known beforehand; what is left
  /// is a store from larger tables, and gaps that are too small. Of the last run.
  [[nodiscard]] const std::map<model::Name, std::string>& left_out() const { return left_out_; }

  /// Whether compile() can make tables of `input`, of all of it; writes nothing.
  Status check(const compile::Input& input);

  /// Forgets what the maps are thought to hold and reads them.
  Status read_back();

  /// As reconcile(), after reading the maps again. Writes that are needed are counted as a drift if the maps were
  /// right before.
  Result<std::size_t> verify(const compile::Input& input);

  /// What the maps hold; meaningful while known().
  [[nodiscard]] const compile::Tables& actual() const { return actual_; }
  [[nodiscard]] bool known() const { return known_; }
  /// The writes that the last run found necessary; smaller than before means that a retry has made progress.
  [[nodiscard]] std::size_t last_plan() const { return last_plan_; }
  [[nodiscard]] const ReconcileCounters& counters() const { return counters_; }

 private:
  Result<std::size_t> timed(const std::function<Result<std::size_t>()>& run);
  Result<std::size_t> run(const compile::Input& input, Input kind);
  Result<std::size_t> run_follow(const compile::Input& input, const model::Change& change);
  compile::Space& space(const compile::Limits& limits);
  Result<std::size_t> write(const compile::Plan& plan);
  Result<compile::Tables> compile_what_fits(const compile::Input& input, const model::Index& index);

  datapath::Datapath& datapath_;
  compile::Tables actual_;
  std::optional<compile::Tables> wanted_;  ///< of a run whose plan was not applied in full
  std::optional<compile::Space> space_;    ///< of actual_; made when it is needed
  std::optional<model::Index> index_;      ///< of the state of the last run, if that succeeded
  std::map<model::Name, std::string> left_out_;
  std::size_t last_plan_ = 0;
  bool known_ = false;  ///< actual_ is what the maps hold
  ReconcileCounters counters_;
};

}  // namespace sluice::node
