// SPDX-License-Identifier: Apache-2.0
// Shared by the parts of validate().
#pragma once

#include <map>
#include <string>
#include <string_view>
#include <tuple>
#include <utility>
#include <vector>

#include "model/validate.hpp"

namespace sluice::model {

/// Who holds a static address, by (network, address).
using AddressHolders = std::map<std::pair<std::string_view, Ipv4>, std::string>;

class Problems {
 public:
  void add(ErrorCode code, std::string_view resource, std::string_view field, std::string_view text) {
    errors_.push_back({code, std::string(resource) + ": " + std::string(field) + ": " + std::string(text)});
  }
  std::vector<Error> take() { return std::move(errors_); }

 private:
  std::vector<Error> errors_;
};

/// 0/8, 127/8, multicast and everything above it: no host has such an address.
bool is_unicast(Ipv4 address);
/// Checks that `address` is none of the network's reserved ones and that no other resource asks for it.
void check_static_address(const State& state, const std::string& network, const std::string& resource, Ipv4 address,
                          AddressHolders& holders, Problems& problems);
void check_names(const std::string& resource, const Name& key, const Name& name, const State& state,
                 Problems& problems);
void check_labels(const std::string& resource, std::string_view field, const Labels& labels, Problems& problems);
void check_services(const State& state, AddressHolders& holders, Problems& problems);

}  // namespace sluice::model
