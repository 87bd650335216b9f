// SPDX-License-Identifier: Apache-2.0
// docs/datapath.md a second time, in plain C++: no code is shared with bpf/ or userspace/. Frames are bytes, addresses
// are values of either family, flows are a std::map, and where the specification leaves the programs a choice (which
// backend, which substitute port) the model takes what the program did, judges whether it may, and from then on holds
// it to that.
#pragma once

#include <sluice/abi.h>
#include <sluice/reasons.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "address.hpp"

namespace model {

using Bytes = std::vector<std::uint8_t>;
using Mac = std::array<std::uint8_t, 6>;

struct Ref {
  std::uint32_t slot = 0;
  std::uint32_t generation = 0;
  auto operator<=>(const Ref&) const = default;
};

/// What a port has of one family: no address, if nothing.
struct Side {
  Address address = {};
  Address prefix = {};
  unsigned length = 0;
  Address router = {};
  [[nodiscard]] bool contains(const Address& other) const { return other.starts_with(prefix, length); }
};

struct Port {
  bool uplink = false;
  std::uint32_t ifindex = 0;
  std::uint8_t delivery = SLUICE_DELIVER_UPLINK;
  std::uint32_t network = 0;
  std::uint16_t slot = 0;
  Ref pod = {};
  Side v4 = {}, v6 = {};
  Mac mac = {};
  [[nodiscard]] const Side& side(bool six) const { return six ? v6 : v4; }
};

/// kEgress: an egress address of its own; kShared: one that is the node's own.
enum class Holder { kPod, kRouter, kService, kFloating, kEgress, kShared };

struct Endpoint {
  Holder holder = Holder::kPod;
  Ref pod = {};
  std::uint32_t ifindex = 0;  ///< of pods; 0: not attached
  std::uint8_t delivery = SLUICE_DELIVER_PEER;
  Mac mac = {};
};

struct Backend {
  std::uint32_t network = 0;
  Address address = {};
  std::uint16_t port = 0;
  Ref pod = {};
  bool ready = true;
};

struct Frontend {
  Ref ref = {};
  std::uint32_t backend_network = 0;
  std::uint16_t slot = 0;
  Address router = {};
  unsigned length = 0;  ///< of the tenant's CIDR
  bool sticky = true;   ///< the same tuple finds the same backend while the configuration stands (hash and source)
  std::vector<Backend> backends = {};
};

/// How a network's pods leave in one family.
struct Way {
  Address address = {};
  Ref ref = {};
  std::uint16_t first = 0, last = 0;  ///< ports
  std::uint32_t quota = 0;
  std::uint32_t ifindex = 0;
  [[nodiscard]] bool has(std::uint16_t port) const { return port >= first && port <= last; }
  [[nodiscard]] std::uint32_t ports() const { return last - first + 1U; }
};

struct Limits {
  std::uint32_t guaranteed = 0, most = 0, half_open = 0;
};

/// Ports in host byte order.
struct Tuple {
  std::uint32_t network = 0;
  std::uint8_t protocol = 0;
  Address source = {}, destination = {};
  std::uint16_t source_port = 0, destination_port = 0;
  auto operator<=>(const Tuple&) const = default;
  [[nodiscard]] Tuple turned() const { return {network, protocol, destination, source, destination_port, source_port}; }
};

/// What a network's pods ask outside: network, address, port, protocol.
using Asked = std::tuple<std::uint32_t, Address, std::uint16_t, std::uint8_t>;

/// One direction of a flow.
struct Flow {
  bool forward = true;
  Tuple other = {};  ///< the tuple of the partner record
  Address new_source = {}, new_destination = {};
  std::uint16_t new_source_port = 0, new_destination_port = 0;
  std::uint32_t ifindex = 0;
  std::uint8_t delivery = 0;
  Mac receiver = {};
  Ref source = {}, endpoint = {}, frontend = {};
  std::uint32_t state = 0;
  std::uint32_t acknowledged = 0;
  std::uint64_t packets = 0, bytes = 0;
  std::uint16_t slot = 0;
  /// Forward, with a port of an egress address: the slot of the pod that has it in its quota, and what is asked.
  std::uint32_t holder = 0;
  std::optional<Asked> asked = {};
  /// Of a flow of ICMP echo, where one of the ports is 0.
  [[nodiscard]] std::uint16_t new_identifier() const {
    return new_source_port != 0 ? new_source_port : new_destination_port;
  }
  [[nodiscard]] bool to_uplink() const { return delivery == SLUICE_DELIVER_UPLINK; }
};

/// What a program did, or must do.
struct Verdict {
  sluice_reason reason = SLUICE_REASON_NONE;
  std::optional<Bytes> frame = {};     ///< none: the packet is gone, its bytes do not matter
  std::vector<std::size_t> sums = {};  ///< where checksums stand that were changed and not computed
  std::size_t sctp_zero = 0;           ///< where a checksum of 0 stood that may have stayed; 0: nowhere
};

/// A fragmented datagram: network, source, destination, identification, in IPv4 the protocol.
using DatagramKey = std::tuple<std::uint32_t, Address, Address, std::uint32_t, std::uint8_t>;

using Time = std::chrono::steady_clock::time_point;
/// When a program ran: not before, not after.
struct Span {
  Time from = {}, to = {};
};

struct Datagram {
  std::uint16_t source_port = 0, destination_port = 0;
  std::uint8_t protocol = 0;
  bool tracked = false;
  std::size_t end = 0;
  bool gap = false, last = false;
  Span seen = {};  ///< its last fragment
};

using NetworkAddress = std::pair<std::uint32_t, Address>;
using FrontendKey = std::tuple<std::uint32_t, Address, std::uint16_t, std::uint8_t>;

/// The tables that the daemon writes.
struct Tables {
  std::map<std::uint32_t, Port> ports;
  std::map<NetworkAddress, Endpoint> endpoints;
  std::map<FrontendKey, Frontend> frontends;
  std::map<std::pair<std::uint32_t, bool>, Way> ways;  ///< by network and family (true: IPv6)
  std::vector<std::pair<Address, unsigned>> denied;
  std::uint16_t shared_first = 0, shared_last = 0;
  std::array<__u64, 2> secret = {};
  std::map<std::uint32_t, std::uint32_t> endpoint_generations, frontend_generations;
  std::map<std::uint16_t, Limits> limits;
  std::uint32_t shared_pairs = 0;
  std::uint32_t max_pairs = 0;
  bool refusals_allowed = true;
  std::map<std::uint32_t, std::uint32_t> mtus;  ///< by ifindex
  std::uint32_t smallest_mtu = 0;
};

struct Parsed;  // a frame's fields, see parse.hpp
struct Quote;   // what an ICMP error quotes, see quote.hpp

class Model {
 public:
  Tables tables;
  std::map<Tuple, Flow> flows;
  std::map<DatagramKey, Datagram> datagrams;
  Span now;  ///< when the program ran whose result is looked at

