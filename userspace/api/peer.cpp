// SPDX-License-Identifier: Apache-2.0
#include "api/peer.hpp"

#include <spdlog/sinks/sink.h>
#include <spdlog/spdlog.h>

#include "node/log.hpp"

namespace sluice::api {

Status may_write(const Peer& peer, const char* call) {
  if (!peer.read_only) return {};
  return fail(ErrorCode::kPermission,
              std::string(call) + ": this socket is for reading; use the one that takes writes");
}

void audit(const Peer& peer, const char* call, const std::string& what, const Error* refused) {
  constexpr std::size_t kLongest = 1000;
  // The daemon may have given the audit log a place of its own. Past the logger's level, which an operator (or a
  // caller) may raise: what was changed is written down all the same.
  const auto own = spdlog::get("audit");
  const spdlog::logger& log = own ? *own : *spdlog::default_logger_raw();
  const std::string text =
      fmt::format("event=audit uid={} gid={} call={} outcome={} what={}{}", peer.uid, peer.gid, call,
                  refused == nullptr ? "OK" : name(refused->code), node::quote(what.substr(0, kLongest)),
                  refused == nullptr ? "" : " error=" + node::quote(refused->message.substr(0, kLongest)));
  const spdlog::details::log_msg message(log.name(), spdlog::level::info, text);
  for (const auto& sink : log.sinks()) {
    sink->log(message);
    sink->flush();
  }
}

}  // namespace sluice::api
