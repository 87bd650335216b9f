// SPDX-License-Identifier: Apache-2.0
#include "model/index.hpp"

#include <algorithm>

#include "model/selection.hpp"

namespace sluice::model {
namespace {

/// No label has a NUL.
std::string joined(const std::string& key, const std::string& value) {
  std::string both;
  both.reserve(key.size() + 1 + value.size());
  return both.append(key).append(1, '\0').append(value);
}

template <typename Map, typename Value>
void erase_from(Map& map, const std::string& key, const Value& value) {
  const auto found = map.find(key);
  if (found == map.end()) return;
  found->second.erase(value);
  if (found->second.empty()) map.erase(found);
}

}  // namespace

Index::Index(const State& state) {
  for (const auto& [name, pod] : state.pods) add_pod(pod);
  for (const auto& [name, service] : state.services) add_service(service);
}

void Index::update(const State& state, const Change& change) {
  for (const auto& [name, former] : change.pods) {
    if (former) remove_pod(former->pod);
    if (const auto now = state.pods.find(name); now != state.pods.end()) add_pod(now->second);
  }
  for (const auto& [name, former] : change.services) {
    if (former) remove_service(former->service);
    if (const auto now = state.services.find(name); now != state.services.end()) add_service(now->second);
  }
}

void Index::take_back(const State& state, const Change& change) {
  for (const auto& [name, former] : change.pods) {
    if (const auto now = state.pods.find(name); now != state.pods.end()) remove_pod(now->second);
    if (former) add_pod(former->pod);
  }
  for (const auto& [name, former] : change.services) {
    if (const auto now = state.services.find(name); now != state.services.end()) remove_service(now->second);
    if (former) add_service(former->service);
  }
}

/// A whole state comes in the order of names, so the hint is right then.
void Index::add_pod(const Pod& pod) {
  if (pod.labels.empty()) return;
  Network& network = networks_[pod.name.network];
  for (const auto& [key, value] : pod.labels) {
    Names& names = network.pods[joined(key, value)];
    names.emplace_hint(names.end(), pod.name.name);
  }
}

void Index::remove_pod(const Pod& pod) {
  const auto network = networks_.find(pod.name.network);
  if (network == networks_.end()) return;
  for (const auto& [key, value] : pod.labels) erase_from(network->second.pods, joined(key, value), pod.name.name);
  forget_if_empty(pod.name.network);
}

/// Under the label that fewest other services are under: many services have a label in common and one of their own.
void Index::add_service(const Service& service) {
  if (service.floating_ip) floating_ips_[*service.floating_ip].insert(service.name);
  if (service.selector.empty()) return;
  Network& network = networks_[service.name.network];
  std::string rarest;
  std::size_t fewest = 0;
  for (const auto& [key, value] : service.selector) {
    std::string label = joined(key, value);
    const auto found = network.services.find(label);
    const std::size_t count = found == network.services.end() ? 0 : found->second.size();
    if (!rarest.empty() && count >= fewest) continue;
    rarest = std::move(label);
    fewest = count;
  }
  network.services[rarest].insert(service.name.name);
  network.filed[service.name.name] = std::move(rarest);
}

void Index::remove_service(const Service& service) {
  if (service.floating_ip) erase_from(floating_ips_, *service.floating_ip, service.name);
  const auto network = networks_.find(service.name.network);
  if (network == networks_.end()) return;
  const auto filed = network->second.filed.find(service.name.name);
  if (filed == network->second.filed.end()) return;
  erase_from(network->second.services, filed->second, service.name.name);
  network->second.filed.erase(filed);
  forget_if_empty(service.name.network);
}

void Index::forget_if_empty(const std::string& network) {
  const auto found = networks_.find(network);
  if (found != networks_.end() && found->second.empty()) networks_.erase(found);
}

const Index::Names* Index::pods(const std::string& network, const Labels& selector) const {
  const auto in = networks_.find(network);
  if (in == networks_.end()) return nullptr;
  const Names* fewest = nullptr;
  for (const auto& [key, value] : selector) {
    const auto found = in->second.pods.find(joined(key, value));
    if (found == in->second.pods.end()) return nullptr;
    if (fewest == nullptr || found->second.size() < fewest->size()) fewest = &found->second;
  }
  return fewest;
}

void Index::find_services(const State& state, const std::string& network, const Labels& labels,
                          std::set<Name>& found) const {
  const auto in = networks_.find(network);
  if (in == networks_.end()) return;
  for (const auto& [key, value] : labels) {
    const auto under = in->second.services.find(joined(key, value));
    if (under == in->second.services.end()) continue;
    for (const std::string& name : under->second) {
      const auto service = state.services.find({network, name});
      if (service != state.services.end() && matches(labels, service->second.selector)) found.insert(service->first);
    }
  }
}

const std::set<Name>* Index::bound_to(const std::string& floating_ip) const {
  const auto found = floating_ips_.find(floating_ip);
  return found == floating_ips_.end() ? nullptr : &found->second;
}

bool Index::operator==(const Index& other) const {
  if (floating_ips_ != other.floating_ips_ || networks_.size() != other.networks_.size()) return false;
  return std::ranges::all_of(networks_, [&other](const auto& entry) {
    const auto same = other.networks_.find(entry.first);
    const auto by_name = [](const auto& a, const auto& b) { return a.first == b.first; };
    return same != other.networks_.end() && entry.second.pods == same->second.pods &&
           std::ranges::equal(entry.second.filed, same->second.filed, by_name);
  });
}

}  // namespace sluice::model
