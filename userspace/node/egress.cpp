// SPDX-License-Identifier: Apache-2.0
#include "node/egress.hpp"

#include <sluice/abi.h>
#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "node/log.hpp"

namespace sluice::node {
namespace {

using datapath::AddressInfo;

constexpr Cidr4 kLoopback4{Ipv4{0x7F000000}, 8};
constexpr Cidr4 kLinkLocal4{Ipv4{0xA9FE0000}, 16};
constexpr Cidr6 kLinkLocal6{Ipv6{0xFE80ULL << 48U, 0}, 10};
constexpr Cidr6 kUniqueLocal{Ipv6{0xFCULL << 56U, 0}, 7};

bool may_leave_by(const AddressInfo& info, std::uint32_t ifindex) {
  return info.ifindex == ifindex && info.global && !info.temporary && !info.deprecated && !info.tentative;
}

/// Those of one family that will do, in the kernel's order.
template <typename Address>
std::vector<Address> candidates(const std::vector<AddressInfo>& addresses, std::uint32_t ifindex) {
  std::vector<Address> found;
  for (const AddressInfo& info : addresses) {
    const auto* address = std::get_if<Address>(&info.address);
    if (address != nullptr && may_leave_by(info, ifindex)) found.push_back(*address);
  }
  return found;
}

/// The datapath refuses these by itself, for every node alike.
bool is_denied_anyway(const Ipv4& address) {
  return kLoopback4.contains(address) || kLinkLocal4.contains(address);
}
bool is_denied_anyway(const Ipv6& address) {
  return address == Ipv6{0, 1} || kLinkLocal6.contains(address);
}

template <typename Cidr>
void put_in_order(std::vector<Cidr>& prefixes) {
  std::ranges::sort(prefixes);
  const auto twice = std::ranges::unique(prefixes);
  prefixes.erase(twice.begin(), twice.end());
}

void add_denied(const EgressConfig& config, const EgressFacts& facts, compile::Egress& egress) {
  constexpr std::uint8_t kHost4 = 32;
  constexpr std::uint8_t kHost6 = 128;
  egress.denied4 = config.deny4;
  egress.denied6 = config.deny6;
  for (const AddressInfo& info : facts.addresses) {
    if (const auto* four = std::get_if<Ipv4>(&info.address)) {
      if (!is_denied_anyway(*four)) egress.denied4.push_back({*four, kHost4});
    } else if (const auto& six = std::get<Ipv6>(info.address); !is_denied_anyway(six)) {
      egress.denied6.push_back({six, kHost6});
    }
  }
  for (const Ipv4 underlay : facts.underlays) egress.denied4.push_back({underlay, kHost4});
  put_in_order(egress.denied4);
  put_in_order(egress.denied6);
}

template <typename Address>
struct Family;
template <>
struct Family<Ipv4> {
  static constexpr auto kWish = &EgressConfig::address4;
  static constexpr auto kValue = &compile::Egress::v4;
  static constexpr auto kFloating = &model::FloatingIp::address;
  static constexpr auto kChoose = &egress_address4;
  static constexpr std::string_view kField = "egress.address4: ";
  static constexpr std::string_view kName = "IPv4";
};
template <>
struct Family<Ipv6> {
  static constexpr auto kWish = &EgressConfig::address6;
  static constexpr auto kValue = &compile::Egress::v6;
  static constexpr auto kFloating = &model::FloatingIp::address6;
  static constexpr auto kChoose = &egress_address6;
  static constexpr std::string_view kField = "egress.address6: ";
  static constexpr std::string_view kName = "IPv6";
};

class Decision {
 public:
  Decision(const EgressConfig& config, const EgressFacts& facts, const FloatingIps& floating_ips,
           const compile::Egress& before)
      : config_(config), facts_(facts), floating_ips_(floating_ips), before_(before) {}

  EgressDecision run() {
    if (facts_.ifindex == 0) {
      problem("egress: device " + config_.device + " does not work as an uplink; no pod leaves until it does");
      return std::move(made_);
    }
    made_.value.ifindex = facts_.ifindex;
    made_.value.flows_per_pod = config_.flows_per_pod;
    add<Ipv4>();
    add<Ipv6>();
    say_what_is_missing();
    add_denied(config_, facts_, made_.value);
    check_denied(made_.value.denied4.size(), made_.value.denied6.size());
    return std::move(made_);
  }

 private:
  void problem(std::string text) { made_.problems.push_back(std::move(text)); }

  template <typename Address>
  void add() {
    using Kind = EgressWish<Address>::Kind;
    const EgressWish<Address>& wish = config_.*Family<Address>::kWish;
    if (wish.kind == Kind::kDedicated) add_dedicated(wish.address);
    if (wish.kind == Kind::kNode) add_shared(wish);
  }

