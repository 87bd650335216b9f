// SPDX-License-Identifier: Apache-2.0
#include "datapath/netlink.hpp"

#include <linux/netlink.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <new>
#include <thread>
#include <vector>

namespace sluice::datapath {
namespace {

// The kernel answers a request before sendmsg() returns, or never; the limit only keeps a defect from hanging us.
constexpr int kAnswerMilliseconds = 30000;
constexpr std::size_t kReceiveBytes = 128 * 1024;

void check(int status) {
  if (status < 0) throw std::bad_alloc();  // libnl's builders fail on memory and on nothing else
}

/// The text attribute of an extended acknowledgement.
std::string extended_text(const nlmsghdr* header, const nlmsgerr* error) {
  if ((header->nlmsg_flags & NLM_F_ACK_TLVS) == 0) return {};
  std::size_t offset = sizeof(nlmsgerr);
  if ((header->nlmsg_flags & NLM_F_CAPPED) == 0) offset += NLMSG_ALIGN(error->msg.nlmsg_len) - sizeof(nlmsghdr);
  const std::size_t length = NLMSG_PAYLOAD(header, 0);
  if (offset >= length) return {};
  auto* first = reinterpret_cast<nlattr*>(reinterpret_cast<char*>(const_cast<nlmsgerr*>(error)) + offset);
  const nlattr* text = nla_find(first, static_cast<int>(length - offset), NLMSGERR_ATTR_MSG);
  return text == nullptr ? std::string{} : std::string(static_cast<const char*>(nla_data(text)));
}

}  // namespace

NetlinkMessage::NetlinkMessage(int type, int flags)
    : message_(nlmsg_alloc_simple(type, flags | NLM_F_REQUEST | NLM_F_ACK)) {
  if (!message_) throw std::bad_alloc();
}

void NetlinkMessage::append(const void* data, std::size_t size) {
  check(nlmsg_append(get(), const_cast<void*>(data), size, NLMSG_ALIGNTO));
}

NetlinkMessage& NetlinkMessage::text(int attribute, const std::string& value) {
  check(nla_put_string(get(), attribute, value.c_str()));
  return *this;
}

NetlinkMessage& NetlinkMessage::u8(int attribute, std::uint8_t value) {
  check(nla_put_u8(get(), attribute, value));
  return *this;
}

NetlinkMessage& NetlinkMessage::u32(int attribute, std::uint32_t value) {
  check(nla_put_u32(get(), attribute, value));
  return *this;
}

NetlinkMessage& NetlinkMessage::bytes(int attribute, const void* data, std::size_t size) {
  check(nla_put(get(), attribute, static_cast<int>(size), data));
  return *this;
}

nlattr* NetlinkMessage::begin(int attribute) {
  nlattr* nest = nla_nest_start(get(), attribute);
  if (nest == nullptr) throw std::bad_alloc();
  return nest;
}

void NetlinkMessage::end(nlattr* nest) {
  nla_nest_end(get(), nest);
}

Result<NetlinkSocket> NetlinkSocket::open(int protocol) {
  NetlinkSocket socket(nl_socket_alloc());
  if (socket.get() == nullptr) throw std::bad_alloc();
  errno = 0;
  if (const int status = nl_connect(socket.get(), protocol); status < 0) {
    if (errno != 0) return fail_errno("open a netlink socket");
    return fail(ErrorCode::kSystem, std::string("open a netlink socket: ") + nl_geterror(status));
  }
  const int on = 1;
  // Explanations of failures are a convenience: a kernel without them still gives the number.
  static_cast<void>(setsockopt(socket.fd(), SOL_NETLINK, NETLINK_EXT_ACK, &on, sizeof(on)));
  static_cast<void>(setsockopt(socket.fd(), SOL_NETLINK, NETLINK_GET_STRICT_CHK, &on, sizeof(on)));
  return socket;
}

int NetlinkSocket::send(const NetlinkMessage& message) {
  explanation_.clear();
  errno = 0;
  if (nl_send_auto(get(), message.get()) < 0) return errno != 0 ? errno : EIO;
  return 0;
}

int NetlinkSocket::request(const NetlinkMessage& message) {
  return query(message, [](const nlmsghdr&) {});
}

int NetlinkSocket::query(const NetlinkMessage& message, const std::function<void(const nlmsghdr&)>& visit) {
  if (const int error_number = send(message); error_number != 0) return error_number;
  return receive(visit, false);
}

int NetlinkSocket::dump(const NetlinkMessage& message, const std::function<void()>& begin,
                        const std::function<void(const nlmsghdr&)>& visit) {
  for (int reading = 1;; reading++) {
    begin();
    if (const int error_number = send(message); error_number != 0) return error_number;
    const int error_number = receive(visit, true);
    if (error_number != EAGAIN || reading == kDumpReadings) return error_number;
    // Whoever changes the list gets time to come to an end.
    std::this_thread::sleep_for(std::chrono::milliseconds(reading));
  }
}

Result<bool> NetlinkSocket::drain(std::string_view what, const std::function<void(const nlmsghdr&)>& visit) {
  bool lost = false;
  std::vector<char> buffer(kReceiveBytes);
  while (true) {
    const ssize_t received = recv(fd(), buffer.data(), buffer.size(), MSG_DONTWAIT | MSG_TRUNC);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return lost;
    if ((received < 0 && errno == ENOBUFS) || received > static_cast<ssize_t>(buffer.size())) {
      lost = true;
      continue;
    }
    if (received < 0) return fail_errno(std::string(what));
    auto left = static_cast<unsigned>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      visit(*header);
    }
  }
}

int NetlinkSocket::receive(const std::function<void(const nlmsghdr&)>& visit, bool until_done) {
  std::vector<char> buffer(kReceiveBytes);
  bool interrupted = false;
  while (true) {
    pollfd ready{.fd = fd(), .events = POLLIN, .revents = 0};
    if (const int count = poll(&ready, 1, kAnswerMilliseconds); count == 0) return ETIMEDOUT;
    const ssize_t received = recv(fd(), buffer.data(), buffer.size(), 0);
    if (received < 0 && errno == EINTR) continue;
    if (received < 0) return errno;
    auto left = static_cast<unsigned>(received);
    for (auto* header = reinterpret_cast<nlmsghdr*>(buffer.data()); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      interrupted = interrupted || (header->nlmsg_flags & NLM_F_DUMP_INTR) != 0;
      if (header->nlmsg_type == NLMSG_DONE) return interrupted ? EAGAIN : 0;
      if (header->nlmsg_type == NLMSG_ERROR) {
        const auto* error = static_cast<const nlmsgerr*>(NLMSG_DATA(header));
        if (error->error != 0) explanation_ = extended_text(header, error);
        if (error->error != 0 || !until_done) return -error->error;
        continue;
      }
      visit(*header);
    }
  }
}

ifinfomsg link_header(std::uint32_t ifindex) {
  ifinfomsg header{};
  header.ifi_family = AF_UNSPEC;
  header.ifi_index = static_cast<int>(ifindex);
  return header;
}

std::unexpected<Error> netlink_failure(std::string_view what, int error_number, const NetlinkSocket& socket) {
  auto failure = fail_errno(what, error_number);
  if (socket.explanation().empty()) return failure;
  Error error = failure.error();
  error.message += " (" + socket.explanation() + ")";
  return std::unexpected(std::move(error));
}

}  // namespace sluice::datapath
