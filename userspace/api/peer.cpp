// SPDX-License-Identifier: Apache-2.0
#include "api/peer.hpp"

#include <spdlog/spdlog.h>

#include "node/log.hpp"

namespace sluice::api {

void audit(const Peer& peer, const char* call, const std::string& what, const Error* refused) {
  // The daemon may have given the audit log a place of its own.
  const auto own = spdlog::get("audit");
  spdlog::logger& log = own ? *own : *spdlog::default_logger_raw();
  log.info("event=audit uid={} gid={} call={} outcome={} what={}{}", peer.uid, peer.gid, call,
           refused == nullptr ? "OK" : name(refused->code), node::quote(what),
           refused == nullptr ? "" : " error=" + node::quote(refused->message.substr(0, 1000)));
}

}  // namespace sluice::api