  template <typename Address>
  void add_dedicated(Address address) {
    const auto is_it = [&](const AddressInfo& info) { return info.address == IpAddress(address); };
    if (std::ranges::any_of(facts_.addresses, is_it)) {
      const std::string text = address.text();
      problem(std::string(Family<Address>::kField) + text +
              " is an address of this node itself; write: node, or take " + text + " from its device");
      refused_ = true;
      return;
    }
    if (is_floating(address)) return;
    made_.value.*Family<Address>::kValue = {address, false, kDedicatedPorts};
  }

  template <typename Address>
  void add_shared(const EgressWish<Address>& wish) {
    const auto& held = before_.*Family<Address>::kValue;
    const bool held_shared = held && held->shared && before_.ifindex == facts_.ifindex;
    const auto address = Family<Address>::kChoose(facts_.addresses, facts_.ifindex,
                                                  held_shared ? std::optional(held->address) : std::nullopt);
    if (!address) {
      if (!wish.asked) return;
      problem(std::string(Family<Address>::kField) + "device " + config_.device + " has no global " +
              std::string(Family<Address>::kName) + " address that is to stay; give it one, or write: none");
      refused_ = true;
      return;
    }
    if (is_floating(*address)) return;
    const compile::EgressAddress<Address> wanted{*address, true, config_.ports};
    const bool goes_on = held_shared && held == wanted;
    const bool free = say_whether_free<Address>(*address, goes_on);
    if (goes_on || (free && facts_.whole)) {
      made_.value.*Family<Address>::kValue = wanted;
      return;
    }
    refused_ = true;
    if (free) made_.needs_whole = true;
  }

  /// Whether a floating IP has this address; it stays the floating IP's.
  template <typename Address>
  bool is_floating(const Address& address) {
    for (const auto& [name, floating] : floating_ips_) {
      if (floating.*Family<Address>::kFloating != address) continue;
      const std::string text = address.text();
      problem(std::string(Family<Address>::kField) + text + " is the address of floating IP " + name +
              " too; delete that or give it another address, or choose another egress address; until then no pod "
              "leaves by " +
              text);
      refused_ = true;
      return true;
    }
    return false;
  }

  /// A write of more would fail, and with it every change of the tables.
  void check_denied(std::size_t four, std::size_t six) {
    const auto check = [this](std::size_t count, std::string_view family) {
      if (count <= SLUICE_MAX_DENIED) return;
      problem("egress: " + std::to_string(count) + ' ' + std::string(family) +
              " prefixes would be denied (addresses of this node, underlay4 of nodes, egress.deny), the tables hold " +
              std::to_string(SLUICE_MAX_DENIED) +
              "; take addresses off the node or shorten egress.deny; until then no pod leaves");
      made_.value = {};
    };
    check(four, Family<Ipv4>::kName);
    check(six, Family<Ipv6>::kName);
  }

  /// Whether nothing of the host is in the way at the ports of its own address.
  template <typename Address>
  bool say_whether_free(Address address, bool goes_on) {
    const std::string until = goes_on ? "; pods go on to leave by " + address.text() + ", and may collide with it"
                                      : "; until then no pod leaves by " + address.text();
    bool free = true;
    if (!covers(facts_.reserved, config_.ports)) {
      free = false;
      if (!std::exchange(said_unreserved_, true)) problem(unreserved() + until);
    }
    std::vector<const HostSocket*> sockets;
    for (const HostSocket& socket : facts_.sockets) {
      if (receives_at(socket, address)) sockets.push_back(&socket);
    }
    if (sockets.empty()) return free;
    constexpr std::size_t kShown = 5;
    problem(std::string(Family<Address>::kField) + "the host has sockets at ports of egress.ports " +
            text_of(config_.ports) + ": " +
            listed(sockets.size(), kShown, [&](std::size_t i) { return sockets[i]->text(); }) +
            "; end or move them, or choose other ports" + until);
    return false;
  }

  [[nodiscard]] std::string unreserved() const {
    const std::string all = std::string(kReservedPorts) + "=" + text_of(with_range(facts_.reserved, config_.ports));
    return "egress.ports: " + text_of(config_.ports) + " are not in " + std::string(kReservedPorts) +
           ", where the host's own sockets do not get them" +
           (facts_.unreserved.empty() ? "" : " (" + facts_.unreserved + ")") + "; run: sysctl -w " + all +
           ", and write it into a file of /etc/sysctl.d";
  }

  /// That nobody leaves although nothing was refused would be said by nobody.
  void say_what_is_missing() {
    if (refused_ || made_.value.v4 || made_.value.v6) return;
    problem("egress: device " + config_.device + " has no global address that is to stay; no pod leaves until it has");
  }

