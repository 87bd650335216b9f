// SPDX-License-Identifier: Apache-2.0
// What is wrong with one message, collected while it is read, and the readers that several resources share.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.hpp"
#include "model/resource.hpp"
#include "wire/resources.pb.h"

namespace sluice::wire {

class Findings {
 public:
  /// Above this many nobody reads on, and a hostile message must not fill the memory.
  static constexpr std::size_t kMost = 100;

  explicit Findings(std::string resource) : resource_(std::move(resource)) {}

  void add(std::string_view field, std::string_view value, std::string_view problem, std::string_view remedy);

  /// The value if nothing is wrong, otherwise one kInvalid error with every finding.
  template <typename T>
  Result<T> result(T value) && {
    if (error_.details.empty()) return value;
    return std::unexpected(std::move(error_));
  }

 private:
  std::string resource_;
  Error error_{ErrorCode::kInvalid, ""};
};

/// Nothing if the text is empty or wrong; what is wrong is a finding.
std::optional<Ipv4> read_address(std::string_view field, const std::string& text, Findings& findings);
std::optional<Ipv6> read_address6(std::string_view field, const std::string& text, Findings& findings);
std::optional<Cidr4> read_prefix(std::string_view field, const std::string& text, Findings& findings);
std::optional<Cidr6> read_prefix6(std::string_view field, const std::string& text, Findings& findings);
/// Each family once.
model::Families read_families(const google::protobuf::RepeatedField<int>& families, Findings& findings);
void write_families(model::Families families, google::protobuf::RepeatedField<int>& to);
/// 0 is let through: model::check() judges it with the words of its place.
std::uint16_t read_port(const std::string& field, std::uint32_t number, Findings& findings);
model::Protocol read_protocol(const std::string& field, v1::Protocol protocol, Findings& findings);

template <typename MessageLabels>
model::Labels read_labels(const MessageLabels& labels) {
  return {labels.begin(), labels.end()};
}
template <typename MessageLabels>
void write_labels(const model::Labels& labels, MessageLabels& to) {
  to.insert(labels.begin(), labels.end());
}
/// Names the network `default` where the message names none.
model::Name read_name(const std::string& network, const std::string& name);
/// TCP is what absence means.
v1::Protocol to_message(model::Protocol protocol);

v1::Pod pod_message(const model::Pod& pod);
Result<model::Pod> read_pod(const v1::Pod& message);
v1::Service service_message(const model::Service& service);
Result<model::Service> read_service(const v1::Service& message);

}  // namespace sluice::wire
