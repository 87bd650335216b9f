// SPDX-License-Identifier: Apache-2.0
// One run of compile() or follow(): the state that its parts share. Private to this folder.
#pragma once

#include <map>
#include <set>
#include <span>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compile/arena.hpp"
#include "compile/compile.hpp"
#include "compile/family.hpp"
#include "compile/hashing.hpp"
#include "compile/scope.hpp"
#include "compile/slots.hpp"

namespace sluice::compile {

/// Makes the records of all resources, or of those in a scope: by the same functions, because each looks at the
/// previous tables by key only. For one run.
class Builder {
 public:
  /// `space` is as before when the builder is gone.
  Builder(const Input& input, const Tables& previous, const model::Index& index, Space& space);
  Result<Tables> all();
  /// The plan for what the change touches.
  Result<Plan> touched(const model::Change& change, Scope& scope);

 private:
  struct PodView {
    const model::Pod* pod = nullptr;
    model::Addresses addresses;
    const model::Attachment* attachment = nullptr;  ///< nullptr: not attached
    sluice_ref ref{};
  };
  struct NetworkView {
    const model::Network* network = nullptr;
    std::uint32_t id = 0;
    std::uint16_t slot = 0;
    std::unordered_map<std::string_view, PodView> pods;  ///< by name; those that the run has come across
  };
  /// A backend before it has a place.
  struct Candidate {
    std::uint32_t identity = 0;
    const PodView* pod = nullptr;
    std::uint16_t port = 0;  ///< host order
    std::uint16_t weight = 1;
  };
  struct Ring {
    std::uint32_t base = 0;
    std::uint32_t size = 0;
    std::uint64_t fingerprint = 0;
    bool weighted = false;  ///< its members' weights differ
  };
  struct Region {
    std::uint32_t base = 0;
    std::uint32_t count = 0;
    std::uint32_t ready = 0;
  };
  struct ServiceView {
    const model::Service* service = nullptr;
    NetworkView* network = nullptr;
    std::uint32_t owner = 0;
    model::Addresses addresses;
    model::Addresses floating;
  };

  /// True if a resource outside of the scope has this record.
  template <typename Table, typename Key>
  [[nodiscard]] bool others_hold(Table Tables::* table, const Key& key) const {
    return before_ != nullptr && (previous_.*table).contains(key) && !(before_->*table).contains(key);
  }

  // compile.cpp
  Status check_guarantees() const;
  Status add_network(const model::Network& network);

  // follow.cpp
  Status touch_networks(const model::Change& change);
  Status touch_resources(const model::Change& change, const Scope& scope);
  Status end_slots(Scope& scope);
  void take_regions(Scope& scope) const;
  void change_filter(Scope& scope);

  // build_endpoints.cpp
  Result<NetworkView*> find_network(const std::string& name, const std::string& holder);
  Status add_pods();
  Status add_pod(const model::Pod& pod);
  Result<const PodView*> find_pod(NetworkView& network, const model::Pod& pod);
  Result<PodView> place_pod(const model::Pod& pod) const;
  Status add_port(const sluice_port& port, const std::string& holder);
  Status add_uplinks();
  Status add_router(const NetworkView& network);
  Status add_floating_ips();
  Status add_floating_ip(const model::FloatingIp& floating);
  void set_filter();
  template <typename F>
  Status add_endpoint(const typename F::Endpoint& endpoint, const std::string& holder);
  template <typename F>
  [[nodiscard]] std::string holder_of(const typename F::EndpointKey& key, const std::string& except) const;
  [[nodiscard]] std::optional<sluice_ref> former_ref(std::uint32_t network, const model::Addresses& addresses) const;
  [[nodiscard]] bool goes_on(std::uint32_t network, const PodView& view, const sluice_ref& ref) const;
  Result<sluice_ref> pod_ref(std::uint32_t network, const PodView& view);

  // build_egress.cpp
  Status add_egress();
  Status add_way_out(const NetworkView& network);
  template <typename F>
  Result<sluice_ref> way_ref(const sluice_egress& way);
  template <typename F>
  Status add_family(sluice_egress& way);

  // build_frontends.cpp
  Status add_services();
  Status add_service(const model::Service& service);
  Status add_service(const ServiceView& service);
  template <typename F>
  Status add_service_address(const ServiceView& service, const std::vector<const PodView*>& pods);
  template <typename F>
  Status add_service_port(const ServiceView& service, const model::ServicePort& port,
                          std::span<const PodView* const> pods, bool first);
  template <typename F>
  Status add_frontend(const ServiceView& service, const typename F::FrontendKey& key, const Region& region,
                      const Ring& ring);
  Result<std::vector<const PodView*>> select_pods(NetworkView& network, const model::Labels& selector);
  static std::vector<Candidate> candidates(const ServiceView& service, const model::ServicePort& port,
                                           std::span<const PodView* const> pods);
  template <typename F>
  [[nodiscard]] const typename F::Frontend* former(const ServiceView& service,
                                                   const typename F::FrontendKey& key) const;
  template <typename F>
  Result<Ring> place_ring(const ServiceView& service, std::span<const typename F::FrontendKey> keys,
                          std::span<const Candidate> list);
  template <typename F>
  Result<Region> place_backends(const ServiceView& service, std::span<const typename F::FrontendKey> keys,
                                std::span<const Candidate> list, bool echo);
  template <typename Frontend>
  [[nodiscard]] bool holds(const Frontend& frontend, std::span<const sluice_backend> wanted) const;

  const Input& input_;
  const Tables& previous_;
  const model::Index& index_;
  const Space& space_;
  const Tables* before_ = nullptr;  ///< of the scope; nullptr: everything is in scope
  Tables next_;
  Generations generations_;
  SlotSpace endpoint_slots_;
  SlotSpace frontend_slots_;
  Draft backends_;
  Draft rings_;
  Secret secret_;
  std::map<std::string_view, NetworkView> networks_;
  std::map<std::uint32_t, std::string_view> network_names_;  ///< by id
  std::set<std::uint32_t> kept_rings_;                       ///< bases
};

}  // namespace sluice::compile