  const EgressConfig& config_;
  const EgressFacts& facts_;
  const FloatingIps& floating_ips_;
  const compile::Egress& before_;
  EgressDecision made_;
  bool refused_ = false;
  bool said_unreserved_ = false;
};

template <typename Address>
std::string shown(const std::optional<compile::EgressAddress<Address>>& egress) {
  return egress ? egress->address.text() + (egress->shared ? ":" + text_of(egress->ports) : "") : "none";
}

}  // namespace

std::optional<Ipv4> egress_address4(const std::vector<AddressInfo>& addresses, std::uint32_t ifindex,
                                    std::optional<Ipv4> before) {
  const auto found = candidates<Ipv4>(addresses, ifindex);
  if (before && std::ranges::find(found, *before) != found.end()) return before;
  return found.empty() ? std::nullopt : std::optional(found.front());
}

std::optional<Ipv6> egress_address6(const std::vector<AddressInfo>& addresses, std::uint32_t ifindex,
                                    std::optional<Ipv6> before) {
  const auto found = candidates<Ipv6>(addresses, ifindex);
  if (before && std::ranges::find(found, *before) != found.end()) return before;
  const auto routed = std::ranges::find_if(found, [](const Ipv6& one) { return !kUniqueLocal.contains(one); });
  if (routed != found.end()) return *routed;
  return found.empty() ? std::nullopt : std::optional(found.front());
}

bool wants_shared_ports(const EgressConfig& config) {
  return config.address4.kind == EgressWish<Ipv4>::Kind::kNode || config.address6.kind == EgressWish<Ipv6>::Kind::kNode;
}

EgressDecision decide_egress(const EgressConfig& config, const EgressFacts& facts, const FloatingIps& floating_ips,
                             const compile::Egress& before) {
  return Decision(config, facts, floating_ips, before).run();
}

void EgressFollower::look() {
  unseen_.clear();
  if (!config_) {
    addresses_known_ = false;  // those of then say nothing when somebody configures it again
    return;
  }
  for (const auto part : {&EgressFollower::look_at_addresses, &EgressFollower::look_at_ports}) {
    if (Status done = (this->*part)(); !done) not_seen(done);
  }
}

Status EgressFollower::look_at_addresses() {
  auto addresses = datapath::list_addresses();
  if (!addresses) return std::unexpected(addresses.error());
  facts_.addresses = std::move(*addresses);
  addresses_known_ = true;
  return {};
}

Status EgressFollower::look_at_ports() {
  facts_.whole = false;
  if (!wants_shared_ports(*config_)) return {};
  const Status reserved = reserve_ports(config_->ports);
  facts_.unreserved = reserved ? "" : reserved.error().message;
  auto ranges = reserved_ports();
  if (!ranges) return std::unexpected(ranges.error());
  facts_.reserved = std::move(*ranges);
  return look_at_sockets(SocketKinds::kListening);
}

Status EgressFollower::look_at_sockets(SocketKinds kinds) {
  auto sockets = sockets_with(config_->ports, kinds);
  if (!sockets) return std::unexpected(sockets.error());
  facts_.sockets = std::move(*sockets);
  facts_.whole = kinds == SocketKinds::kWhole;
  return {};
}

/// The answers to a connection that the host has already would be taken for pods' as soon as a shared address begins;
/// once it is in use nobody gets such a connection without listening or naming a reserved port.
EgressDecision EgressFollower::make(const FloatingIps& floating_ips) {
  if (!config_) return {};
  EgressDecision made = decide_egress(*config_, facts_, floating_ips, current_);
  if (!made.needs_whole) return made;
  if (Status done = look_at_sockets(SocketKinds::kWhole); !done) {
    not_seen(done);
    return made;
  }
  return decide_egress(*config_, facts_, floating_ips, current_);
}

bool EgressFollower::decide(std::uint32_t ifindex, const std::map<std::string, model::Node>& nodes,
                            const FloatingIps& floating_ips) {
  if (config_ && !addresses_known_) return false;
  facts_.ifindex = ifindex;
  facts_.underlays.clear();
  for (const auto& [name, node] : nodes) {
    if (node.underlay4) facts_.underlays.push_back(*node.underlay4);
  }
  EgressDecision now = make(floating_ips);
  log_changes(now);
  problems_ = std::move(now.problems);
  if (now.value == current_) return false;
  current_ = std::move(now.value);
  return true;
}

void EgressFollower::log_changes(const EgressDecision& now) const {
  for (const std::string& problem : now.problems) {
    if (std::ranges::find(problems_, problem) == problems_.end()) {
      spdlog::warn("event=egress_problem error={}", quote(problem));
    }
  }
  const compile::Egress& value = now.value;
  if (value.ifindex == current_.ifindex && value.v4 == current_.v4 && value.v6 == current_.v6) return;
  spdlog::info("event=egress ifindex={} address4={} address6={}", value.ifindex, shown(value.v4), shown(value.v6));
}

std::vector<std::string> EgressFollower::problems() const {
  std::vector<std::string> all = problems_;
  if (config_ && !unseen_.empty()) all.push_back(unseen_);
  return all;
}

}  // namespace sluice::node
