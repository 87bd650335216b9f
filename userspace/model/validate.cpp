// SPDX-License-Identifier: Apache-2.0
#include "model/validate.hpp"

#include <algorithm>

#include "model/names.hpp"
#include "model/problems.hpp"

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

bool is_unicast(Ipv4 address) {
  const std::uint32_t first = address.value >> 24;
  return first != 0 && first != 127 && first < 224;
}

void check_labels(const std::string& resource, std::string_view field, const Labels& labels, Problems& problems) {
  if (labels.size() > kMaxLabels) {
    problems.add(ErrorCode::kExhausted, resource, field,
                 std::to_string(labels.size()) + " entries; at most " + std::to_string(kMaxLabels) + " are allowed");
  }
  for (const auto& [key, value] : labels) {
    if (!is_label_key(key)) {
      problems.add(ErrorCode::kInvalid, resource, field,
                   "key " + quoted(key) + " is not allowed; use 1 to 63 characters A-Z, a-z, 0-9, '.', '_', '/', '-'");
    }
    if (!is_label_value(value)) {
      problems.add(ErrorCode::kInvalid, resource, field,
                   "value " + quoted(value) + " of " + printable(key) +
                       " is not allowed; use at most 63 printable ASCII characters");
    }
  }
}

void check_names(const std::string& resource, const Name& key, const Name& name, const State& state,
                 Problems& problems) {
  if (key != name) {
    problems.add(ErrorCode::kInvalid, resource, "name", "is filed under " + quoted(key.text()));
  }
  if (!is_dns_label(name.name)) {
    problems.add(ErrorCode::kInvalid, resource, "name",
                 quoted(name.name) + " is not a DNS label; " + std::string(kDnsLabelRule));
  }
  if (!is_dns_label(name.network)) {
    problems.add(ErrorCode::kInvalid, resource, "network",
                 quoted(name.network) + " is not a DNS label; " + std::string(kDnsLabelRule));
  } else if (name.network != kDefaultNetwork && !state.networks.contains(name.network)) {
    problems.add(ErrorCode::kNotFound, resource, "network",
                 quoted(name.network) + " does not exist; declare a Network of that name");
  }
}

