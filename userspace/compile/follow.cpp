// SPDX-License-Identifier: Apache-2.0
// follow(): what compile() and diff() give when only attachments changed, found without looking at anything else than
// the changed pods, the services that select them, and which slots are free. Collects the records that change as two
// small tables and leaves the order of the writes to diff().
#include <algorithm>
#include <vector>

#include "compile/compile.hpp"
#include "compile/records.hpp"
#include "compile/slots.hpp"

namespace sluice::compile {
namespace {

class Follower {
 public:
  Follower(const Input& input, const Tables& previous)
      : input_(input), previous_(previous), generations_(previous), named_(input.limits.max_endpoint_slots) {}

  /// Nothing: this is a case for compile().
  std::optional<Plan> run(const std::set<model::Name>& pods);

 private:
  struct Changed {
    const model::Pod* pod = nullptr;
    NetworkPlace place;
    const model::Attachment* attachment = nullptr;
    sluice_endpoint4 before{};
    sluice_endpoint4 after{};
  };

  bool add(const model::Name& name);
  bool give_ref(Changed& changed);
  std::optional<std::uint32_t> free_slot(const sluice_ref& former);
  bool set_generation(std::uint32_t slot, std::uint32_t mark);
  bool end_former();
  bool change_ports();
  bool change_backends(const Changed& changed);
  bool change_region(const Changed& changed, const sluice_frontend4_key& key);
  void count_ready();

