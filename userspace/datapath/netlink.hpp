// SPDX-License-Identifier: Apache-2.0
// Netlink with owners: a socket, a message, and what the kernel answered.
#pragma once

#include <linux/if_link.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>
#include <netlink/netlink.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "base/result.hpp"

namespace sluice::datapath {

/// One request under construction. Attributes are appended in order; a nest ends with end().
class NetlinkMessage {
 public:
  /// `type`: RTM_*; `flags`: NLM_F_* besides REQUEST and ACK, which every message has.
  NetlinkMessage(int type, int flags);

  template <typename Header>
  NetlinkMessage& header(const Header& header) {
    append(&header, sizeof(header));
    return *this;
  }
  NetlinkMessage& text(int attribute, const std::string& value);
  NetlinkMessage& u8(int attribute, std::uint8_t value);
  NetlinkMessage& u32(int attribute, std::uint32_t value);
  NetlinkMessage& bytes(int attribute, const void* data, std::size_t size);
  nlattr* begin(int attribute);
  void end(nlattr* nest);

  [[nodiscard]] nl_msg* get() const { return message_.get(); }

 private:
  void append(const void* data, std::size_t size);

  struct Free {
    void operator()(nl_msg* message) const { nlmsg_free(message); }
  };
  std::unique_ptr<nl_msg, Free> message_;
};

/// A netlink socket. It stays in the network namespace in which it was opened.
class NetlinkSocket {
 public:
  static Result<NetlinkSocket> open(int protocol = NETLINK_ROUTE);

  /// Sends one request and waits for its answer; 0, or the kernel's positive errno.
  int request(const NetlinkMessage& message);
  /// Sends a request for one object and calls `visit` for every message of the answer; 0 or errno.
  int query(const NetlinkMessage& message, const std::function<void(const nlmsghdr&)>& visit);
  /// The same for a whole list. The kernel hands a long list over in pieces and may leave objects out when the list
  /// changes in between; then it says so and the list is read again. `begin` is called before each reading and must
  /// forget what `visit` has collected. EAGAIN if the list changed during every one of kDumpReadings readings.
  int dump(const NetlinkMessage& message, const std::function<void()>& begin,
           const std::function<void(const nlmsghdr&)>& visit);
  static constexpr int kDumpReadings = 20;
  /// Calls `visit` for every message that has come in without being asked for (a subscription), until there is none.
  /// True if the kernel has dropped some, or one was cut off. `what` is tried, for the error.
  Result<bool> drain(std::string_view what, const std::function<void(const nlmsghdr&)>& visit);
  /// What the kernel said beside the number of the last failure, "" if nothing.
  [[nodiscard]] const std::string& explanation() const { return explanation_; }

  [[nodiscard]] nl_sock* get() const { return socket_.get(); }
  [[nodiscard]] int fd() const { return nl_socket_get_fd(socket_.get()); }

 private:
  struct Free {
    void operator()(nl_sock* socket) const { nl_socket_free(socket); }
  };
  explicit NetlinkSocket(nl_sock* socket) : socket_(socket) {}
  int send(const NetlinkMessage& message);
  int receive(const std::function<void(const nlmsghdr&)>& visit, bool until_done);

  std::unique_ptr<nl_sock, Free> socket_;
  std::string explanation_;
};

/// The header of a request about one device; 0: that the attributes name, or a new one.
ifinfomsg link_header(std::uint32_t ifindex);

/// A failed request as an error: what was tried, the kernel's number and its explanation.
std::unexpected<Error> netlink_failure(std::string_view what, int error_number, const NetlinkSocket& socket);

}  // namespace sluice::datapath
