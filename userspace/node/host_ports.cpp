// SPDX-License-Identifier: Apache-2.0
#include "node/host_ports.hpp"

#include <fcntl.h>
#include <netinet/tcp.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <fstream>
#include <system_error>
#include <utility>

#include "base/fd.hpp"
#include "model/names.hpp"

namespace sluice::node {
namespace {

// The kernel shows the reader's own namespace here.
constexpr const char* kReservedPortsFile = "/proc/sys/net/ipv4/ip_local_reserved_ports";

std::optional<std::uint16_t> port_of(std::string_view text) {
  std::uint16_t port = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  return error == std::errc{} && stop == text.data() + text.size() ? std::optional(port) : std::nullopt;
}

std::optional<std::uint32_t> hex_of(std::string_view text) {
  std::uint32_t value = 0;
  const auto [stop, error] = std::from_chars(text.data(), text.data() + text.size(), value, 16);
  return error == std::errc{} && stop == text.data() + text.size() ? std::optional(value) : std::nullopt;
}

std::string_view next_word(std::string_view& line) {
  line.remove_prefix(std::min(line.find_first_not_of(' '), line.size()));
  const std::string_view word = line.substr(0, line.find(' '));
  line.remove_prefix(word.size());
  return word;
}

/// The kernel prints each 32-bit word of the address as a number of the machine, whose bytes are in wire order.
std::optional<IpAddress> socket_address(std::string_view text) {
  constexpr std::size_t kDigits = 8;
  if (text.size() == kDigits) {
    const auto word = hex_of(text);
    return word ? std::optional<IpAddress>(Ipv4::from_wire(*word)) : std::nullopt;
  }
  if (text.size() != 4 * kDigits) return std::nullopt;
  std::array<std::uint32_t, 4> words{};
  for (std::size_t i = 0; i < words.size(); i++) {
    const auto word = hex_of(text.substr(i * kDigits, kDigits));
    if (!word) return std::nullopt;
    words.at(i) = Ipv4::from_wire(*word).value;
  }
  constexpr std::uint32_t kMapped = 0xFFFF;  // RFC 4291 2.5.5.2
  if (words[0] == 0 && words[1] == 0 && words[2] == kMapped) return Ipv4{words[3]};
  return Ipv6{std::uint64_t{words[0]} << 32U | words[1], std::uint64_t{words[2]} << 32U | words[3]};
}

struct SocketFile {
  const char* path;
  model::Protocol protocol;
};
// Of this thread: /proc/net is the namespace of the process's first one.
constexpr std::array kSocketFiles{SocketFile{"/proc/thread-self/net/tcp", model::Protocol::kTcp},
                                  SocketFile{"/proc/thread-self/net/tcp6", model::Protocol::kTcp},
                                  SocketFile{"/proc/thread-self/net/udp", model::Protocol::kUdp},
                                  SocketFile{"/proc/thread-self/net/udp6", model::Protocol::kUdp}};

Status add_sockets(const SocketFile& file, PortRange range, SocketKinds kinds, std::vector<HostSocket>& sockets) {
  errno = 0;
  std::ifstream stream(file.path);
  if (!stream) return errno == ENOENT ? Status{} : fail_errno("open " + std::string(file.path));  // no IPv6
  for (std::string line; std::getline(stream, line);) {
    const auto socket = parse_socket_line(line);
    if (!socket) continue;
    if (file.protocol == model::Protocol::kTcp && socket->state != TCP_LISTEN) {
      if (kinds == SocketKinds::kListening) break;  // the kernel lists those that listen first
      if (socket->state == TCP_TIME_WAIT) continue;
    }
    if (socket->port < range.first || socket->port > range.last) continue;
    sockets.push_back({file.protocol, socket->address, socket->port});
  }
  return {};
}

}  // namespace

Result<std::vector<PortRange>> parse_port_ranges(std::string_view text) {
  const std::size_t end = text.find_last_not_of(" \t\n");
  text = text.substr(0, end == std::string_view::npos ? 0 : end + 1);
  std::vector<PortRange> ranges;
  while (!text.empty()) {
    const std::string_view item = text.substr(0, text.find(','));
    text.remove_prefix(std::min(item.size() + 1, text.size()));
    const std::size_t dash = item.find('-');
    const auto first = port_of(item.substr(0, dash));
    const auto last = dash == std::string_view::npos ? first : port_of(item.substr(dash + 1));
    if (!first || !last || *first > *last) {
      return fail(ErrorCode::kInvalid, model::in_quotes(item) + " is no port and no range of ports");
    }
    ranges.push_back({*first, *last});
  }
  return ranges;
}

std::string text_of(PortRange range) {
  return std::to_string(range.first) + (range.first == range.last ? "" : "-" + std::to_string(range.last));
}

std::string text_of(const std::vector<PortRange>& ranges) {
  std::string text;
  for (const PortRange range : ranges) text += (text.empty() ? "" : ",") + text_of(range);
  return text;
}

std::vector<PortRange> with_range(std::vector<PortRange> ranges, PortRange more) {
  ranges.push_back(more);
  std::ranges::sort(ranges);
  std::vector<PortRange> joined;
  for (const PortRange range : ranges) {
    if (!joined.empty() && range.first <= joined.back().last + 1) {
      joined.back().last = std::max(joined.back().last, range.last);
    } else {
      joined.push_back(range);
    }
  }
  return joined;
}

bool covers(const std::vector<PortRange>& ranges, PortRange wanted) {
  std::vector<PortRange> joined;
  if (!ranges.empty()) joined = with_range(ranges, ranges.front());
  return std::ranges::any_of(joined,
                             [&](const PortRange one) { return one.first <= wanted.first && one.last >= wanted.last; });
}

Result<std::vector<PortRange>> reserved_ports() {
  const UniqueFd file(::open(kReservedPortsFile, O_RDONLY | O_CLOEXEC));
  if (!file.valid()) return fail_errno("open " + std::string(kReservedPortsFile));
  // One reading gives all, a second one nothing: every other port of 65,536 takes 196,600 bytes.
  std::string text(256UL * 1024, '\0');
  const ssize_t size = ::read(file.get(), text.data(), text.size());
  if (size < 0) return fail_errno("read " + std::string(kReservedPortsFile));
  text.resize(static_cast<std::size_t>(size));
  auto ranges = parse_port_ranges(text);
  if (!ranges) return fail_in(kReservedPorts, ranges);
  return ranges;
}

Status reserve_ports(PortRange range) {
  const auto before = reserved_ports();
  if (!before) return std::unexpected(before.error());
  if (covers(*before, range)) return {};
  const UniqueFd file(::open(kReservedPortsFile, O_WRONLY | O_CLOEXEC));
  if (!file.valid() && errno == EROFS) {
    return fail(ErrorCode::kPermission, std::string(kReservedPortsFile) + " is read-only here");
  }
  if (!file.valid()) return fail_errno("open " + std::string(kReservedPortsFile));
  const std::string text = text_of(with_range(*before, range)) + "\n";
  // A page at a time: what follows the first is added to it (proc_do_large_bitmap).
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t written = ::write(file.get(), text.data() + done, text.size() - done);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return fail_errno("write " + std::string(kReservedPortsFile));
    done += static_cast<std::size_t>(written);
  }
  return {};
}

