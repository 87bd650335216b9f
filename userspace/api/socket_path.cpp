// SPDX-License-Identifier: Apache-2.0
#include "api/socket_path.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <string>
#include <system_error>

#include "base/fd.hpp"

namespace sluice::api {
namespace {

Result<bool> connects(const std::filesystem::path& path) {
  const UniqueFd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!socket.valid()) return fail_errno("socket");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path.c_str(), path.native().size());
  if (::connect(socket.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return true;
  if (errno == ECONNREFUSED) return false;
  if (errno == EAGAIN) return true;  // its backlog is full
  return fail_errno("connect to " + path.string());
}

/// A socket that a killed daemon had given to another user may not be connected to without CAP_DAC_OVERRIDE, which the
/// daemon gives up: it is made our own for as long as it is tried.
Result<bool> somebody_listens(const std::filesystem::path& path, const struct stat& info) {
  auto listens = connects(path);
  if (listens || listens.error().code != ErrorCode::kPermission) return listens;
  if (::lchown(path.c_str(), ::geteuid(), static_cast<gid_t>(-1)) != 0) return listens;
  listens = connects(path);
  if (::lchown(path.c_str(), info.st_uid, static_cast<gid_t>(-1)) != 0) return fail_errno("chown " + path.string());
  return listens;
}

}  // namespace

Status check_socket_path(const std::filesystem::path& path) {
  constexpr std::size_t kLongest = sizeof(sockaddr_un{}.sun_path) - 1;
  if (!path.is_absolute()) {
    return fail(ErrorCode::kInvalid, "socket: \"" + path.string() + "\" is not an absolute path");
  }
  if (path.native().size() > kLongest) {
    return fail(ErrorCode::kInvalid, "socket: \"" + path.string() + "\" has " + std::to_string(path.native().size()) +
                                         " bytes; a socket path has at most " + std::to_string(kLongest));
  }
  return {};
}

Status clear_socket_path(const std::filesystem::path& path) {
  if (auto valid = check_socket_path(path); !valid) return valid;
  std::error_code failure;
  const bool made = std::filesystem::create_directories(path.parent_path(), failure);
  if (failure) return fail_errno("make the folder of socket " + path.string(), failure.value());
  if (made && ::chmod(path.parent_path().c_str(), 0755) != 0) return fail_errno("chmod " + path.parent_path().string());
  struct stat info{};
  if (::lstat(path.c_str(), &info) != 0) {
    if (errno == ENOENT) return {};
    return fail_errno("look at " + path.string());
  }
  if (!S_ISSOCK(info.st_mode)) {
    return fail(ErrorCode::kExists, "socket: " + path.string() + " exists and is no socket; remove it or name another");
  }
  auto listens = somebody_listens(path, info);
  if (!listens) return std::unexpected(listens.error());
  if (*listens) {
    return fail(ErrorCode::kPrecondition, "socket: another process listens on " + path.string() + "; stop it first");
  }
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) return fail_errno("remove the stale socket " + path.string());
  return {};
}

}  // namespace sluice::api
