// SPDX-License-Identifier: Apache-2.0
// The host's own use of ports: what it may not give to sockets by itself, and which sockets have some already.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/address.hpp"
#include "base/result.hpp"
#include "compile/egress.hpp"
#include "model/resources.hpp"

namespace sluice::node {

using compile::PortRange;

/// Ranges as the kernel prints and takes them: "8080,16384-29999", with white space behind them or nothing at all.
/// kInvalid.
Result<std::vector<PortRange>> parse_port_ranges(std::string_view text);
std::string text_of(PortRange range);
std::string text_of(const std::vector<PortRange>& ranges);
/// Both together, sorted, and joined where they meet.
std::vector<PortRange> with_range(std::vector<PortRange> ranges, PortRange more);
bool covers(const std::vector<PortRange>& ranges, PortRange wanted);

/// net.ipv4.ip_local_reserved_ports of this thread's network namespace: ports that no socket of either family gets by
/// itself, only by naming them.
inline constexpr std::string_view kReservedPorts = "net.ipv4.ip_local_reserved_ports";
Result<std::vector<PortRange>> reserved_ports();
/// Adds a range to them; what stands there stays. Writes nothing if it is covered. kPermission where /proc/sys is
/// read-only (systemd's ProtectKernelTunables=) or the privilege is missing.
Status reserve_ports(PortRange range);

/// A TCP socket that listens or has a peer, or a UDP socket that is bound.
struct HostSocket {
  model::Protocol protocol = model::Protocol::kTcp;
  IpAddress address;  ///< an IPv4 address in IPv6's form is IPv4 here
  std::uint16_t port = 0;
  auto operator<=>(const HostSocket&) const = default;
  [[nodiscard]] std::string text() const;  ///< "TCP 0.0.0.0:20000", "UDP [2001:db8::7]:20000"
};

/// A line of /proc/net/tcp, tcp6, udp or udp6.
struct SocketLine {
  IpAddress address;
  std::uint16_t port = 0;
  unsigned state = 0;  ///< the kernel's TCP_* number, UDP too
};
/// Nothing for the headline, and for what is none.
std::optional<SocketLine> parse_socket_line(std::string_view line);

/// How far the list of TCP sockets is read: a busy host has a hundred thousand connections behind those that listen.
enum class SocketKinds : std::uint8_t {
  kListening,  ///< of TCP those that listen
  kWhole,      ///< of TCP all but those in TIME_WAIT, which no longer wait for anything
};
/// Of this thread's network namespace, those with a port of the range; UDP sockets always.
Result<std::vector<HostSocket>> sockets_with(PortRange range, SocketKinds kinds);
/// Whether packets to `address` may be this socket's. One on :: counts for IPv4 as well: nobody tells whether it has
/// excluded that (IPV6_V6ONLY).
bool receives_at(const HostSocket& socket, const IpAddress& address);

}  // namespace sluice::node
