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
/// Not ::/96 (unspecified, loopback, IPv4-compatible), ::ffff:0:0/96, fe80::/10 and ff00::/8: what the datapath takes
/// for a pod's, a service's or a floating IP's.
bool is_unicast(Ipv6 address);
/// What a pod or service says of its families against the addresses that it asks for.
template <typename Resource>
void check_families(const std::string& resource, const Resource& value, Problems& problems) {
  if (value.address4 && !has_ipv4(value.families)) {
    problems.add(
        ErrorCode::kInvalid, resource, "address4",
        value.address4->text() + " is asked for, but families is IPv6 alone; add IPv4 or leave the address out",
        value.address4->text());
  }
  if (value.address6 && !has_ipv6(value.families)) {
    problems.add(
        ErrorCode::kInvalid, resource, "address6",
        value.address6->text() + " is asked for, but families is IPv4 alone; add IPv6 or leave the address out",
        value.address6->text());
  }
  if (value.address6 && !is_unicast(*value.address6)) {
    problems.add(ErrorCode::kInvalid, resource, "address6",
                 value.address6->text() + " is no unicast address of global or unique local scope; choose another one",
                 value.address6->text());
  }
}
void check_labels(const std::string& resource, std::string_view field, const Labels& labels, Problems& problems);
/// What a resource shows by itself, without any other.
void check(const Resource& resource, Problems& problems);
void check_name(const std::string& resource, const Name& name, Problems& problems);
void check_service(const Service& service, Problems& problems);

}  // namespace sluice::model
