// SPDX-License-Identifier: Apache-2.0
// What a service shows by itself.
#include <set>

#include "model/names.hpp"
#include "model/problems.hpp"
#include "model/validate.hpp"

namespace sluice::model {
namespace {

std::string text_of(const ServicePort& port) {
  return std::to_string(port.port) + "/" + std::string(name(port.protocol));
}

void check_port_name(const std::string& resource, const ServicePort& port, std::set<std::string_view>& names,
                     Problems& problems) {
  if (port.name.empty()) return;
  if (!is_dns_label(port.name)) {
    problems.add(ErrorCode::kInvalid, resource, "ports",
                 "name " + in_quotes(port.name) + " is not a DNS label; " + std::string(kDnsLabelRule));
  }
  if (!names.insert(port.name).second) {
    problems.add(ErrorCode::kExists, resource, "ports",
                 "name " + in_quotes(port.name) + " stands twice; give each port its own name");
  }
}

void check_target(const std::string& resource, const ServicePort& port, Problems& problems) {
  if (const auto* number = std::get_if<std::uint16_t>(&port.target_port)) {
    if (*number == 0) {
      problems.add(ErrorCode::kInvalid, resource, "ports",
                   "target_port 0 of " + text_of(port) + " is no port; choose 1 to 65535 or the name of a pod's port");
    }
    return;
  }
  const auto& target = std::get<std::string>(port.target_port);
  if (!is_dns_label(target)) {
    problems.add(ErrorCode::kInvalid, resource, "ports",
                 "target_port " + in_quotes(target) + " of " + text_of(port) +
                     " is neither a number nor the name of a port; " + std::string(kDnsLabelRule));
  }
}

void check_ports(const std::string& resource, const Service& service, Problems& problems) {
  if (service.ports.empty()) {
    problems.add(ErrorCode::kInvalid, resource, "ports", "is empty; declare at least one port");
  }
  if (service.ports.size() > kMaxPortsPerService) {
    problems.add(ErrorCode::kExhausted, resource, "ports",
                 std::to_string(service.ports.size()) + " ports; at most " + std::to_string(kMaxPortsPerService) +
                     " are allowed, so split the service");
    return;
  }
  std::set<std::pair<std::uint16_t, Protocol>> numbers;
  std::set<std::string_view> names;
  for (const ServicePort& port : service.ports) {
    if (port.port == 0) {
      problems.add(ErrorCode::kInvalid, resource, "ports", "port 0 is no port; choose 1 to 65535");
    }
    if (!numbers.emplace(port.port, port.protocol).second) {
      problems.add(ErrorCode::kExists, resource, "ports",
                   text_of(port) + " stands twice; a service has each port and protocol once");
    }
    check_port_name(resource, port, names, problems);
    check_target(resource, port, problems);
  }
}

}  // namespace

void check_service(const Service& service, Problems& problems) {
  const std::string resource = describe(service);
  check_name(resource, service.name, problems);
  check_labels(resource, "labels", service.labels, problems);
  check_labels(resource, "selector", service.selector, problems);
  if (service.selector.empty()) {
    problems.add(ErrorCode::kInvalid, resource, "selector",
                 "is empty and would match nothing or everything; name at least one label");
  }
  check_ports(resource, service, problems);
  check_families(resource, service, problems);
  if (service.floating_ip && !is_dns_label(*service.floating_ip)) {
    problems.add(ErrorCode::kInvalid, resource, "floating_ip",
                 in_quotes(*service.floating_ip) + " is not a DNS label; " + std::string(kDnsLabelRule),
                 *service.floating_ip);
  }
  if (service.affinity > kMaxAffinity) {
    problems.add(ErrorCode::kInvalid, resource, "affinity",
                 "a timeout of " + std::to_string(service.affinity) + " s is out of range; choose 1 to " +
                     std::to_string(kMaxAffinity),
                 std::to_string(service.affinity));
  }
  if (service.address4 && !is_unicast(*service.address4)) {
    problems.add(ErrorCode::kInvalid, resource, "address4",
                 service.address4->text() + " is no unicast address; choose another one, inside or outside the CIDR",
                 service.address4->text());
  }
}

}  // namespace sluice::model
