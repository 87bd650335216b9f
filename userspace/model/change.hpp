// SPDX-License-Identifier: Apache-2.0
// What differs between two states: the names, with what was there before. The state itself has what is there now.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>

#include "model/resources.hpp"

namespace sluice::model {

struct FormerNetwork {
  Network network;
  std::uint32_t id = 0;
  std::uint32_t slot = 0;
  bool operator==(const FormerNetwork&) const = default;
};
struct FormerPod {
  Pod pod;
  Addresses addresses;
  bool operator==(const FormerPod&) const = default;
};
struct FormerService {
  Service service;
  Addresses addresses;
  bool operator==(const FormerService&) const = default;
};

/// Each entry: a resource that was made, changed or deleted, with what it was; nothing if it did not exist.
struct Change {
  std::map<std::string, std::optional<FormerNetwork>> networks;
  std::map<Name, std::optional<FormerPod>> pods;
  std::map<Name, std::optional<FormerService>> services;
  std::map<std::string, std::optional<FloatingIp>> floating_ips;
  std::set<Name> attachments;  ///< pods whose attachment began, ended or changed

  [[nodiscard]] bool empty() const {
    return networks.empty() && pods.empty() && services.empty() && floating_ips.empty() && attachments.empty();
  }
  [[nodiscard]] std::size_t size() const {
    return networks.size() + pods.size() + services.size() + floating_ips.size() + attachments.size();
  }
  /// Takes what came after this change into it: of each resource the oldest former value stays.
  void append(Change later) {
    networks.merge(later.networks);
    pods.merge(later.pods);
    services.merge(later.services);
    floating_ips.merge(later.floating_ips);
    attachments.merge(later.attachments);
  }
};

}  // namespace sluice::model
