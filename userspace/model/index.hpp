// SPDX-License-Identifier: Apache-2.0
// Who refers to whom in a state, so that a change finds what it touches without a look at everything else.
#pragma once

#include <map>
#include <set>
#include <string>
#include <unordered_map>

#include "model/change.hpp"
#include "model/resources.hpp"

namespace sluice::model {

class Index {
 public:
  using Names = std::set<std::string>;

  Index() = default;
  /// O(everything).
  explicit Index(const State& state);

  /// `state` is the one after the change. Costs what the change names. Each change comes once, in order.
  void update(const State& state, const Change& change);
  /// Undoes the last update(), called with the same.
  void take_back(const State& state, const Change& change);

  /// Pods of the network among which are all that have the selector: those with its rarest label. nullptr: none.
  [[nodiscard]] const Names* pods(const std::string& network, const Labels& selector) const;
  /// Adds to `found` the services of the network that select a pod with these labels.
  void find_services(const State& state, const std::string& network, const Labels& labels, std::set<Name>& found) const;
  /// nullptr: none.
  [[nodiscard]] const std::set<Name>* bound_to(const std::string& floating_ip) const;

  /// True if both know the same resources. By which of its labels a service is found may differ.
  bool operator==(const Index& other) const;

 private:
  using ByLabel = std::unordered_map<std::string, Names>;  ///< by key, NUL, value

  struct Network {
    ByLabel pods;
    ByLabel services;                          ///< each under one label of its selector
    std::map<std::string, std::string> filed;  ///< service -> under which one

    [[nodiscard]] bool empty() const { return pods.empty() && filed.empty(); }
  };

  void add_pod(const Pod& pod);
  void remove_pod(const Pod& pod);
  void add_service(const Service& service);
  void remove_service(const Service& service);
  void forget_if_empty(const std::string& network);

  std::unordered_map<std::string, Network> networks_;
  std::unordered_map<std::string, std::set<Name>> floating_ips_;
};

}  // namespace sluice::model