  /// What must come of `frame`; `done` is what the program did, for the choices that are its own.
  Verdict from_pod(std::uint32_t ifindex, const Bytes& frame, const Verdict& done);
  Verdict from_uplink(std::uint32_t ifindex, const Bytes& frame, const Verdict& done);
  [[nodiscard]] Verdict uplink_xdp(std::uint32_t ifindex, const Bytes& frame) const;
  /// Why a choice of the program was not allowed; empty if all were.
  [[nodiscard]] const std::string& complaint() const { return complaint_; }
  /// The backends may change: tuples are free to find another one.
  void forget_choices() { chosen_.clear(); }

  [[nodiscard]] std::uint32_t pairs(std::uint16_t slot) const;
  [[nodiscard]] std::uint32_t half_open(std::uint16_t slot) const;
  /// What pods hold of their quotas, by slot.
  [[nodiscard]] std::map<std::uint32_t, std::uint32_t> quotas() const;
  /// What was refused because something else is counted with it.
  [[nodiscard]] const std::set<Asked>& excused() const { return excused_; }

 private:
  /// Where a first choice ends: the reason against it, or the backend.
  struct Choice {
    sluice_reason reason = SLUICE_REASON_NONE;
    const Backend* backend = nullptr;
  };

  Verdict ip_from_pod(const Port& port, const Bytes& frame, bool v6, const Verdict& done);
  [[nodiscard]] Verdict arp_from_pod(const Port& port, const Bytes& frame) const;
  [[nodiscard]] Verdict arp_from_uplink(const Port& port, const Bytes& frame) const;
  [[nodiscard]] Verdict discovery_from_pod(const Port& port, const Bytes& frame) const;
  [[nodiscard]] Verdict discovery_from_uplink(const Port& port, const Bytes& frame) const;
  [[nodiscard]] Verdict solicited(const Port& port, const Bytes& frame) const;
  std::optional<Verdict> fragment(Parsed& packet, const Verdict& done);
  Verdict miss_from_uplink(Parsed& packet, Holder holder, const Verdict& done);
  sluice_reason begin_datagram(const Parsed& packet, const DatagramKey& key, const Verdict& done);
  sluice_reason continue_datagram(Parsed& packet, const DatagramKey& key, const Verdict& done);
  [[nodiscard]] bool remembered(const Datagram& datagram, bool program_knows) const;
  [[nodiscard]] bool may_be_full(std::uint32_t network) const;
  std::optional<Verdict> hit(Parsed& packet);
  [[nodiscard]] std::optional<Verdict> error(const Parsed& packet) const;
  [[nodiscard]] std::optional<Verdict> error_of(const Parsed& packet, const Quote& quote) const;
  [[nodiscard]] const Frontend* find_frontend(const Parsed& packet) const;
  Verdict miss(Parsed& packet, const Verdict& done);
  Verdict to_address(const Parsed& packet, const Verdict& done);
  Verdict to_outside(const Parsed& packet, const Verdict& done);
  Verdict leave(const Parsed& packet, const Way& way, const Verdict& done);
  [[nodiscard]] const Way* way_out(const Parsed& packet) const;
  [[nodiscard]] bool denied(const Address& address) const;
  [[nodiscard]] bool is_egress(const Address& address) const;
  [[nodiscard]] Way way_across(const Parsed& packet, const Frontend& frontend) const;
  [[nodiscard]] bool crosses(const Parsed& packet, const Frontend& frontend) const;
  sluice_reason charge_egress(const Parsed& packet, const Way& way, const Verdict& done);
  [[nodiscard]] std::optional<std::uint16_t> free_port(const Parsed& packet, const Way& way, Tuple reverse) const;
  Verdict to_pod(const Parsed& packet, const Endpoint& endpoint);
  [[nodiscard]] Verdict to_service(const Parsed& packet) const;
  [[nodiscard]] Verdict to_floating(const Parsed& packet) const;
  Verdict select(Parsed& packet, const Frontend& frontend, const Verdict& done);
  Verdict remember(const Parsed& packet, const Frontend& frontend, const Backend& backend, const Verdict& done);
  sluice_reason place(const Parsed& packet, const Frontend& frontend, const Backend& backend, const Verdict& done,
                      Flow& forward);
  Choice picked(const Parsed& packet, const Frontend& frontend, const Verdict& done);
  [[nodiscard]] Choice settled(const Frontend& frontend, std::size_t first) const;
  [[nodiscard]] bool explains(const Parsed& packet, const Frontend& frontend, const Choice& choice,
                              const Verdict& done) const;
  [[nodiscard]] bool collides(const Parsed& packet, const Frontend& frontend, const Backend& backend) const;
  [[nodiscard]] bool claims_inside(const Parsed& packet, const Frontend& frontend) const;
  [[nodiscard]] std::uint32_t device_of(const Backend& backend) const {
    return tables.endpoints.at({backend.network, backend.address}).ifindex;
  }
  [[nodiscard]] sluice_reason judge(const Frontend& frontend, const Backend& backend) const;
  [[nodiscard]] sluice_reason charge(std::uint16_t slot, bool from_outside) const;
  void add_flow(const Parsed& packet, const Tuple& reverse, const Flow& forward);
  [[nodiscard]] Verdict refuse(const Parsed& packet) const;
  [[nodiscard]] Verdict expire(const Parsed& packet) const;
  [[nodiscard]] bool too_long(const Parsed& packet, std::uint32_t ifindex) const;
  [[nodiscard]] Verdict too_big(const Parsed& packet, std::uint32_t ifindex) const;
  [[nodiscard]] Verdict carried(const Parsed& packet, const Flow& flow, sluice_reason reason) const;
  [[nodiscard]] Verdict answer_echo(const Parsed& packet) const;
  void track(const Parsed& packet, Flow& flow);
  [[nodiscard]] bool current(const Flow& flow, const Ref& source) const;
  [[nodiscard]] bool ended(const Flow& flow) const;
  [[nodiscard]] bool closing(const Flow& flow) const;
  [[nodiscard]] bool live(const std::map<std::uint32_t, std::uint32_t>& generations, const Ref& ref) const;
  void erase_pair(const Tuple& tuple);
  /// Who has an address of the public side.
  [[nodiscard]] std::optional<Holder> holder_of(const Address& address) const;
  /// Is it one that has nothing of the host: a floating IP, or an egress address of its own?
  [[nodiscard]] bool is_ours(const Address& address) const;
  [[nodiscard]] bool in_shared_range(const Parsed& packet) const;

  std::map<Tuple, Address> chosen_;  ///< forward tuple -> backend, while the configuration stands
  std::set<Asked> excused_;
  std::string complaint_;
};

inline Verdict drop(sluice_reason reason) {
  return {reason};
}

}  // namespace model
