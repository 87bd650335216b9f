// SPDX-License-Identifier: Apache-2.0
#include "daemon/config_egress.hpp"

#include <algorithm>
#include <string>
#include <utility>

#include "model/names.hpp"
#include "model/problems.hpp"
#include "node/host_ports.hpp"

namespace sluice::daemon {
namespace {

constexpr std::uint16_t kLowestPort = 1024;
constexpr std::uint32_t kFewestPorts = 64;
constexpr std::uint32_t kMostFlowsPerPod = 1'000'000;
constexpr std::size_t kMostDenied = 256;

void read_device(const store::Fields& fields, const std::vector<node::UplinkConfig>& uplinks, std::string& device) {
  if (!uplinks.empty()) device = uplinks.front().device;
  const auto value = fields.text("device");
  if (!value) return;
  if (std::ranges::find(uplinks, *value, &node::UplinkConfig::device) == uplinks.end()) {
    std::string names;
    for (const node::UplinkConfig& uplink : uplinks) names += (names.empty() ? "" : ", ") + uplink.device;
    fields.problem("device", model::in_quotes(*value) + " is none of uplinks; list it there, or choose: " + names);
  } else {
    device = *value;
  }
}

const std::vector<Cidr4>& prefixes_of(const model::Pool& pool, const Ipv4&) {
  return pool.prefixes;
}
const std::vector<Cidr6>& prefixes_of(const model::Pool& pool, const Ipv6&) {
  return pool.prefixes6;
}

/// `example` is written into the message about what is none.
template <typename Address>
void read_address(const store::Fields& fields, std::string_view field, std::string_view example,
                  const std::vector<model::Pool>& pools, node::EgressWish<Address>& wish) {
  using Kind = node::EgressWish<Address>::Kind;
  const auto value = fields.text(field);
  if (!value) return;
  wish.asked = true;
  if (*value == "node") return;
  if (*value == "none") {
    wish.kind = Kind::kNone;
    return;
  }
  const auto address = Address::parse(*value);
  if (!address || !model::is_unicast(*address)) {
    fields.problem(field, model::in_quotes(*value) +
                              " is no unicast address of its family; write: node, none, or one like " +
                              std::string(example));
    return;
  }
  for (const model::Pool& pool : pools) {
    const auto& prefixes = prefixes_of(pool, *address);
    if (std::ranges::none_of(prefixes, [&](const auto& prefix) { return prefix.contains(*address); })) continue;
    fields.problem(field, *value + " may be given to a floating IP from pool " + pool.name +
                              "; choose an address of no pool, or cut the pool's prefix around it");
  }
  wish.kind = Kind::kDedicated;
  wish.address = *address;
}

void read_ports(const store::Fields& fields, compile::PortRange& ports) {
  const auto value = fields.text("ports");
  if (!value) return;
  const auto ranges = node::parse_port_ranges(*value);
  const bool one = ranges && ranges->size() == 1;
  if (!one || ranges->front().first < kLowestPort || ranges->front().last - ranges->front().first + 1U < kFewestPorts) {
    fields.problem("ports", model::in_quotes(*value) + " is no range of at least " + std::to_string(kFewestPorts) +
                                " ports from " + std::to_string(kLowestPort) + " to 65535, like 16384-29999");
  } else {
    ports = ranges->front();
  }
}

template <typename Cidr>
void read_prefix(const store::Fields& fields, const std::string& text, std::vector<Cidr>& prefixes) {
  if (const auto prefix = Cidr::parse(text)) {
    prefixes.push_back(*prefix);
  } else {
    fields.problem("deny", prefix.error().message);
  }
}

void read_deny(const store::Fields& fields, node::EgressConfig& egress) {
  const store::YamlNode* list = fields.list("deny");
  if (list == nullptr) return;
  if (list->items.size() > kMostDenied) {
    fields.problem("deny", std::to_string(list->items.size()) + " prefixes; at most " + std::to_string(kMostDenied) +
                               " are allowed, join some");
    return;
  }
  for (const store::YamlNode& node : list->items) {
    if (node.kind != store::YamlNode::Kind::kScalar) {
      fields.problem("deny", "an entry is no text; list prefixes like 10.0.0.0/8 or \"fd00::/8\"");
    } else if (node.text.find(':') != std::string::npos) {
      read_prefix(fields, node.text, egress.deny6);
    } else {
      read_prefix(fields, node.text, egress.deny4);
    }
  }
}

}  // namespace

void read_egress(const store::Fields& fields, const store::Context& context,
                 const std::vector<node::UplinkConfig>& uplinks, const std::vector<model::Pool>& pools,
                 std::optional<node::EgressConfig>& egress) {
  const store::YamlNode* map = fields.map("egress");
  if (map == nullptr) return;
  const store::Fields item(*map, context, "egress.");
  item.check({.known = {kEgressKeys.begin(), kEgressKeys.end()}, .later = {}});
  if (uplinks.empty()) {
    fields.problem("egress", "there is no uplink to leave by; list a device under uplinks, or remove egress");
    return;
  }
  node::EgressConfig read;
  read_device(item, uplinks, read.device);
  read_address(item, "address4", "203.0.113.5", pools, read.address4);
  read_address(item, "address6", "2001:db8::5", pools, read.address6);
  if (read.address4.kind == node::EgressWish<Ipv4>::Kind::kNone &&
      read.address6.kind == node::EgressWish<Ipv6>::Kind::kNone) {
    fields.problem("egress", "both address4 and address6 are none, so that nobody leaves; remove egress instead");
  }
  read_ports(item, read.ports);
  read.flows_per_pod = item.number("flows_per_pod", 1, kMostFlowsPerPod).value_or(read.flows_per_pod);
  read_deny(item, read);
  egress = std::move(read);
}

}  // namespace sluice::daemon
