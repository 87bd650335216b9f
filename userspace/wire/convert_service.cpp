// SPDX-License-Identifier: Apache-2.0
#include "model/validate.hpp"
#include "wire/findings.hpp"

namespace sluice::wire {
namespace {

void read_target(const std::string& place, const v1::ServicePort& message, model::ServicePort& port,
                 Findings& findings) {
  switch (message.target_case()) {
    case v1::ServicePort::kTargetPort:
      port.target_port = read_port(place + "target_port", message.target_port(), findings);
      break;
    case v1::ServicePort::kTargetName:
      port.target_port = message.target_name();
      break;
    case v1::ServicePort::TARGET_NOT_SET:
      port.target_port = port.port;
      break;
  }
}

void read_ports(const v1::Service& message, model::Service& service, Findings& findings) {
  for (int i = 0; i < message.ports_size(); i++) {
    const v1::ServicePort& from = message.ports(i);
    const std::string place = "ports[" + std::to_string(i) + "].";
    model::ServicePort port;
    port.name = from.name();
    port.port = read_port(place + "port", from.port(), findings);
    port.protocol = read_protocol(place + "protocol", from.protocol(), findings);
    read_target(place, from, port, findings);
    service.ports.push_back(std::move(port));
  }
}

model::Algorithm read_algorithm(v1::Algorithm algorithm, Findings& findings) {
  if (algorithm == v1::SOURCE) return model::Algorithm::kSource;
  if (algorithm == v1::RANDOM) return model::Algorithm::kRandom;
  if (algorithm == v1::ROUND_ROBIN) return model::Algorithm::kRoundRobin;
  if (algorithm == v1::LEAST_CONNECTIONS) return model::Algorithm::kLeastConnections;
  if (!v1::Algorithm_IsValid(algorithm)) {
    const std::string number = std::to_string(static_cast<int>(algorithm));
    findings.add("algorithm", number, "algorithm " + number + " is unknown",
                 "use HASH, SOURCE, RANDOM, ROUND_ROBIN or LEAST_CONNECTIONS");
  }
  return model::Algorithm::kHash;
}

v1::Algorithm algorithm_message(model::Algorithm algorithm) {
  if (algorithm == model::Algorithm::kSource) return v1::SOURCE;
  if (algorithm == model::Algorithm::kRandom) return v1::RANDOM;
  if (algorithm == model::Algorithm::kRoundRobin) return v1::ROUND_ROBIN;
  if (algorithm == model::Algorithm::kLeastConnections) return v1::LEAST_CONNECTIONS;
  return v1::ALGORITHM_UNSPECIFIED;
}

void read_affinity(const v1::Service& message, model::Service& service, Findings& findings) {
  if (!message.has_affinity()) return;
  const v1::Affinity& affinity = message.affinity();
  service.affinity = affinity.has_timeout_seconds() ? affinity.timeout_seconds() : model::kDefaultAffinity;
  if (service.affinity != 0) return;
  findings.add("affinity.timeout_seconds", "0", "0 is out of range",
               "choose 1 to " + std::to_string(model::kMaxAffinity) + ", or leave affinity out");
}

void write_port(const model::ServicePort& port, v1::ServicePort& message) {
  message.set_name(port.name);
  message.set_port(port.port);
  message.set_protocol(to_message(port.protocol));
  if (const auto* name = std::get_if<std::string>(&port.target_port)) {
    message.set_target_name(*name);
  } else if (const auto number = std::get<std::uint16_t>(port.target_port); number != port.port) {
    message.set_target_port(number);
  }
}

}  // namespace

v1::Service service_message(const model::Service& service) {
  v1::Service message;
  message.set_network(service.name.network);
  message.set_name(service.name.name);
  write_labels(service.labels, *message.mutable_labels());
  write_labels(service.selector, *message.mutable_selector());
  for (const model::ServicePort& port : service.ports) write_port(port, *message.add_ports());
  if (service.address4) message.set_address4(service.address4->text());
  if (service.address6) message.set_address6(service.address6->text());
  write_families(service.families, *message.mutable_families());
  message.set_algorithm(algorithm_message(service.algorithm));
  if (service.floating_ip) message.set_floating_ip(*service.floating_ip);
  if (service.affinity != 0) message.mutable_affinity()->set_timeout_seconds(service.affinity);
  return message;
}

Result<model::Service> read_service(const v1::Service& message) {
  model::Service service;
  service.name = read_name(message.network(), message.name());
  Findings findings(model::describe(service));
  service.labels = read_labels(message.labels());
  service.selector = read_labels(message.selector());
  read_ports(message, service, findings);
  service.address4 = read_address("address4", message.address4(), findings);
  service.address6 = read_address6("address6", message.address6(), findings);
  service.families = read_families(message.families(), findings);
  service.algorithm = read_algorithm(message.algorithm(), findings);
  if (!message.floating_ip().empty()) service.floating_ip = message.floating_ip();
  read_affinity(message, service, findings);
  return std::move(findings).result(std::move(service));
}

}  // namespace sluice::wire
