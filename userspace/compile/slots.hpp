// SPDX-License-Identifier: Apache-2.0
// Hands out slots and generations so that what the maps hold already keeps its own, and no generation comes twice.
#pragma once

#include <sluice/abi.h>

#include <optional>
#include <string>
#include <unordered_set>

#include "base/result.hpp"
#include "compile/arena.hpp"
#include "compile/tables.hpp"

namespace sluice::compile {

/// Set in the generation of a slot that has no holder, never in a holder's. Without the mark, a plan that stopped
/// between the switch to a new holder and the end of the old one would leave a slot that looks free, with the old
/// one's flows alive. So: a slot without a holder and without the mark is still to be ended.
inline constexpr std::uint32_t kFreedSlot = 0x80000000;

/// The one source of new generations: above every generation that the previous tables know (`last`). Because a freed
/// slot's array element keeps a value of its own, the highest one is never forgotten while the maps live.
class Generations {
 public:
  explicit Generations(std::uint32_t last) : last_(last) {}
  /// The mark is not set.
  Result<std::uint32_t> next();

 private:
  std::uint32_t last_ = 0;
};

/// The slots of one generation array, in one run. A slot is free if and only if no record names it. A slot that the
/// previous tables name is not given to another holder in the same run, so that no plan has a moment at which two
/// holders share one.
class SlotSpace {
 public:
  /// `what` names the slots in errors; `slots` has those that no record of the previous tables names.
  SlotSpace(std::string what, Arena& slots, const ArrayTable<std::uint32_t>& previous, Generations& generations)
      : what_(std::move(what)), slots_(slots), previous_(previous), generations_(generations) {}

  /// The same ref for the same holder; nothing if it is not current or was kept already.
  std::optional<sluice_ref> keep(const sluice_ref& ref);
  /// A new ref: the lowest free slot, or, if there is none, `former` (what the same key had) with a new generation.
  Result<sluice_ref> take(const sluice_ref& former);
  /// After all of keep() and take(): a slot that lost its holder gets a marked generation, which nothing names.
  Status end(std::uint32_t slot);
  /// The same for all of the array.
  Status end_all();
  /// The elements that get another value.
  [[nodiscard]] const ArrayTable<std::uint32_t>& changes() const { return changes_; }

 private:
  Result<sluice_ref> hold(std::uint32_t slot);

  std::string what_;
  Draft slots_;
  const ArrayTable<std::uint32_t>& previous_;
  Generations& generations_;
  ArrayTable<std::uint32_t> changes_;
  std::unordered_set<std::uint32_t> held_;
};

}  // namespace sluice::compile