  const Input& input_;
  const Tables& previous_;
  Generations generations_;
  std::vector<bool> named_;  ///< by a previous record, or taken now
  std::uint32_t cursor_ = 1;
  std::vector<Changed> changed_;
  Tables before_;  ///< of what changes
  Tables after_;
};

bool Follower::add(const model::Name& name) {
  const auto pod = input_.state.pods.find(name);
  const auto network = input_.state.networks.find(name.network);
  const auto id = input_.assignments.network_ids.find(name.network);
  const auto slot = input_.assignments.network_slots.find(name.network);
  const auto address = input_.assignments.pod_addresses.find(name);
  if (pod == input_.state.pods.end() || network == input_.state.networks.end() ||
      id == input_.assignments.network_ids.end() || slot == input_.assignments.network_slots.end() ||
      address == input_.assignments.pod_addresses.end()) {
    return false;
  }
  Changed changed;
  changed.pod = &pod->second;
  changed.place = {&network->second, id->second, static_cast<std::uint16_t>(slot->second)};
  changed.attachment = find_attachment(input_.attachments, name);
  changed.after = pod_endpoint(changed.place, address->second, changed.attachment);
  const auto before = previous_.endpoints4.find(changed.after.self);
  if (before == previous_.endpoints4.end() || !is_pod(before->second)) return false;
  changed.before = before->second;
  if (!give_ref(changed)) return false;
  before_.endpoints4.emplace(changed.before.self, changed.before);
  after_.endpoints4.emplace(changed.after.self, changed.after);
  changed_.push_back(changed);
  return true;
}

bool Follower::give_ref(Changed& changed) {
  const sluice_ref& former = changed.before.ref;
  const auto current = previous_.endpoint_generations.find(former.slot);
  if (current == previous_.endpoint_generations.end() || current->second != former.generation) return false;
  if (same_attachment(changed.before, changed.after)) {
    changed.after.ref = former;
    return true;
  }
  const std::optional<std::uint32_t> slot = free_slot(former);
  if (!slot || !set_generation(*slot, 0)) return false;
  changed.after.ref = {*slot, after_.endpoint_generations.at(*slot)};
  return true;
}

/// As SlotSpace::take().
std::optional<std::uint32_t> Follower::free_slot(const sluice_ref& former) {
  while (cursor_ < named_.size() && named_[cursor_]) cursor_++;
  if (cursor_ < named_.size()) {
    named_[cursor_] = true;
    return cursor_;
  }
  if (former.slot != 0 && former.slot < named_.size()) return former.slot;
  return std::nullopt;
}

bool Follower::set_generation(std::uint32_t slot, std::uint32_t mark) {
  const Result<std::uint32_t> generation = generations_.next();
  if (!generation) return false;
  const auto before = previous_.endpoint_generations.find(slot);
  if (before != previous_.endpoint_generations.end()) before_.endpoint_generations.insert(*before);
  after_.endpoint_generations[slot] = *generation | mark;
  return true;
}

/// As SlotSpace::finish(): ascending, after all that were taken.
bool Follower::end_former() {
  std::vector<std::uint32_t> slots;
  for (const Changed& changed : changed_) {
    const std::uint32_t slot = changed.before.ref.slot;
    if (slot != changed.after.ref.slot) slots.push_back(slot);
  }
  std::ranges::sort(slots);
  return std::ranges::all_of(slots, [this](std::uint32_t slot) { return set_generation(slot, kFreedSlot); });
}

bool Follower::change_ports() {
  for (const Changed& changed : changed_) {
    if (changed.before.ifindex == 0) continue;
    const auto port = previous_.ports.find(changed.before.ifindex);
    if (port == previous_.ports.end()) return false;
    before_.ports.insert(*port);
  }
  for (const Changed& changed : changed_) {
    if (changed.attachment == nullptr) continue;
    const sluice_port port = pod_port(changed.place, changed.after);
    const bool others = previous_.ports.contains(port.self) && !before_.ports.contains(port.self);
    if (others || !after_.ports.emplace(port.self, port).second) return false;
  }
  return true;
}

/// The pod's elements in the regions of all services that select it.
bool Follower::change_backends(const Changed& changed) {
  const std::string& network = changed.pod->name.network;
  auto it = input_.state.services.lower_bound({network, ""});
  for (; it != input_.state.services.end() && it->first.network == network; ++it) {
    const model::Service& service = it->second;
    if (service.ports.empty() || service.selector.empty() || !matches(changed.pod->labels, service.selector)) continue;
    const auto address = input_.assignments.service_addresses.find(it->first);
    if (address == input_.assignments.service_addresses.end()) return false;
    if (!change_region(changed, echo_key(changed.place.id, address->second))) return false;
    for (const model::ServicePort& port : service.ports) {
      const auto protocol = static_cast<std::uint8_t>(port.protocol);
      if (!change_region(changed, frontend_key(changed.place.id, address->second, port.port, protocol))) return false;
      if (!service.floating_ip) continue;
      const auto floating = input_.state.floating_ips.find(*service.floating_ip);
      if (floating == input_.state.floating_ips.end()) return false;
      if (!change_region(changed, frontend_key(0, floating->second.address, port.port, protocol))) return false;
    }
  }
  return true;
}

/// A pod without the port's name is in no region. Frontends of one service port share a region.
bool Follower::change_region(const Changed& changed, const sluice_frontend4_key& key) {
  const auto frontend = previous_.frontends4.find(key);
  if (frontend == previous_.frontends4.end()) return false;
  const std::uint32_t base = frontend->second.backend_base;
  auto element = previous_.backends.lower_bound(base);
  for (; element != previous_.backends.end() && element->first - base < frontend->second.backend_count; ++element) {
    const sluice_backend& before = element->second;
    if (before.network != changed.place.id || before.address4 != changed.after.self.address) continue;
    sluice_backend after = before;
    after.endpoint = changed.after.ref;
    after.state = backend_state(*changed.pod, changed.attachment);
    before_.backends.insert(*element);
    after_.backends.insert_or_assign(element->first, after);
    before_.frontends4.insert(*frontend);
    break;
  }
  return true;
}

void Follower::count_ready() {
  for (const auto& [key, before] : before_.frontends4) {
    sluice_frontend4 after = before;
    after.ready_count = 0;
    auto old_element = previous_.backends.lower_bound(before.backend_base);
    for (; old_element != previous_.backends.end() && old_element->first - before.backend_base < before.backend_count;
         ++old_element) {
      const auto new_element = after_.backends.find(old_element->first);
      const sluice_backend& element = new_element == after_.backends.end() ? old_element->second : new_element->second;
      if (element.state == SLUICE_BACKEND_READY) after.ready_count++;
    }
    after_.frontends4.emplace(key, after);
  }
}

std::optional<Plan> Follower::run(const std::set<model::Name>& pods) {
  const auto note = [this](const sluice_ref& ref) {
    if (ref.slot != 0 && ref.slot < named_.size()) named_[ref.slot] = true;
  };
  for (const auto& [ifindex, port] : previous_.ports) note(port.endpoint);
  for (const auto& [key, endpoint] : previous_.endpoints4) note(endpoint.ref);
  if (!std::ranges::all_of(pods, [this](const model::Name& name) { return add(name); })) return std::nullopt;
  if (!end_former() || !change_ports()) return std::nullopt;
  for (const Changed& changed : changed_) {
    if (!change_backends(changed)) return std::nullopt;
  }
  count_ready();
  return diff(before_, after_);
}

}  // namespace

std::optional<Plan> follow(const Input& input, const Tables& previous, const std::set<model::Name>& pods) {
  return Follower(input, previous).run(pods);
}

}  // namespace sluice::compile
