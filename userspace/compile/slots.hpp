// SPDX-License-Identifier: Apache-2.0
// Hands out slots and generations so that what the maps hold already keeps its own, and no generation comes twice.
#pragma once

#include <sluice/abi.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.hpp"
#include "compile/tables.hpp"

namespace sluice::compile {

/// Set in the generation of a slot that has no holder, never in a holder's. Without the mark, a plan that stopped
/// between the switch to a new holder and the end of the old one would leave a slot that looks free, with the old
/// one's flows alive. So: a slot without a holder and without the mark is still to be ended.
inline constexpr std::uint32_t kFreedSlot = 0x80000000;

/// The one source of new generations: above every generation that the previous tables know. Because a freed slot's
/// array element keeps a value of its own, the highest one is never forgotten while the maps live.
class Generations {
 public:
  explicit Generations(const Tables& previous);
  /// The mark is not set.
  Result<std::uint32_t> next();

 private:
  std::uint32_t last_ = 0;
};

/// The slots of one generation array. A slot is free if and only if no record names it. A slot that the previous
/// tables name is not given to another holder in the same compile, so that no plan has a moment at which two
/// holders share one.
class SlotSpace {
 public:
  /// `what` names the slots in errors, `limit` is one more than the highest slot.
  SlotSpace(std::string what, std::uint32_t limit, const ArrayTable<std::uint32_t>& previous, Generations& generations);

  /// A record of the previous tables names this.
  void note(const sluice_ref& ref);
  /// The same ref for the same holder; nothing if it is not current or was kept already.
  std::optional<sluice_ref> keep(const sluice_ref& ref);
  /// A new ref: the lowest free slot, or, if there is none, `former` (what the same key had) with a new generation.
  Result<sluice_ref> take(const sluice_ref& former);
  /// What the array holds from now on; slots that lost their holder get a marked generation, which nothing names.
  Result<ArrayTable<std::uint32_t>> finish();

 private:
  Result<sluice_ref> hold(std::uint32_t slot);

  std::string what_;
  std::uint32_t limit_;
  std::uint32_t cursor_ = 1;
  ArrayTable<std::uint32_t> array_;
  Generations& generations_;
  std::vector<bool> named_;  ///< by a previous record
  std::vector<bool> held_;   ///< by a wanted record
};

}  // namespace sluice::compile
