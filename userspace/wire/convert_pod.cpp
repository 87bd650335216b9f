// SPDX-License-Identifier: Apache-2.0
#include "model/names.hpp"
#include "model/validate.hpp"
#include "wire/findings.hpp"

namespace sluice::wire {
namespace {

void read_ports(const v1::Pod& message, model::Pod& pod, Findings& findings) {
  for (int i = 0; i < message.ports_size(); i++) {
    const v1::PodPort& port = message.ports(i);
    const std::string place = "ports[" + std::to_string(i) + "].";
    const model::NamedPort named{read_port(place + "port", port.port(), findings),
                                 read_protocol(place + "protocol", port.protocol(), findings)};
    if (pod.ports.emplace(port.name(), named).second) continue;
    findings.add(place + "name", port.name(), model::in_quotes(port.name()) + " stands twice",
                 "give each port its own name");
  }
}

void read_state(const v1::Pod& message, model::Pod& pod, Findings& findings) {
  pod.draining = message.state() == v1::DRAINING;
  if (message.drain_deadline() != 0) pod.drain_deadline = message.drain_deadline();
  if (v1::PodState_IsValid(message.state())) return;
  const std::string number = std::to_string(static_cast<int>(message.state()));
  findings.add("state", number, "state " + number + " is unknown", "use RUNNING or DRAINING");
}

/// What fits is judged by model::check().
void read_weight(const v1::Pod& message, model::Pod& pod, Findings& findings) {
  if (!message.has_weight()) return;
  pod.weight = static_cast<std::uint16_t>(message.weight());
  if (message.weight() <= 0xFFFF) return;
  const std::string number = std::to_string(message.weight());
  findings.add("weight", number, number + " is out of range", "choose 0 to " + std::to_string(model::kMaxWeight));
}

}  // namespace

v1::Pod pod_message(const model::Pod& pod) {
  v1::Pod message;
  message.set_network(pod.name.network);
  message.set_name(pod.name.name);
  write_labels(pod.labels, *message.mutable_labels());
  if (pod.address4) message.set_address4(pod.address4->text());
  if (pod.address6) message.set_address6(pod.address6->text());
  write_families(pod.families, *message.mutable_families());
  for (const auto& [name, port] : pod.ports) {
    v1::PodPort& added = *message.add_ports();
    added.set_name(name);
    added.set_port(port.port);
    added.set_protocol(to_message(port.protocol));
  }
  if (pod.weight != model::Pod{}.weight) message.set_weight(pod.weight);
  if (pod.draining) message.set_state(v1::DRAINING);
  if (pod.drain_deadline) message.set_drain_deadline(*pod.drain_deadline);
  return message;
}

Result<model::Pod> read_pod(const v1::Pod& message) {
  model::Pod pod;
  pod.name = read_name(message.network(), message.name());
  Findings findings(model::describe(pod));
  pod.labels = read_labels(message.labels());
  pod.address4 = read_address("address4", message.address4(), findings);
  pod.address6 = read_address6("address6", message.address6(), findings);
  pod.families = read_families(message.families(), findings);
  read_ports(message, pod, findings);
  read_weight(message, pod, findings);
  read_state(message, pod, findings);
  return std::move(findings).result(std::move(pod));
}

}  // namespace sluice::wire
