// SPDX-License-Identifier: Apache-2.0
#include "cli/calls.hpp"

#include <sys/socket.h>
#include <sys/un.h>

#include <cerrno>
#include <filesystem>

#include "base/fd.hpp"

namespace sluice::cli {
namespace {

/// gRPC does not tell a socket that may not be used from one on which nobody listens; connecting once does.
Status check_permission(const std::string& socket) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (socket.size() >= sizeof(address.sun_path)) return {};  // api::Client says it better
  socket.copy(address.sun_path, sizeof(address.sun_path) - 1);
  const UniqueFd probe(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!probe.valid()) return fail_errno("make a unix socket");
  if (::connect(probe.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0) return {};
  if (errno != EACCES && errno != EPERM) return {};
  return fail(ErrorCode::kPermission, "no permission to use the socket " + socket + "; run sluicectl as root");
}

}  // namespace

void add_socket_option(CLI::App& command, Invocation& invocation) {
  command.add_option("--socket", invocation.socket, "Socket of sluiced")->type_name("PATH")->capture_default_str();
}

Result<std::unique_ptr<api::Client>> open_client(const Invocation& invocation) {
  const std::string socket = std::filesystem::absolute(invocation.socket).lexically_normal().string();
  if (const Status permitted = check_permission(socket); !permitted) return std::unexpected(permitted.error());
  return api::Client::open(socket);
}

ExitStatus exit_status_of_call(ErrorCode code) {
  switch (code) {
    case ErrorCode::kUnavailable:
      return ExitStatus::kUnreachable;
    case ErrorCode::kExists:
    case ErrorCode::kPrecondition:
    case ErrorCode::kExhausted:
    case ErrorCode::kAborted:
    case ErrorCode::kOutOfRange:
      return ExitStatus::kRefused;
    default:
      return exit_status_of(code);
  }
}

ExitStatus complain_about_call(const Streams& streams, const Error& error) {
  const ExitStatus status = exit_status_of_call(error.code);
  std::string_view rest = error.message;
  for (std::size_t end = rest.find('\n'); end != std::string_view::npos; end = rest.find('\n')) {
    complain(streams, rest.substr(0, end), status);
    rest.remove_prefix(end + 1);
  }
  return complain(streams, rest, status);
}

void run_with_client(CLI::App& command, Invocation& invocation,
                     std::function<ExitStatus(api::Client&, const Streams&)> run) {
  command.callback([&invocation, run = std::move(run)] {
    invocation.run = [&invocation, run](const Streams& streams) {
      const auto client = open_client(invocation);
      if (!client) return complain_about_call(streams, client.error());
      return run(**client, streams);
    };
  });
}

}  // namespace sluice::cli