std::string HostSocket::text() const {
  const std::string host = sluice::text_of(address);
  const bool six = std::holds_alternative<Ipv6>(address);
  return std::string(model::name(protocol)) + " " + (six ? "[" + host + "]" : host) + ":" + std::to_string(port);
}

std::optional<SocketLine> parse_socket_line(std::string_view line) {
  if (!next_word(line).ends_with(':')) return std::nullopt;
  const std::string_view local = next_word(line);
  next_word(line);  // the peer
  const auto state = hex_of(next_word(line));
  const std::size_t colon = local.find(':');
  if (colon == std::string_view::npos || !state) return std::nullopt;
  const auto address = socket_address(local.substr(0, colon));
  const auto port = hex_of(local.substr(colon + 1));
  if (!address || !port || *port > 0xFFFF) return std::nullopt;
  return SocketLine{*address, static_cast<std::uint16_t>(*port), *state};
}

Result<std::vector<HostSocket>> sockets_with(PortRange range, SocketKinds kinds) {
  std::vector<HostSocket> sockets;
  for (const SocketFile& file : kSocketFiles) {
    if (Status added = add_sockets(file, range, kinds, sockets); !added) return std::unexpected(added.error());
  }
  // Several may share a port (SO_REUSEPORT, and the connections of a server).
  std::ranges::sort(sockets);
  const auto twice = std::ranges::unique(sockets);
  sockets.erase(twice.begin(), twice.end());
  return sockets;
}

bool receives_at(const HostSocket& socket, const IpAddress& address) {
  if (socket.address == address || socket.address == IpAddress(Ipv6{})) return true;
  return socket.address == IpAddress(Ipv4{}) && std::holds_alternative<Ipv4>(address);
}

}  // namespace sluice::node
