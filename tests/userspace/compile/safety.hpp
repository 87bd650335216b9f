// SPDX-License-Identifier: Apache-2.0
// What must hold of the maps at every moment, between any two writes of any plan: what a packet could be given.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "world.hpp"

namespace sluice::compile {

/// Who a (slot, generation) was given to, ever. Filled from compiled tables; a second holder is an error.
class Holders {
 public:
  /// Returns what is wrong, or nothing.
  std::string learn(const World& world, const Tables& tables);
  /// After a plan that stopped: generations above all that `actual` knows were never written and may be given again.
  void forget_unwritten(const Tables& actual);

  [[nodiscard]] const std::string* pod(const sluice_ref& ref) const;
  [[nodiscard]] const std::string* frontend(const sluice_ref& ref) const;
  [[nodiscard]] std::uint32_t ifindex(const sluice_ref& ref) const;

 private:
  struct Holder {
    std::string name;
    std::uint32_t ifindex = 0;
  };
  std::map<std::uint32_t, Holder> pods_;  ///< by generation: it never repeats, so it is enough
  std::map<std::uint32_t, Holder> frontends_;
};

/// The first broken invariant of these maps, or an empty string.
std::string broken(const Tables& tables, const Holders& holders);

}  // namespace sluice::compile
