// SPDX-License-Identifier: Apache-2.0
#include "attach_pods.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <sched.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <cerrno>

#include "datapath/namespaces.hpp"

namespace sluice::benchmark {
namespace {

sockaddr_in ipv4(std::uint32_t address, std::uint16_t port) {
  sockaddr_in place{};
  place.sin_family = AF_INET;
  place.sin_port = htons(port);
  place.sin_addr.s_addr = address;
  return place;
}

}  // namespace

Result<UniqueFd> new_namespace() {
  Result<UniqueFd> made = fail(ErrorCode::kSystem, "the thread has not run");
  std::thread([&made] {
    if (unshare(CLONE_NEWNET) != 0) {
      made = fail_errno("make a network namespace");
      return;
    }
    UniqueFd fd(open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC));
    if (fd.valid()) {
      made = std::move(fd);
    } else {
      made = fail_errno("open the new network namespace");
    }
  }).join();
  return made;
}

std::string path_of(const UniqueFd& netns) {
  return "/proc/" + std::to_string(getpid()) + "/fd/" + std::to_string(netns.get());
}

Status ByteServer::listen(const UniqueFd& netns) {
  return datapath::run_in_netns(netns, [this]() -> Status {
    UniqueFd fd(socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    const sockaddr_in place = ipv4(htonl(INADDR_ANY), kPort);
    if (!fd.valid() || bind(fd.get(), reinterpret_cast<const sockaddr*>(&place), sizeof(place)) != 0 ||
        ::listen(fd.get(), SOMAXCONN) != 0) {
      return fail_errno("listen in a namespace");
    }
    listeners_.push_back(std::move(fd));
    return {};
  });
}

Status ByteServer::start() {
  epoll_.reset(epoll_create1(EPOLL_CLOEXEC));
  end_.reset(eventfd(0, EFD_CLOEXEC));
  if (!epoll_.valid() || !end_.valid()) return fail_errno("epoll");
  const auto watch = [this](int fd) {
    epoll_event event{};
    event.events = EPOLLIN;
    event.data.fd = fd;
    return epoll_ctl(epoll_.get(), EPOLL_CTL_ADD, fd, &event) == 0;
  };
  if (!watch(end_.get())) return fail_errno("epoll_ctl");
  for (const UniqueFd& listener : listeners_) {
    if (!watch(listener.get())) return fail_errno("epoll_ctl");
  }
  thread_ = std::thread([this] { serve(); });
  return {};
}

void ByteServer::serve() const {
  while (true) {
    epoll_event event{};
    if (epoll_wait(epoll_.get(), &event, 1, -1) != 1) continue;
    if (event.data.fd == end_.get()) return;
    const UniqueFd connection(accept4(event.data.fd, nullptr, nullptr, SOCK_CLOEXEC));
    // A client that has gone notices by itself that no byte came.
    if (connection.valid()) static_cast<void>(send(connection.get(), "!", 1, MSG_NOSIGNAL));
  }
}

ByteServer::~ByteServer() {
  if (!thread_.joinable()) return;
  static_cast<void>(eventfd_write(end_.get(), 1));
  thread_.join();
}

Result<UniqueFd> client_socket(const UniqueFd& netns) {
  UniqueFd fd;
  const Status made = datapath::run_in_netns(netns, [&fd]() -> Status {
    fd.reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const timeval limit{.tv_sec = 5, .tv_usec = 0};
    if (!fd.valid() || setsockopt(fd.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof(limit)) != 0 ||
        setsockopt(fd.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)) != 0) {
      return fail_errno("make a socket in the client's namespace");
    }
    return {};
  });
  if (!made) return std::unexpected(made.error());
  return fd;
}

Status fetch_byte(const UniqueFd& socket, const std::string& address, std::uint16_t port) {
  in_addr raw{};
  if (inet_pton(AF_INET, address.c_str(), &raw) != 1) return fail(ErrorCode::kInvalid, address + " is no address");
  const sockaddr_in place = ipv4(raw.s_addr, port);
  if (connect(socket.get(), reinterpret_cast<const sockaddr*>(&place), sizeof(place)) != 0) {
    return fail_errno("connect to " + address + ":" + std::to_string(port));
  }
  char byte = 0;
  if (recv(socket.get(), &byte, 1, 0) != 1) return fail_errno("read from " + address + ":" + std::to_string(port));
  return {};
}

}  // namespace sluice::benchmark
