// SPDX-License-Identifier: Apache-2.0
// Collects what is wrong with a request, each time in words and taken apart.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.hpp"
#include "model/resource.hpp"

namespace sluice::model {

class Problems {
 public:
  /// `text` is "what is wrong; what to do instead".
  void add(ErrorCode code, std::string_view resource, std::string_view field, std::string_view text,
           std::string_view value = {});
  /// Above this many nobody reads on, and hostile input must not fill the memory.
  static constexpr std::size_t kMost = 1000;
  [[nodiscard]] bool full() const { return errors_.size() >= kMost; }
  [[nodiscard]] bool empty() const { return errors_.empty(); }
  std::vector<Error> take() { return std::exchange(errors_, {}); }

 private:
  std::vector<Error> errors_;
};

/// 0/8, 127/8, multicast and everything above it: no host has such an address.
bool is_unicast(Ipv4 address);
void check_labels(const std::string& resource, std::string_view field, const Labels& labels, Problems& problems);
/// What a resource shows by itself, without any other.
void check(const Resource& resource, Problems& problems);
void check_name(const std::string& resource, const Name& name, Problems& problems);
void check_service(const Service& service, Problems& problems);

}  // namespace sluice::model
