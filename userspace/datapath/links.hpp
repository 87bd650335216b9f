// SPDX-License-Identifier: Apache-2.0
// Watches network devices (rtnetlink).
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"

namespace sluice::datapath {

struct LinkInfo {
  std::uint32_t ifindex = 0;
  std::string name;
  Mac mac;
  std::uint32_t mtu = 0;
  bool up = false;
};

struct LinkEvent {
  enum class Kind { kNew, kGone } kind = Kind::kNew;
  LinkInfo link;
};

class LinkWatch {
 public:
  static Result<std::unique_ptr<LinkWatch>> open();
  virtual ~LinkWatch() = default;
  [[nodiscard]] virtual int fd() const = 0;
  /// Events since the last call, oldest first. If the kernel dropped some (ENOBUFS), the whole list of links is
  /// read again and `resynced` is set: what is not in it has gone.
  struct Batch {
    std::vector<LinkEvent> events;
    bool resynced = false;
  };
  virtual Result<Batch> read() = 0;
};

Result<std::vector<LinkInfo>> list_links();
Result<std::optional<LinkInfo>> find_link(const std::string& name);

}  // namespace sluice::datapath
