// SPDX-License-Identifier: Apache-2.0
#include "model/validate.hpp"

#include <algorithm>
#include <functional>
#include <utility>

#include "base/text.hpp"
#include "model/names.hpp"
#include "model/problems.hpp"
#include "model/times.hpp"
#include "model/world.hpp"

namespace sluice::model {

std::string describe(const Network& network) {
  return "network " + printable(network.name);
}
std::string describe(const Pod& pod) {
  return describe_pod(pod.name);
}
std::string describe(const Service& service) {
  return describe_service(service.name);
}
std::string describe(const FloatingIp& floating_ip) {
  return "floating IP " + printable(floating_ip.name);
}
std::string describe_pod(const Name& name) {
  return "pod " + printable(name.text());
}
std::string describe_service(const Name& name) {
  return "service " + printable(name.text());
}

void add_default_network(State& state) {
  const std::string name(kDefaultNetwork);
  if (state.networks.contains(name)) return;
  const auto uses = [&](const auto& resources) {
    const auto found = resources.lower_bound(Name{name, ""});
    return found != resources.end() && found->first.network == name;
  };
  if (!uses(state.pods) && !uses(state.services)) return;
  Network network;
  network.name = name;
  state.networks.emplace(name, std::move(network));
}

std::optional<std::string> excess_of_guarantees(const std::map<std::string, Network>& networks, std::uint64_t pairs) {
  std::uint64_t sum = 0;
  std::vector<std::pair<std::uint32_t, std::string_view>> greediest;
  for (const auto& [name, network] : networks) {
    sum += network.guaranteed_flows;
    greediest.emplace_back(network.guaranteed_flows, name);
  }
  if (sum <= pairs) return std::nullopt;
  std::ranges::sort(greediest, std::greater<>{});
  constexpr std::size_t kShown = 5;
  const auto text = [&greediest](std::size_t i) {
    return std::string(greediest[i].second) + ' ' + std::to_string(greediest[i].first);
  };
  return listed(greediest.size(), kShown, text) + " add up to " + std::to_string(sum) + ", but the flow table has " +
         std::to_string(pairs) + " pairs; lower guaranteed_flows or raise the table's size";
}

bool is_unicast(Ipv4 address) {
  const std::uint32_t first = address.value >> 24;
  return first != 0 && first != 127 && first < 224;
}

bool is_unicast(Ipv6 address) {
  const bool low = address.high == 0 && (address.low >> 32U == 0 || address.low >> 32U == 0xffff);
  const bool link_local = address.high >> 54U == 0xfe80 >> 6U;
  const bool group = address.high >> 56U == 0xff;
  return !low && !link_local && !group;
}

void check_labels(const std::string& resource, std::string_view field, const Labels& labels, Problems& problems) {
  if (labels.size() > kMaxLabels) {
    problems.add(ErrorCode::kExhausted, resource, field,
                 std::to_string(labels.size()) + " entries; at most " + std::to_string(kMaxLabels) + " are allowed");
    return;
  }
  for (const auto& [key, value] : labels) {
    if (!is_label_key(key)) {
      problems.add(
          ErrorCode::kInvalid, resource, field,
          "key " + in_quotes(key) + " is not allowed; use 1 to 63 characters A-Z, a-z, 0-9, '.', '_', '/', '-'");
    }
    if (!is_label_value(value)) {
      problems.add(ErrorCode::kInvalid, resource, field,
                   "value " + in_quotes(value) + " of " + printable(key) +
                       " is not allowed; use at most 63 printable ASCII characters");
    }
  }
}

void Problems::add(ErrorCode code, std::string_view resource, std::string_view field, std::string_view text,
                   std::string_view value) {
  if (full()) return;
  const std::size_t split = text.rfind("; ");
  Detail detail{.resource = std::string(resource),
                .field = std::string(field),
                .value = printable(value),
                .problem = std::string(text.substr(0, split)),
                .remedy = split == std::string_view::npos ? "" : std::string(text.substr(split + 2))};
  std::string message = detail.resource + ": " + detail.field + ": " + std::string(text);
  errors_.push_back({code, std::move(message), {std::move(detail)}});
}

void check_name(const std::string& resource, const Name& name, Problems& problems) {
  const auto check_label = [&](std::string_view field, const std::string& label) {
    if (is_dns_label(label)) return;
    problems.add(ErrorCode::kInvalid, resource, field,
                 in_quotes(label) + " is not a DNS label; " + std::string(kDnsLabelRule), label);
  };
  check_label("name", name.name);
  check_label("network", name.network);
}

namespace {

void check_limits(const std::string& resource, const Network& network, Problems& problems) {
  if (network.max_flows == 0) {
    problems.add(ErrorCode::kInvalid, resource, "limits.max_flows", "0 would refuse every flow; use at least 1");
  } else if (network.guaranteed_flows > network.max_flows) {
    problems.add(ErrorCode::kInvalid, resource, "limits.guaranteed_flows",
                 std::to_string(network.guaranteed_flows) + " is above max_flows, which is " +
                     std::to_string(network.max_flows) + "; lower it or raise max_flows");
  }
}

void check_cidr(const std::string& resource, const Network& network, Problems& problems) {
  const Cidr4& cidr = network.cidr4;
  const auto wrong = [&](std::string_view field, const std::string& text) {
    problems.add(ErrorCode::kInvalid, resource, field, text);
  };
  if (cidr.length < kMinPrefixLength || cidr.length > kMaxPrefixLength) {
    wrong("cidr4", cidr.text() + " has prefix length " + std::to_string(cidr.length) + "; choose " +
                       std::to_string(kMinPrefixLength) + " to " + std::to_string(kMaxPrefixLength));
    return;
  }
  if ((cidr.address.value & ~cidr.mask()) != 0) {
    wrong("cidr4", cidr.text() + " has host bits set; the prefix is " +
                       Cidr4{Ipv4{cidr.address.value & cidr.mask()}, cidr.length}.text());
    return;
  }
  // A prefix of 8 or longer lies within one /8, so its first address tells the range.
  if (!is_unicast(cidr.first())) {
    wrong("cidr4", cidr.text() +
                       " lies in 0.0.0.0/8, 127.0.0.0/8 or 224.0.0.0/3, which no host can use; choose a private "
                       "range like 172.16.0.0/16");
    return;
  }
  const Ipv4 router = network.router();
  if (!cidr.contains(router)) {
    wrong("router4", router.text() + " is outside " + cidr.text() + "; choose an address inside it");
  } else if (router == cidr.first() || router == cidr.last()) {
    wrong("router4", router.text() + " is the " + (router == cidr.first() ? "network" : "broadcast") + " address of " +
                         cidr.text() + "; choose another one inside it");
  }
}

void check_cidr6(const std::string& resource, const Network& network, Problems& problems) {
  if (!network.cidr6) return;
  const Cidr6& cidr = *network.cidr6;
  const auto wrong = [&](const std::string& text) {
    problems.add(ErrorCode::kInvalid, resource, "cidr6", text, cidr.text());
  };
  if (!has_ipv6(network.families)) {
    wrong(cidr.text() + " is given, but families is IPv4 alone; add IPv6 or leave the prefix out");
  }
  const Ipv6 mask = cidr.mask();
  if (cidr.length < kMinPrefixLength6 || cidr.length > kMaxPrefixLength6) {
    wrong(cidr.text() + " has prefix length " + std::to_string(cidr.length) + "; choose " +
          std::to_string(kMinPrefixLength6) + " to " + std::to_string(kMaxPrefixLength6) + ", as a rule 64");
  } else if ((cidr.address.high & ~mask.high) != 0 || (cidr.address.low & ~mask.low) != 0) {
    wrong(cidr.text() + " has host bits set; clear them");
  } else if (!is_unicast(cidr.first()) || !is_unicast(cidr.last())) {
    wrong(cidr.text() +
          " lies in ::/96, ::ffff:0:0/96, fe80::/10 or ff00::/8, which no pod can use; choose a unique local prefix of "
          "fd00::/8, or leave it out to be given one");
  }
}

void check_label(const std::string& resource, const std::string& label, Problems& problems) {
  if (is_dns_label(label)) return;
  problems.add(ErrorCode::kInvalid, resource, "name",
               in_quotes(label) + " is not a DNS label; " + std::string(kDnsLabelRule), label);
}

void check_network(const Network& network, Problems& problems) {
  const std::string resource = describe(network);
  check_label(resource, network.name, problems);
  if (!is_dns_name(network.domain)) {
    problems.add(ErrorCode::kInvalid, resource, "domain",
                 in_quotes(network.domain) + " is not a DNS name; use lower-case labels joined by dots, like internal",
                 network.domain);
  }
  check_labels(resource, "labels", network.labels, problems);
  check_cidr(resource, network, problems);
  check_cidr6(resource, network, problems);
  check_limits(resource, network, problems);
}

void check_pod_ports(const std::string& resource, const Pod& pod, Problems& problems) {
  if (pod.ports.size() > kMaxPortsPerPod) {
    problems.add(
        ErrorCode::kExhausted, resource, "ports",
        std::to_string(pod.ports.size()) + " ports; at most " + std::to_string(kMaxPortsPerPod) + " are allowed");
    return;
  }
  for (const auto& [port_name, port] : pod.ports) {
    if (!is_dns_label(port_name)) {
      problems.add(ErrorCode::kInvalid, resource, "ports",
                   "name " + in_quotes(port_name) + " is not a DNS label; " + std::string(kDnsLabelRule));
    }
    if (port.port == 0) {
      problems.add(ErrorCode::kInvalid, resource, "ports",
                   "port 0 of " + in_quotes(port_name) + " is no port; choose 1 to 65535");
    }
  }
}

void check_drain(const std::string& resource, const Pod& pod, Problems& problems) {
  if (!pod.drain_deadline) return;
  const std::int64_t deadline = *pod.drain_deadline;
  if (deadline <= 0 || deadline > kLatestMoment) {
    problems.add(ErrorCode::kInvalid, resource, "drain_deadline",
                 std::to_string(deadline) + " is no time of the years 1970 to 9999; give milliseconds since 1970",
                 std::to_string(deadline));
  } else if (!pod.draining) {
    problems.add(ErrorCode::kInvalid, resource, "drain_deadline",
                 "the pod does not drain; set state: draining, or leave the deadline out", moment_text(deadline));
  }
}

void check_pod(const Pod& pod, Problems& problems) {
  const std::string resource = describe(pod);
  check_name(resource, pod.name, problems);
  check_labels(resource, "labels", pod.labels, problems);
  check_pod_ports(resource, pod, problems);
  check_families(resource, pod, problems);
  if (pod.weight > kMaxWeight) {
    problems.add(ErrorCode::kInvalid, resource, "weight",
                 std::to_string(pod.weight) + " is out of range; choose 0 to " + std::to_string(kMaxWeight),
                 std::to_string(pod.weight));
  }
  check_drain(resource, pod, problems);
}

void check_floating_ip(const FloatingIp& floating_ip, Problems& problems) {
  const std::string resource = describe(floating_ip);
  check_label(resource, floating_ip.name, problems);
  check_labels(resource, "labels", floating_ip.labels, problems);
  if (!floating_ip.pool.empty() && !is_dns_label(floating_ip.pool)) {
    problems.add(ErrorCode::kInvalid, resource, "pool",
                 in_quotes(floating_ip.pool) + " is not a DNS label; " + std::string(kDnsLabelRule), floating_ip.pool);
  }
  const auto check_unicast = [&](std::string_view field, const auto& address) {
    if (!address || is_unicast(*address)) return;
    problems.add(ErrorCode::kInvalid, resource, field,
                 address->text() + " is no unicast address; choose an address of the public side", address->text());
  };
  check_unicast("address", floating_ip.address);
  check_unicast("address6", floating_ip.address6);
}

/// WireGuard's keys: 32 bytes in base64 (RFC 4648), 44 characters of which the last is the padding.
bool is_public_key(std::string_view text) {
  constexpr std::size_t kLength = 44;
  if (text.size() != kLength || text.back() != '=') return false;
  return std::ranges::all_of(text.substr(0, kLength - 1), [](const char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '+' || c == '/';
  });
}

void check_node(const Node& node, Problems& problems) {
  const std::string resource = "node " + printable(node.name);
  check_label(resource, node.name, problems);
  check_labels(resource, "labels", node.labels, problems);
  if (node.underlay4 && !is_unicast(*node.underlay4)) {
    problems.add(ErrorCode::kInvalid, resource, "underlay4",
                 node.underlay4->text() + " is no unicast address; give the address by which other nodes reach it",
                 node.underlay4->text());
  }
  if (!node.public_key.empty() && !is_public_key(node.public_key)) {
    problems.add(ErrorCode::kInvalid, resource, "public_key",
                 in_quotes(node.public_key) + " is no WireGuard key; give 32 bytes in base64, as wg pubkey prints",
                 node.public_key);
  }
}

}  // namespace

void check(const Resource& resource, Problems& problems) {
  if (const auto* network = std::get_if<Network>(&resource)) check_network(*network, problems);
  if (const auto* floating_ip = std::get_if<FloatingIp>(&resource)) check_floating_ip(*floating_ip, problems);
  if (const auto* node = std::get_if<Node>(&resource)) check_node(*node, problems);
  if (const auto* pod = std::get_if<Pod>(&resource)) check_pod(*pod, problems);
  if (const auto* service = std::get_if<Service>(&resource)) check_service(*service, problems);
}

std::vector<Error> validate(const State& state) {
  return validate(state, Capacity{});
}

std::vector<Error> validate(const State& state, const Capacity& capacity) {
  Problems problems;
  std::vector<Edit> edits;
  const auto add_all = [&](const auto& resources) {
    for (const auto& [name, resource] : resources) {
      const Key key = key_of(Resource(resource));
      if constexpr (std::is_same_v<std::decay_t<decltype(name)>, Name>) {
        if (key.name != name)
          problems.add(ErrorCode::kInvalid, describe(resource), "name", "is filed under " + in_quotes(name.text()));
      } else if (key.name.name != name) {
        problems.add(ErrorCode::kInvalid, describe(key), "name", "is filed under " + in_quotes(name));
      }
      edits.push_back({key, Resource(resource)});
    }
  };
  add_all(state.networks);
  add_all(state.floating_ips);
  add_all(state.nodes);
  add_all(state.pods);
  add_all(state.services);
  if (!problems.empty()) return problems.take();
  World world(capacity);
  auto made = world.edit(std::move(edits));
  return made ? std::vector<Error>{} : std::move(made.error());
}

}  // namespace sluice::model
