// SPDX-License-Identifier: Apache-2.0
// docs/datapath.md a second time, in plain C++: no code is shared with bpf/ or userspace/. Frames are bytes, flows are
// a std::map, and where the specification leaves the programs a choice (which backend, which substitute port) the
// model takes what the program did, judges whether it may, and from then on holds it to that.
#pragma once

#include <sluice/abi.h>
#include <sluice/reasons.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

namespace model {

using Bytes = std::vector<std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;

struct Ref {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  auto operator<=>(const Ref&) const = default;
};

struct Port {
  bool uplink = false;
  std::uint32_t network = 0;
  std::uint16_t slot = 0;
  Ref pod = {};
  std::uint32_t address = 0, cidr = 0, mask = 0;
  Mac mac = {};
};

enum class Holder { kPod, kRouter, kService, kFloating };

struct Endpoint {
  Holder holder = Holder::kPod;
  Ref pod = {};
  bool attached = true;
  Mac mac = {};
};

struct Backend {
  std::uint32_t network = 0;
  std::uint32_t address = 0;
  std::uint16_t port = 0;
  Ref pod = {};
  bool ready = true;
};

struct Frontend {
  Ref ref = {};
  std::uint32_t backend_network = 0;
  std::uint16_t slot = 0;
  std::uint32_t router = 0;
  std::uint32_t mask = 0;  ///< of the tenant's CIDR
  bool sticky = true;      ///< the same tuple finds the same backend while the configuration stands (not: random)
  std::vector<Backend> backends = {};
};

struct Limits {
  std::uint32_t guaranteed = 0, most = 0, half_open = 0;
};

/// Addresses and ports in host byte order.
struct Tuple {
  std::uint32_t network = 0;
  std::uint8_t protocol = 0;
  std::uint32_t source = 0, destination = 0;
  std::uint16_t source_port = 0, destination_port = 0;
  auto operator<=>(const Tuple&) const = default;
};

/// One direction of a flow.
struct Flow {
  bool forward = true;
  Tuple other = {};  ///< the tuple of the partner record
  std::uint32_t new_source = 0, new_destination = 0;
  std::uint16_t new_source_port = 0, new_destination_port = 0;
  bool to_uplink = false;
  Mac receiver = {};
  Ref source = {}, endpoint = {}, frontend = {};
  std::uint32_t state = 0;
  std::uint32_t acknowledged = 0;
  std::uint64_t packets = 0, bytes = 0;
  std::uint16_t slot = 0;
};

/// What a program did, or must do.
struct Verdict {
  sluice_reason reason = SLUICE_REASON_NONE;
  std::optional<Bytes> frame;  ///< none: the packet is gone, its bytes do not matter
};

using NetworkAddress = std::pair<std::uint32_t, std::uint32_t>;
using FrontendKey = std::tuple<std::uint32_t, std::uint32_t, std::uint16_t, std::uint8_t>;

/// The tables that the daemon writes.
struct Tables {
  std::map<std::uint32_t, Port> ports;
  std::map<NetworkAddress, Endpoint> endpoints;
  std::map<FrontendKey, Frontend> frontends;
  std::map<std::uint32_t, std::uint32_t> endpoint_generations, frontend_generations;
  std::map<std::uint16_t, Limits> limits;
  std::set<std::uint32_t> filtered;  ///< addresses that have a filter bit, by collision too
  std::uint32_t shared_pairs = 0;
  std::uint32_t max_pairs = 0;
  bool refusals_allowed = true;
};

struct Parsed;  // a frame's fields, see model.cpp

class Model {
 public:
  Tables tables;
  std::map<Tuple, Flow> flows;

  /// What must come of `frame`; `done` is what the program did, for the choices that are its own.
  Verdict from_pod(std::uint32_t ifindex, const Bytes& frame, const Verdict& done);
  Verdict from_uplink(std::uint32_t ifindex, const Bytes& frame, const Verdict& done);
  Verdict uplink_xdp(std::uint32_t ifindex, const Bytes& frame) const;
  /// Why a choice of the program was not allowed; empty if all were.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  /// The backends may change: tuples are free to find another one.
  void forget_choices() { chosen_.clear(); }

  [[nodiscard]] std::uint32_t pairs(std::uint16_t slot) const;
  [[nodiscard]] std::uint32_t half_open(std::uint16_t slot) const;

 private:
  Verdict arp_from_pod(const Port& port, const Bytes& frame) const;
  Verdict arp_from_uplink(const Port& port, const Bytes& frame) const;
  [[nodiscard]] sluice_reason pod_header(const Port& port, const Bytes& frame) const;
  std::optional<Verdict> hit(Parsed& packet);
  Verdict miss(Parsed& packet, const Verdict& done);
  Verdict to_address(const Parsed& packet);
  Verdict to_floating(const Parsed& packet) const;
  Verdict select(Parsed& packet, const Frontend& frontend, const Verdict& done);
  Verdict remember(const Parsed& packet, const Frontend& frontend, const Backend& backend, const Verdict& done);
  [[nodiscard]] const Backend* picked(const Parsed& packet, const Frontend& frontend, const Verdict& done);
  [[nodiscard]] bool collides(const Parsed& packet, const Frontend& frontend, const Backend& backend) const;
  [[nodiscard]] bool claims_inside(const Parsed& packet, const Frontend& frontend) const;
  [[nodiscard]] sluice_reason judge(const Frontend& frontend, const Backend& backend) const;
  [[nodiscard]] sluice_reason charge(const Parsed& packet, std::uint16_t slot) const;
  Verdict refuse(const Parsed& packet) const;
  Verdict answer_echo(const Parsed& packet) const;
  void track(const Parsed& packet, Flow& flow);
  [[nodiscard]] bool current(const Flow& flow, const Ref& source) const;
  [[nodiscard]] bool ended(const Flow& flow) const;
  [[nodiscard]] bool live(const std::map<std::uint32_t, std::uint32_t>& generations, const Ref& ref) const;
  void erase_pair(const Tuple& tuple);
  [[nodiscard]] bool is_floating(std::uint32_t address) const;

  std::map<Tuple, std::uint32_t> chosen_;  ///< forward tuple -> backend address, while the configuration stands
  std::string complaint_;
};

}  // namespace model