void check_static_address(const State& state, const std::string& network, const std::string& resource, Ipv4 address,
                          AddressHolders& holders, Problems& problems) {
  const auto found = state.networks.find(network);
  const Network& rules = found == state.networks.end() ? Network{} : found->second;
  const std::string place = " of network " + printable(network);
  const auto reserved = [&](std::string_view what) {
    problems.add(ErrorCode::kInvalid, resource, "address4",
                 address.text() + " is " + std::string(what) + place + " and reserved; choose another address");
  };
  if (address == rules.cidr4.first()) {
    reserved("the network address");
  } else if (address == rules.cidr4.last()) {
    reserved("the broadcast address");
  } else if (address == rules.router()) {
    reserved("the router");
  }
  const auto [holder, fresh] = holders.try_emplace({network, address}, resource);
  if (!fresh) {
    problems.add(ErrorCode::kExists, resource, "address4",
                 address.text() + " is taken by " + holder->second + "; choose another address");
  }
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

void check_networks(const State& state, Problems& problems) {
  for (const auto& [key, network] : state.networks) {
    const std::string resource = describe(network);
    if (key != network.name) {
      problems.add(ErrorCode::kInvalid, resource, "name", "is filed under " + quoted(key));
    }
    if (!is_dns_label(network.name)) {
      problems.add(ErrorCode::kInvalid, resource, "name",
                   quoted(network.name) + " is not a DNS label; " + std::string(kDnsLabelRule));
    }
    if (!is_dns_name(network.domain)) {
      problems.add(ErrorCode::kInvalid, resource, "domain",
                   quoted(network.domain) + " is not a DNS name; use lower-case labels joined by dots, like internal");
    }
    check_labels(resource, "labels", network.labels, problems);
    check_cidr(resource, network, problems);
    check_limits(resource, network, problems);
  }
}

void check_pod_ports(const std::string& resource, const Pod& pod, Problems& problems) {
  if (pod.ports.size() > kMaxPortsPerPod) {
    problems.add(
        ErrorCode::kExhausted, resource, "ports",
        std::to_string(pod.ports.size()) + " ports; at most " + std::to_string(kMaxPortsPerPod) + " are allowed");
  }
  for (const auto& [port_name, port] : pod.ports) {
    if (!is_dns_label(port_name)) {
      problems.add(ErrorCode::kInvalid, resource, "ports",
                   "name " + quoted(port_name) + " is not a DNS label; " + std::string(kDnsLabelRule));
    }
    if (port.port == 0) {
      problems.add(ErrorCode::kInvalid, resource, "ports",
                   "port 0 of " + quoted(port_name) + " is no port; choose 1 to 65535");
    }
  }
}

void check_pods(const State& state, AddressHolders& holders, Problems& problems) {
  for (const auto& [key, pod] : state.pods) {
    const std::string resource = describe(pod);
    check_names(resource, key, pod.name, state, problems);
    check_labels(resource, "labels", pod.labels, problems);
    check_pod_ports(resource, pod, problems);
    if (!pod.address4) continue;
    const auto network = state.networks.find(pod.name.network);
    const Cidr4 cidr = network == state.networks.end() ? Network{}.cidr4 : network->second.cidr4;
    if (!cidr.contains(*pod.address4)) {
      problems.add(ErrorCode::kInvalid, resource, "address4",
                   pod.address4->text() + " is outside " + cidr.text() + " of network " + printable(pod.name.network) +
                       "; choose an address inside it");
      continue;
    }
    check_static_address(state, pod.name.network, resource, *pod.address4, holders, problems);
  }
}

void check_floating_ips(const State& state, Problems& problems) {
  std::map<Ipv4, std::string> holders;
  for (const auto& [key, floating_ip] : state.floating_ips) {
    const std::string resource = describe(floating_ip);
    if (key != floating_ip.name) {
      problems.add(ErrorCode::kInvalid, resource, "name", "is filed under " + quoted(key));
    }
    if (!is_dns_label(floating_ip.name)) {
      problems.add(ErrorCode::kInvalid, resource, "name",
                   quoted(floating_ip.name) + " is not a DNS label; " + std::string(kDnsLabelRule));
    }
    if (!is_unicast(floating_ip.address)) {
      problems.add(ErrorCode::kInvalid, resource, "address",
                   floating_ip.address.text() + " is no unicast address; choose an address of the public side");
    }
    const auto [holder, fresh] = holders.try_emplace(floating_ip.address, resource);
    if (!fresh) {
      problems.add(ErrorCode::kExists, resource, "address",
                   floating_ip.address.text() + " is taken by " + holder->second + "; choose another address");
    }
  }
}

template <typename Resources>
void check_count_per_network(const Resources& resources, std::string_view what, std::size_t limit, Problems& problems) {
  std::map<std::string_view, std::size_t> counts;
  for (const auto& [key, resource] : resources) counts[key.network]++;
  for (const auto& [network, count] : counts) {
    if (count <= limit) continue;
    problems.add(ErrorCode::kExhausted, "network " + printable(network), what,
                 std::to_string(count) + " are declared; at most " + std::to_string(limit) +
                     " are allowed in one network, so use another one for the rest");
  }
}

void check_counts(const State& state, Problems& problems) {
  const auto total = [&](std::string_view what, std::size_t count, std::size_t limit) {
    if (count <= limit) return;
    problems.add(ErrorCode::kExhausted, "state", what,
                 std::to_string(count) + " are declared; at most " + std::to_string(limit) +
                     " are allowed on a node, so remove some");
  };
  total("networks", state.networks.size(), kMaxNetworks);
  total("floating IPs", state.floating_ips.size(), kMaxFloatingIps);
  check_count_per_network(state.pods, "pods", kMaxPodsPerNetwork, problems);
  check_count_per_network(state.services, "services", kMaxServicesPerNetwork, problems);
}

}  // namespace

std::vector<Error> validate(const State& state) {
  Problems problems;
  AddressHolders holders;
  check_counts(state, problems);
  check_networks(state, problems);
  check_floating_ips(state, problems);
  check_pods(state, holders, problems);
  check_services(state, holders, problems);
  return problems.take();
}

}  // namespace sluice::model
