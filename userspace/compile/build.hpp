// SPDX-License-Identifier: Apache-2.0
// One run of compile(): the state that its parts share. Private to this folder.
#pragma once

#include <map>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "compile/arena.hpp"
#include "compile/compile.hpp"
#include "compile/hashing.hpp"
#include "compile/slots.hpp"

namespace sluice::compile {

class Builder {
 public:
  Builder(const Input& input, const Tables& previous);
  Result<Tables> run();

 private:
  struct PodView {
    const model::Pod* pod = nullptr;
    Ipv4 address;
    const model::Attachment* attachment = nullptr;  ///< nullptr: not attached
    sluice_ref ref{};
  };
  struct NetworkView {
    const model::Network* network = nullptr;
    std::uint32_t id = 0;
    std::uint16_t slot = 0;
    std::vector<PodView> pods;  ///< by name
    /// (label, value) -> indexes into pods, ascending: a selector looks at the shortest list only.
    std::map<std::pair<std::string_view, std::string_view>, std::vector<std::uint32_t>> by_label;
  };
  /// A backend before it has a place.
  struct Candidate {
    std::uint32_t identity = 0;
    const PodView* pod = nullptr;
    std::uint16_t port = 0;  ///< host order
  };
  struct Ring {
    std::uint32_t base = 0;
    std::uint32_t size = 0;
    std::uint64_t fingerprint = 0;
  };
  struct Region {
    std::uint32_t base = 0;
    std::uint32_t count = 0;
    std::uint32_t ready = 0;
  };
  struct ServiceView {
    const model::Service* service = nullptr;
    const NetworkView* network = nullptr;
    std::uint32_t owner = 0;
    Ipv4 address;
    std::optional<Ipv4> floating;
  };

  // compile.cpp
  void note_previous();
  Status check_guarantees() const;
  Status add_network(const model::Network& network);

  // build_endpoints.cpp
  Status add_pods();
  Status add_pod(NetworkView& network, const model::Pod& pod);
  Status add_port(const sluice_port& port, const std::string& holder);
  Status add_uplinks();
  Status add_router(const NetworkView& network);
  Status add_floating_ips();
  void set_filter_bit(const sluice_endpoint4_key& key);
  Status add_endpoint(const sluice_endpoint4& endpoint, const std::string& holder);
  Result<sluice_ref> pod_ref(const sluice_endpoint4& endpoint);

  // build_frontends.cpp
  Status add_services();
  Status add_service(const ServiceView& service);
  Status add_service_port(const ServiceView& service, const model::ServicePort& port,
                          std::span<const PodView* const> pods, bool first);
  Status add_frontend(const ServiceView& service, const sluice_frontend4_key& key, const Region& region,
                      const Ring& ring);
  static std::vector<const PodView*> select_pods(const NetworkView& network, const model::Labels& selector);
  static std::vector<Candidate> candidates(const ServiceView& service, const model::ServicePort& port,
                                           std::span<const PodView* const> pods);
  [[nodiscard]] const sluice_frontend4* former(const ServiceView& service, const sluice_frontend4_key& key) const;
  Result<Ring> place_ring(const ServiceView& service, std::span<const sluice_frontend4_key> keys,
                          std::span<const Candidate> list);
  Result<Region> place_backends(const ServiceView& service, std::span<const sluice_frontend4_key> keys,
                                std::span<const Candidate> list, bool echo);
  [[nodiscard]] bool holds(const sluice_frontend4& frontend, std::span<const sluice_backend> wanted) const;

  const Input& input_;
  const Tables& previous_;
  Tables next_;
  Generations generations_;
  SlotSpace endpoint_slots_;
  SlotSpace frontend_slots_;
  Arena backends_;
  Arena rings_;
  Secret secret_;
  std::map<std::string_view, NetworkView> networks_;
};

}  // namespace sluice::compile
