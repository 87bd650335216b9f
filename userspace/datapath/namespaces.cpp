// SPDX-License-Identifier: Apache-2.0
#include "datapath/namespaces.hpp"

#include <fcntl.h>
#include <linux/magic.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include <cerrno>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>
#include <vector>

namespace sluice::datapath {
namespace {

std::unexpected<Error> no_namespace(const std::filesystem::path& path) {
  return fail(ErrorCode::kInvalid, "netns \"" + path.string() +
                                       "\" is no network namespace; give a path such as /run/netns/NAME or "
                                       "/proc/PID/ns/net");
}

}  // namespace

Result<UniqueFd> open_netns(const std::filesystem::path& path) {
  // O_NONBLOCK: the path comes from a user, and opening a FIFO would block for ever.
  UniqueFd netns(open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
  if (!netns.valid() && errno == ENOENT) {
    return fail(ErrorCode::kNotFound,
                "netns \"" + path.string() + "\" does not exist; make it first, for example with ip netns add");
  }
  if (!netns.valid() && (errno == ENXIO || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG)) {
    return no_namespace(path);
  }
  if (!netns.valid()) return fail_errno("open netns \"" + path.string() + "\"");
  struct statfs filesystem{};
  if (fstatfs(netns.get(), &filesystem) != 0) return fail_errno("look at netns \"" + path.string() + "\"");
  if (filesystem.f_type != NSFS_MAGIC || ioctl(netns.get(), NS_GET_NSTYPE) != CLONE_NEWNET) return no_namespace(path);
  return netns;
}

Result<bool> is_own_netns(const UniqueFd& netns) {
  struct stat other{};
  struct stat own{};
  if (fstat(netns.get(), &other) != 0) return fail_errno("look at a network namespace");
  if (stat("/proc/self/ns/net", &own) != 0) return fail_errno("look at /proc/self/ns/net");
  return other.st_dev == own.st_dev && other.st_ino == own.st_ino;
}

Status run_in_netns(const UniqueFd& netns, const std::function<Status()>& work) {
  Status status;
  std::thread worker([&] {
    if (setns(netns.get(), CLONE_NEWNET) != 0) {
      status = fail_errno("enter the pod's network namespace (needs CAP_SYS_ADMIN)");
      return;
    }
    status = work();
  });
  worker.join();
  return status;
}

Result<std::uint64_t> own_netns_cookie() {
  const UniqueFd probe(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return fail_errno("open a socket in the network namespace");
  std::uint64_t cookie = 0;
  socklen_t size = sizeof(cookie);
  if (getsockopt(probe.get(), SOL_SOCKET, SO_NETNS_COOKIE, &cookie, &size) != 0) {
    return fail_errno("read SO_NETNS_COOKIE");
  }
  return cookie;
}

Result<std::uint64_t> netns_cookie(const UniqueFd& netns) {
  std::uint64_t cookie = 0;
  const Status read = run_in_netns(netns, [&cookie]() -> Status {
    auto own = own_netns_cookie();
    if (!own) return std::unexpected(own.error());
    cookie = *own;
    return {};
  });
  if (!read) return std::unexpected(read.error());
  return cookie;
}

namespace {

/// Where namespaces may be found: those that have a name (ip netns add, container engines), as this mount namespace
/// sees them, then those of processes.
std::vector<std::filesystem::path> netns_paths() {
  std::vector<std::filesystem::path> paths;
  std::ifstream mounts("/proc/self/mountinfo");
  for (std::string line; std::getline(mounts, line);) {
    if (line.find(" - nsfs ") == std::string::npos) continue;
    std::istringstream fields(line);
    std::string skipped, point;
    fields >> skipped >> skipped >> skipped >> skipped >> point;
    paths.emplace_back(point);
  }
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    if (name.find_first_not_of("0123456789") == std::string::npos) paths.push_back(entry.path() / "ns" / "net");
  }
  return paths;
}

}  // namespace

std::map<std::uint64_t, UniqueFd> find_netns(const std::set<std::uint64_t>& cookies) {
  std::map<std::uint64_t, UniqueFd> found;
  if (cookies.empty()) return found;
  std::set<std::pair<dev_t, ino_t>> seen;
  for (const auto& path : netns_paths()) {
    if (found.size() == cookies.size()) break;
    struct stat place{};
    if (stat(path.c_str(), &place) != 0 || !seen.emplace(place.st_dev, place.st_ino).second) continue;
    auto netns = open_netns(path);
    if (!netns) continue;  // of another kind, or gone
    const auto cookie = netns_cookie(*netns);
    if (cookie && cookies.contains(*cookie)) found.emplace(*cookie, std::move(*netns));
  }
  return found;
}

Result<std::string> boot_id() {
  const char* path = "/proc/sys/kernel/random/boot_id";
  std::ifstream file(path);
  std::string id;
  if (!std::getline(file, id) || id.empty()) return fail(ErrorCode::kSystem, std::string("cannot read ") + path);
  return id;
}

}  // namespace sluice::datapath
